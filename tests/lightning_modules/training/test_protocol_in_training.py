"""Validation during training obeys the protocol: what is right, who is searched, and which figure decides."""

from __future__ import annotations

import numpy as np
import pytest

from croquis.catalog.table import Catalog, CatalogWriter
from croquis.evaluation.protocol import PROTOCOLS, open_gallery
from lightning_modules.data import retrieval_data as data_module
from lightning_modules.data.retrieval_data import ALL_LABELS, DataError, RetrievalData
from lightning_modules.training.val_scores import decisive_score, retrieval_scores

SIZE, DOMAINS = 32, ["shop", "consumer"]


def load(catalog, name, seed=0):
    return RetrievalData.from_catalog(catalog, DOMAINS, SIZE, ALL_LABELS, seed, PROTOCOLS[name])


@pytest.mark.parametrize("name", ["category", "cifar10_c"])
def test_where_the_train_split_is_searched_val_brings_the_queries_only(catalog, name):
    data = load(catalog, name)
    splits = dict(zip(catalog.column("image_id"), catalog.column("split"), strict=True))
    of_query = {splits[image_id] for image_id in data.val.image_ids[data.val_is_query]}
    gallery = data.val.image_ids[~data.val_is_query]
    assert of_query == {"val"}
    assert {splits[image_id] for image_id in gallery} == {"train"}
    assert sorted(gallery) == sorted(data.train.image_ids[data.train.domains == "shop"])


@pytest.mark.parametrize("name", ["instance", "cifar10_a"])
def test_else_val_brings_its_own_gallery(catalog, name):
    roles = dict(zip(catalog.column("image_id"), catalog.column("role"), strict=True))
    data = load(catalog, name)
    assert {roles[image_id] for image_id in data.val.image_ids[~data.val_is_query]} == {"gallery"}


def test_val_searches_what_evaluation_searches(catalog, tmp_path):
    """Photos of consumers with role gallery are no answers, and distractors of another split are."""
    with CatalogWriter(tmp_path / "catalog") as writer:
        for row in catalog.rows():
            if row["split"] == "val" and row["image_id"].endswith("consumer-1"):
                row = row | {"role": "gallery"}
            if row["split"] == "test" and row["image_id"].endswith("shop-1"):
                row = row | {"also_gallery_of": "val"}
            writer.write(row)
    changed = Catalog.open(tmp_path / "catalog")
    data = load(changed, "instance")
    searched = open_gallery(changed, "val", PROTOCOLS["instance"]).image_ids
    assert sorted(data.val.image_ids[~data.val_is_query]) == sorted(searched)
    assert any(name.endswith("shop-1") for name in searched)
    assert len(searched) > len(open_gallery(catalog, "val", PROTOCOLS["instance"]))


@pytest.mark.parametrize("name", list(PROTOCOLS))
def test_an_item_is_what_a_result_must_share(catalog, name):
    data = load(catalog, name)
    for images in (data.train, data.val):
        known = images.item_ids if name == "instance" else images.categories
        assert len(set(zip(images.items.tolist(), known.tolist(), strict=True))) == len(set(images.items.tolist()))


def test_a_large_gallery_is_sampled_by_the_seed(catalog, monkeypatch):
    monkeypatch.setattr(data_module, "GALLERY_SAMPLE", 5)
    samples = [
        set(found.val.image_ids[~found.val_is_query]) for found in (load(catalog, "category", s) for s in (1, 1, 2))
    ]
    assert [len(sample) for sample in samples] == [5, 5, 5]
    assert samples[0] == samples[1] != samples[2]


def slow_scores(asked, stored, data, domain):
    """hit@1 and the mean of average precision over whole lists, one query at a time."""
    gallery = [row for row in range(len(data.val)) if not data.val_is_query[row]]
    hits, precisions = [], []
    for row in range(len(data.val)):
        if not data.val_is_query[row] or data.val.domains[row] != domain:
            continue
        ranked = sorted(gallery, key=lambda other: np.sum((asked[row] - stored[other]) ** 2))
        right = [data.val.categories[other] == data.val.categories[row] for other in ranked]
        found = [sum(right[: rank + 1]) / (rank + 1) for rank, is_right in enumerate(right) if is_right]
        hits.append(right[0])
        precisions.append(sum(found) / sum(right))
    return np.mean(hits), np.mean(precisions)


@pytest.mark.parametrize("name", ["category", "cifar10_a", "cifar10_c"])
def test_scores_by_category_match_a_loop(catalog, name, monkeypatch):
    monkeypatch.setattr("lightning_modules.training.val_scores.CHUNK", 3)
    data = load(catalog, name)
    asked, stored = np.random.default_rng(1).normal(size=(2, len(data.val), 6)).astype(np.float32)
    scores = retrieval_scores(asked, stored, data)
    hit, precision = slow_scores(asked, stored, data, "consumer")
    assert decisive_score(data) == "consumer_to_shop/map_at_all"
    assert scores["consumer_to_shop/hit_at_1"] == pytest.approx(hit)
    assert scores["consumer_to_shop/map_at_all"] == pytest.approx(precision)


def test_items_are_decided_on_by_map_at_r(catalog):
    assert decisive_score(load(catalog, "instance")) == "consumer_to_shop/map_at_r"


def test_a_val_split_without_queries_is_refused(catalog, tmp_path):
    with CatalogWriter(tmp_path / "catalog") as writer:
        writer.write_all(row for row in catalog.rows() if (row["split"], row["role"]) != ("val", "query"))
    with pytest.raises(DataError, match="no val query images"):
        load(Catalog.open(tmp_path / "catalog"), "category")
