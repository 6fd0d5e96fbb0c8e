"""A manifest of schema version 1 left out what equalled the default of its day: it still means that, and keeps its hash."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from croquis.bundle import BundleError, Manifest
from croquis.bundle.old_manifests import MEANT_WHEN_LEFT_OUT
from croquis.rerank.rerankers.alpha_qe import AlphaQe
from croquis.rerank.rerankers.k_reciprocal import KReciprocal

FILES = ("encoder.onnx", "classifier.onnx", "index.faiss", "gallery.parquet")
OLD: dict[str, Any] = {
    "schema_version": 1,
    "method": "siamese",
    "preprocess": {"size": 56},
    "encoder": {"kind": "onnx", "head": "dense", "dim": 128, "metric": "cosine", "file": "encoder.onnx"},
    "generator": None,
    "classifier": {"file": "classifier.onnx", "size": 56, "attributes": ["colour:red"], "thresholds": [0.5]},
    "index": {
        "kind": "flat",
        "file": "index.faiss",
        "rows": 3,
        "dim": 128,
        "metric": "cosine",
        "bytes_per_vector": 512,
        "parameters": {},
    },
    "items": {"file": "gallery.parquet", "rows": 3},
    "rerank": {
        "enabled": False,
        "depth": 100,
        "alpha": 1.0,
        "beta": 0.05,
        "overlap": "count",
        "gallery_attributes": "predicted",
    },
    "files": {name: {"sha256": "0" * 64, "bytes": 7} for name in FILES},
}
# What the version that wrote such files called it.
IDENTITY = "945b4518216fda31187b6d3e2f367b19e4cc70faa5abd73b2ad49ff6d1edeae8"


def test_what_was_left_out_means_what_it_meant_then() -> None:
    manifest = Manifest.from_json(OLD)
    block = manifest.rerank
    assert (block.standing, block.steps, block.compare) == ("rank", ("attributes",), ())
    assert block.settings == {"k_reciprocal": KReciprocal(20, 6, 0.3), "alpha_qe": AlphaQe(3, 3.0)}
    assert manifest.classifier is not None
    assert manifest.classifier.exclusive == ()


def test_what_was_said_counts() -> None:
    said = deepcopy(OLD)
    said["rerank"] |= {"steps": ["alpha_qe"], "alpha_qe": {"neighbours": 1, "power": 0.0}, "standing": "score"}
    block = Manifest.from_json(said).rerank
    assert (block.standing, block.steps) == ("score", ("alpha_qe",))
    assert block.settings["alpha_qe"] == AlphaQe(1, 0.0)


def test_the_bundle_keeps_the_hash_that_a_registry_tag_names() -> None:
    manifest = Manifest.from_json(OLD)
    assert manifest.hash == IDENTITY
    assert manifest.to_json() == OLD
    assert Manifest.from_json(manifest.to_json()) == manifest


@pytest.mark.parametrize("part", MEANT_WHEN_LEFT_OUT)
def test_a_manifest_of_today_leaves_nothing_out(part: str) -> None:
    whole = deepcopy(OLD) | {"schema_version": 2}
    for name, meant in MEANT_WHEN_LEFT_OUT.items():
        whole[name] |= deepcopy(dict(meant))
    written = Manifest.from_json(whole)
    assert Manifest.from_json(written.to_json()) == written
    for key in MEANT_WHEN_LEFT_OUT[part]:
        lacking = deepcopy(whole)
        del lacking[part][key]
        if (part, key) in (("rerank", "k_reciprocal"), ("rerank", "alpha_qe")):  # no step of this bundle reads them
            Manifest.from_json(lacking)
            continue
        with pytest.raises(BundleError, match=f"{part} lacks the keys"):
            Manifest.from_json(lacking)
