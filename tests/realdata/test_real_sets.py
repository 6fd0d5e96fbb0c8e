"""Every real set is ingested, validated and trained on for one epoch, through the stages as `dvc repro` runs them.

Small nets and a share of the larger sets: this shows that the files are read and understood, not how well one can do.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.common.real_sets import REAL_SETS, RealSetError, merged, real_set
from croquis.catalog.images import decode_image, prepare_image, to_batch
from croquis.catalog.table import Catalog
from croquis.files import write_json
from croquis.nets.encoder import load_encoder
from croquis.params.loader import parse_params, read_yaml
from croquis.tracking.record import RUNS, RunRecord
from stages import ingest, train_embedder, validate
from tests.support.real_sets import MARKS, SHARED

pytestmark = MARKS
SIZE = 32
TINY: dict[str, Any] = {
    "base": {"image_size": SIZE, "threads": 1, "accelerator": "cpu"},
    "ingest": {"shard_rows": 200},
    "train_embedder": {"backbone": {"name": "small", "weights": "none", "width": 8}},
    "image2vec": {"fit": {"epochs": 1}},
    "siamese": {
        "embedding_dim": 16,
        "items_per_batch": 16,
        "images_per_item": 2,
        "fit": {"epochs": 1, "validate_every": 1},
    },
}


@dataclass(frozen=True)
class Expected:
    """What a set must come to.

    Attributes:
        method: the learned method of the trial.
        share: of the items, see `real_set`.
        images: lowest and highest number of images.
        roles: the splits and roles that there must be, by domain.
        score: the figure of val that training must report.
        labels: some attribute labels that must occur.
    """

    method: str
    share: float
    images: tuple[int, int]
    roles: Mapping[str, set[tuple[str, str]]]
    score: str
    labels: tuple[str, ...] = ()


TRAIN, VAL_QUERY, TEST_QUERY = ("train", "train"), ("val", "query"), ("test", "query")
GALLERIES = {("val", "gallery"), ("test", "gallery")}
CLASSES = {"shop": {TRAIN, VAL_QUERY, TEST_QUERY}}
EXPECTED = {
    "inshop_luma": Expected(
        "siamese",
        1.0,
        (673, 673),
        {"shop": {TRAIN, VAL_QUERY, TEST_QUERY} | GALLERIES},
        "shop_to_shop/map_at_r",
        ("colour:black", "material:wool"),
    ),
    "attr_products": Expected(
        "image2vec",
        0.1,
        (600, 800),
        CLASSES,
        "shop_to_shop/map_at_all",
        ("gender:women", "baseColour:navy blue", "season:summer", "usage:casual"),
    ),
    "clothing_small": Expected("image2vec", 0.15, (480, 660), CLASSES, "shop_to_shop/map_at_all"),
    "c2s_grocery": Expected(
        "siamese",
        0.4,
        (600, 1800),
        {"shop": {TRAIN} | GALLERIES, "consumer": {TRAIN, VAL_QUERY, TEST_QUERY}},
        "consumer_to_shop/map_at_r",
    ),
    "cifar10": Expected("image2vec", 0.02, (440, 440), CLASSES, "shop_to_shop/map_at_all"),
    "fmnist_style": Expected("image2vec", 0.05, (490, 510), CLASSES, "shop_to_shop/map_at_all"),
    "sketch_qmul": Expected(
        "siamese",
        0.5,
        (600, 850),
        {"shop": {TRAIN} | GALLERIES, "sketch": {TRAIN, VAL_QUERY, TEST_QUERY}},
        "sketch_to_shop/map_at_r",
    ),
}


def test_every_real_set_is_tried() -> None:
    assert set(EXPECTED) == set(REAL_SETS)


@pytest.mark.parametrize("name", REAL_SETS)
def test_a_real_set_is_ingested_validated_and_trained_on(name: str, tmp_path: Path) -> None:
    expected = EXPECTED[name]
    overrides = real_set(name, SHARED, tmp_path / "work", share=expected.share)
    write_json(tmp_path / "params.yaml", merged(merged(read_yaml("params.yaml"), overrides), TINY))

    ingest.main(tmp_path)
    raw = Catalog.open(tmp_path / "data/raw")
    check_catalogue(raw, expected)

    validate.main(tmp_path)
    catalog = Catalog.open(tmp_path / "data/catalog")
    report = json.loads((tmp_path / "reports/validation.json").read_text())
    assert report["ingested"] == len(raw) == len(catalog) + report["quarantined"]
    assert report["quarantined"] <= 0.05 * len(raw)

    train_embedder.main(expected.method, tmp_path)
    check_training(tmp_path, expected, catalog)


def check_catalogue(raw: Catalog, expected: Expected) -> None:
    lowest, highest = expected.images
    assert lowest <= len(raw) <= highest
    cells: dict[str, Counter[tuple[str, str]]] = {}
    for domain, split, role in zip(*(raw.column(name) for name in ("domain", "split", "role")), strict=True):
        cells.setdefault(domain, Counter())[split, role] += 1
    assert {domain: set(found) for domain, found in cells.items()} == expected.roles
    of_item: dict[str, set[str]] = {}
    for item, split in zip(raw.column("item_id"), raw.column("split"), strict=True):
        of_item.setdefault(item, set()).add(split)
    assert all(len(splits) == 1 for splits in of_item.values())
    known = {label for labels in raw.column("attributes") for label in labels}
    assert set(expected.labels) <= known


def check_training(root: Path, expected: Expected, catalog: Catalog) -> None:
    """One epoch's figures are there and finite, and the exported net tells two pictures of the set apart."""
    record = RunRecord.read(root / RUNS / f"train_embedder-{expected.method}")
    ((_, score),) = record.metrics[f"val/{expected.score}"]
    assert 0.0 <= score <= 1.0
    assert all(math.isfinite(value) for points in record.metrics.values() for _, value in points)
    encoder = load_encoder(root / "models" / expected.method)
    pictures = [prepare_image(decode_image(data), SIZE) for data in catalog.images([0, len(catalog) - 1])]
    vectors = encoder.encode(to_batch(pictures))
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-4)
    assert not np.allclose(vectors[0], vectors[1], atol=1e-4)


@pytest.fixture(scope="module")
def overrides(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    work = tmp_path_factory.mktemp("overrides")
    return {name: real_set(name, SHARED, work, share=0.01) for name in REAL_SETS}


@pytest.mark.parametrize("name", REAL_SETS)
def test_the_overrides_fit_the_schema_and_replace_an_earlier_set(
    name: str, overrides: dict[str, dict[str, Any]]
) -> None:
    """A set may follow any other: nothing of the one before stays in its block."""
    shipped = read_yaml("params.yaml")
    alone = merged(shipped, overrides[name])
    parse_params(alone, methods=True)
    source = alone["ingest"]["source"]
    for other in REAL_SETS:
        after = merged(merged(shipped, overrides[other]), overrides[name])
        assert after["ingest"]["source"] == source
        assert after["ingest"][source] == alone["ingest"][source]
        for block in ("base", "train_embedder", "register"):
            assert after[block] == alone[block]


def test_an_unknown_set_and_a_missing_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(RealSetError, match=r"no real set 'imagenet'; known: inshop_luma"):
        real_set("imagenet", SHARED, tmp_path)
    with pytest.raises(RealSetError, match="cifar10 does not exist"):
        real_set("cifar10", tmp_path, tmp_path)
