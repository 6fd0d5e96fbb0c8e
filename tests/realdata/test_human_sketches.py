"""Drawings by people (sketch_qmul) through the whole chain: they are learned from, and they ask in every mode."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.real_sets import merged, real_set
from croquis.catalog.table import Catalog
from croquis.files import write_json
from croquis.params.loader import read_yaml
from croquis.search.local_retriever import LocalRetriever
from croquis.search.query import MODES
from stages import evaluate, index, ingest, sketch, train_embedder, train_gan, validate
from tests.support.real_sets import MARKS, SHARED
from tests.support.stage_runs import write_method_facts

pytestmark = MARKS
TINY: dict[str, Any] = {
    "base": {"image_size": 32, "threads": 1, "accelerator": "cpu"},
    "sketch": {"size": 64, "drawings_per_photo": 1, "edges": "drawn"},
    "train_gan": {"size": 32, "generator_channels": 8, "discriminator_channels": 8, "epochs": 1, "validate_every": 1},
    "train_embedder": {"backbone": {"name": "small", "weights": "none", "width": 8}},
    "joint": {"embedding_dim": 16, "fit": {"epochs": 1, "validate_every": 1}},
    "evaluate": {"bootstrap": 20, "gallery_queries": 3, "projection": "pca"},
}


def test_drawings_by_people_go_through_the_whole_chain(tmp_path: Path) -> None:
    overrides = real_set("sketch_qmul", SHARED, tmp_path / "work", share=0.2)
    write_json(tmp_path / "params.yaml", merged(merged(read_yaml("params.yaml"), overrides), TINY))
    write_method_facts(tmp_path)
    for stage in (ingest, validate, sketch, train_gan):
        stage.main(tmp_path)
    for stage in (train_embedder, index, evaluate):
        stage.main("joint", tmp_path)

    sketches = Catalog.open(tmp_path / "data/sketches")
    trained = sketches.column("image_id")[sketches.select(split="train")]
    assert {name.startswith("sketch-of/") for name in trained} == {True, False}  # the hand's, and people's own
    report = json.loads((tmp_path / "reports/evaluation/joint.json").read_text())
    assert {run["path"] for run in report["splits"]["test"]["runs"]} == {"gan", "direct", "edges"}

    retriever = LocalRetriever.load(tmp_path / "models/bundles/joint")
    for kind in ("shoes", "chairs"):
        for file in sorted((SHARED / "sketch_qmul" / kind / "test/sketch").glob("*.png"))[::4]:
            for mode in MODES:
                hits = retriever.search(file.read_bytes(), k=5, mode=mode)
                assert len(hits) == 5
                assert all(np.isfinite(hit.score) for hit in hits)
