"""Which map stands behind an encoder, and that what is written is what was measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from croquis.evaluation.protocol import PROTOCOLS
from croquis.files import read_json
from croquis.nets.encoder import load_encoder
from croquis.params.training_blocks import Map
from lightning_modules.data.retrieval_data import ImageSet, RetrievalData
from lightning_modules.maps.closed_form import LabelledVectors
from lightning_modules.training.map_choice import (
    FOLDS,
    add_map,
    best_map,
    encoded,
    fitted,
    left_out_trials,
    map_without_split,
    score,
    trials_of,
    with_val,
)
from tests.support import tiny_retriever as tiny

SIZE = 16


def images(items: int, seed: int) -> ImageSet:
    """Four photos of each item: a corner says which item it is, and the rest is noise of many times the size."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(items), 4)
    pictures = rng.integers(0, 256, (len(owner), 3, 4, 4)).repeat(4, axis=2).repeat(4, axis=3)
    colours = rng.integers(100, 150, (items, 3))[owner] + rng.integers(-1, 2, (len(owner), 3))
    pictures[:, :, :4, :4] = colours[:, :, None, None]
    ids = np.array([f"{place:04d}" for place in range(len(owner))], dtype=object)
    domains = np.full(len(owner), "shop", dtype=object)
    kept = torch.from_numpy(pictures.astype(np.uint8))
    return ImageSet(kept, owner, np.zeros_like(owner), domains, ids, owner.astype(str).astype(object), ids)


def data(val: ImageSet | None = None) -> RetrievalData:
    val = val or images(30, 1)
    return RetrievalData(images(60, 0), val, np.arange(len(val)) % 4 == 0, categories=1)


def block(kind: str, factors: tuple[float, ...] = (1.0,)) -> Map:
    return Map(kind=kind, dims=[24, 48], shrinkages=[0.0001, 0.1], histogram_factors=list(factors), fit_on="train")


@pytest.mark.parametrize("kind", ["within_item", "best"])
def test_a_map_that_val_gains_by_is_written_and_read(tmp_path: Path, kind: str) -> None:
    folder, given = tiny.save_encoder(tmp_path), data()
    figures = add_map(folder, given, block(kind), 1)
    assert figures["kept"] == 1
    assert figures["val_with"] > figures["val_without"] + 0.2
    mapped = load_encoder(folder)
    assert (mapped.metric, mapped.dim) == ("cosine", read_json(folder / "encoder.json")["dim"])
    assert score(encoded(mapped, given.val.images), given) == figures["val_with"]


def test_a_map_that_val_does_not_gain_by_is_not_kept(tmp_path: Path) -> None:
    folder = tiny.save_encoder(tmp_path)
    before = (folder / "encoder.json").read_bytes()
    many = images(40, 1)
    alike = many.images[torch.arange(len(many)) // 4 * 4]  # of an item all photos are the same: every answer is right
    figures = add_map(folder, data(replace(many, images=alike)), block("best"), 1)
    assert figures == {"val_without": 1.0, "val_with": 1.0, "kept": 0.0}
    assert (folder / "encoder.json").read_bytes() == before
    assert not (folder / "map.npy").exists()


def test_none_fits_nothing(tmp_path: Path) -> None:
    folder = tiny.save_encoder(tmp_path)
    assert add_map(folder, data(), block("none"), 1) == {}


def vectors(items: int, seed: int) -> np.ndarray:
    """Of `images(items, seed)`: eight numbers that are noise, then eight that tell the item but for noise of a tenth."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(items), 4)
    noise = rng.normal(size=(len(owner), 16)) * np.r_[np.ones(8), np.full(8, 0.1)]
    noise[:, 8:] += rng.normal(size=(items, 8))[owner]
    return noise.astype(np.float32)


def test_a_val_of_few_queries_leaves_the_choice_to_items_that_train_leaves_out(tmp_path: Path) -> None:
    """Val here says that no map is worth it; on train a map is."""
    folder, few = tiny.save_encoder(tmp_path), images(1, 1)
    figures = add_map(folder, data(few), block("best"), 1)
    assert set(figures) == {"train_without", "train_with", "kept"}
    assert figures["kept"] == 1
    assert figures["train_with"] > figures["train_without"] + 0.1


def test_a_val_of_many_queries_for_few_items_counts_beside_items_that_train_leaves_out() -> None:
    given, many = data(), images(40, 1)
    train, val = (
        LabelledVectors(vectors(count, seed), images(count, seed).items, np.ones(4 * count, dtype=bool))
        for count, seed in ((60, 0), (40, 1))
    )
    ten = data(replace(many, items=many.items // 4))
    by, trials = trials_of(train, val.vectors, ten)
    assert (by, len(trials)) == ("train", FOLDS + 1)
    assert trials[-1].score(None) == score(val.vectors, ten)
    ten.protocol = PROTOCOLS["category"]  # the items of train are those of val: none is to be left out
    assert [trials_of(train, val.vectors, each)[0] for each in (ten, given)] == ["val", "val"]


@pytest.mark.parametrize("shop_asks", [True, False])
def test_left_out_items_are_asked_once_and_not_fitted_on(shop_asks: bool) -> None:
    own = images(20, 0)
    shop = np.ones(80, dtype=bool) if shop_asks else np.arange(80) % 4 < 2
    train = LabelledVectors(vectors(20, 0), own.items, shop)
    trials = left_out_trials(train)
    left = [set(own.items) - set(trial.train.items) for trial in trials]
    assert sorted(item for part in left for item in part) == list(range(20))
    one_hot = LabelledVectors(np.eye(20, dtype=np.float32)[own.items], own.items, shop)
    assert [trial.score(None) for trial in left_out_trials(one_hot)] == [1.0] * 5


def test_the_weight_of_the_histogram_is_chosen_too() -> None:
    """The last eight numbers tell the items, the others nothing: the largest factor is the best, and the map holds it."""
    given, train, val = data(), vectors(60, 0), vectors(30, 1)
    fixed = {factor: best_map(train, val, given, block("pca", (factor,)), 8) for factor in (0.1, 1.0, 10.0)}
    free = best_map(train, val, given, block("pca", (0.1, 1.0, 10.0)), 8)
    assert fixed[0.1].score < fixed[10.0].score == free.score
    np.testing.assert_array_equal(free.linear.matrix, fixed[10.0].linear.matrix)
    assert score(free.linear.apply(val), given) == free.score


def by_category() -> tuple[RetrievalData, np.ndarray, np.ndarray]:
    """Ten categories of nine photos in train and five in val; four numbers tell them, twelve larger ones are noise."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(10, 4))
    found = []
    for name, count in (("train", 90), ("val", 50)):
        owner = np.arange(count) % 10
        numbers = rng.normal(size=(count, 16)) * np.r_[np.full(4, 0.3), np.full(12, 2.0)]
        numbers[:, :4] += centres[owner]
        ids = np.array([f"{name} {place}" for place in range(count)], dtype=object)
        own = ImageSet(
            torch.zeros(count, 3, 2, 2, dtype=torch.uint8),
            owner,
            owner,
            np.full(count, "shop", dtype=object),
            ids,
            ids,
            np.array([[f"worn:{number % 2}"] for number in owner] + [None], dtype=object)[:-1],
        )
        found.append((own, numbers.astype(np.float32)))
    (train, train_numbers), (val, val_numbers) = found
    asks = np.arange(50) < 35
    given = RetrievalData(train, val, asks, categories=10, protocol=PROTOCOLS["category"])
    return given, train_numbers, val_numbers


def test_where_categories_count_the_labels_make_a_map() -> None:
    given, train, val = by_category()
    found, without = (best_map(train, val, given, block("best"), labels=labels) for labels in (True, False))
    assert (found.settings.kind, found.by) == ("labels", "val")
    assert found.score > without.score + 0.02
    assert score(found.linear.apply(val), given) == found.score
    both = with_val(train, val, given, found).matrix
    assert both.shape == found.linear.matrix.shape
    assert np.abs(both - found.linear.matrix).max() > 1e-3
    given.protocol = PROTOCOLS["instance"]
    assert best_map(train, val, given, block("best")).settings.kind != "labels"


def test_the_chosen_map_is_fitted_on_the_items_of_val_too(tmp_path: Path) -> None:
    """It is the map of those settings on all photos; what is recorded was measured before."""
    val = images(30, 1)
    given = data(replace(val, image_ids=np.array([f"val {each}" for each in val.image_ids], dtype=object)))
    both = block("within_item").model_copy(update={"fit_on": "train_and_val"})
    alone, folder = tiny.save_encoder(tmp_path / "alone"), tiny.save_encoder(tmp_path / "both")
    encoder = load_encoder(folder)
    train, asked = (encoded(encoder, each.images) for each in (given.train, given.val))
    assert add_map(alone, given, block("within_item"), 1) == add_map(folder, given, both, 1)
    found = best_map(train, asked, given, both)
    items = np.concatenate([given.train.items, val.items + 60])
    whole = LabelledVectors(np.concatenate([train, asked]), items, np.ones(len(items), dtype=bool))
    expected = fitted(whole, [found.settings], found.scale)[0].matrix
    np.testing.assert_allclose(np.load(folder / "map.npy"), expected, atol=1e-5)
    assert np.abs(np.load(alone / "map.npy") - expected).max() > 1e-3
    repeated = data(val)  # photos that train has, too, count once
    np.testing.assert_allclose(with_val(train, asked, repeated, found).matrix, found.linear.matrix, atol=1e-5)


def test_photos_without_a_split_get_the_map_that_is_best_on_items_left_out(tmp_path: Path) -> None:
    encoder = load_encoder(tiny.save_encoder(tmp_path))
    photos = images(60, 0)
    found = map_without_split(encoded(encoder, photos.images), photos.items, block("best"))
    assert found is not None
    others = data()
    held_out = encoded(encoder, others.val.images)
    assert score(found.apply(held_out), others) > score(held_out, others) + 0.2


def test_photos_of_one_item_each_get_principal_components_at_a_quarter_of_whitening() -> None:
    spread = np.random.default_rng(0).normal(size=(400, 8)) * np.array([8, 4, 2, 1, 1, 1, 1, 1])
    found = map_without_split(spread.astype(np.float32), np.arange(400), block("best"))
    assert found is not None
    mapped = spread @ found.matrix[:-1] + found.matrix[-1]
    np.testing.assert_allclose(mapped.std(axis=0)[:2], np.sqrt([8, 4]), rtol=0.1)
