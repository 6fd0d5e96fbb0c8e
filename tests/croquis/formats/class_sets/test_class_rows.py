"""Dealing labelled images out to splits."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
from PIL import Image

from croquis.formats.class_sets.class_rows import LabelledImages, deal, query_quotas, rows_of, train_quotas

LABELS = np.repeat([0, 1, 2], [100, 50, 10]).astype(np.int64)
IDS = [f"train/{number:05d}" for number in range(len(LABELS))]


def counts(places: list[tuple[str, str] | None]) -> dict[int, Counter[str | None]]:
    return {
        label: Counter(place and place[0] for place, own in zip(places, LABELS, strict=True) if own == label)
        for label in (0, 1, 2)
    }


def test_every_class_is_dealt_in_the_same_proportions() -> None:
    dealt = counts(deal(IDS, LABELS, train_quotas(0.5, 0.2), seed=1))
    assert dealt[0] == {"val": 10, "train": 40, None: 50}
    assert dealt[1] == {"val": 5, "train": 20, None: 25}
    assert dealt[2] == {"val": 1, "train": 4, None: 5}


def test_the_seed_decides_and_the_order_of_other_images_does_not() -> None:
    first = dict(zip(IDS, deal(IDS, LABELS, train_quotas(1.0, 0.2), seed=1), strict=True))
    turned = dict(zip(IDS[::-1], deal(IDS[::-1], LABELS[::-1], train_quotas(1.0, 0.2), seed=1), strict=True))
    other = dict(zip(IDS, deal(IDS, LABELS, train_quotas(1.0, 0.2), seed=2), strict=True))
    assert first == turned
    assert first != other


def test_val_is_not_the_head_of_the_file() -> None:
    places = deal(IDS, LABELS, train_quotas(1.0, 0.2), seed=1)
    val = [row for row in range(100) if places[row] == ("val", "query")]
    assert max(val) > 60
    assert sorted(val) != list(range(20))


def test_a_class_of_one_image_is_not_lost() -> None:
    assert deal(["a"], np.array([4]), query_quotas(0.01), seed=0) == [("test", "query")]


def test_rows_keep_the_order_of_the_file_and_pixels_their_values() -> None:
    grey = np.arange(4 * 6 * 5, dtype=np.uint8).reshape(4, 6, 5)
    images = LabelledImages("part", np.array([1, 0, 1, 0]), grey)
    places = [("val", "query"), None, ("train", "train"), ("test", "gallery")]
    found = list(rows_of(images, places, ["bag", "shoe"]))
    assert [(row["image_id"], row["category"], row["split"], row["role"]) for row in found] == [
        ("part/00000", "shoe", "val", "query"),
        ("part/00002", "shoe", "train", "train"),
        ("part/00003", "bag", "test", "gallery"),
    ]
    assert all(row["item_id"] == row["image_id"] for row in found)
    assert found[0]["attributes"] == ["class:shoe"]
    with Image.open(io.BytesIO(found[1]["image"])) as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")
        assert np.array_equal(np.asarray(picture), np.repeat(grey[2][:, :, None], 3, axis=2))
