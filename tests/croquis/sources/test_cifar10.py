"""CIFAR-10 through torchvision, on batches of the same form with other pictures."""

from __future__ import annotations

import io
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from croquis.formats.errors import SourceError
from croquis.sources.cifar10 import Cifar10, quotas_a, rows
from tests.support.sources.cifar_files import CLASSES, write_cifar10

BATCH = 100
CHANCE = np.random.default_rng(0)
PIXELS = CHANCE.integers(0, 256, (6 * BATCH, 3072), dtype=np.uint8)
LABELS = np.concatenate([CHANCE.permutation(np.tile(np.arange(10), BATCH // 10)) for _ in range(6)])


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six batches of 100 pictures, which torchvision is told to take for the official ones."""
    write_cifar10(tmp_path, PIXELS, LABELS, monkeypatch)
    return tmp_path


def read(root: Path, split: str, **settings: Any) -> list[dict[str, Any]]:
    values = {"root": str(root), "download": False, "split": split, "share": 1.0, "val_share": 0.4}
    return list(rows(Cifar10.model_validate(values | settings), seed=5))


def test_split_a_has_one_query_five_labelled_and_54_gallery_images_in_sixty(root: Path) -> None:
    found = read(root, "a")
    per_class = Counter((row["category"], row["split"], row["role"]) for row in found)
    for name in CLASSES:
        assert per_class[name, "test", "query"] == 1
        assert per_class[name, "test", "gallery"] == 54
        assert per_class[name, "train", "train"] == 3
        assert per_class[name, "val", "query"] == 1
        assert per_class[name, "val", "gallery"] == 1
    assert len({row["image_id"] for row in found}) == len(found) == 600


@pytest.mark.parametrize(("share", "total"), [(1.0, 6000), (0.1, 600), (0.01, 60)])
def test_split_a_of_a_whole_class(share: float, total: int) -> None:
    """The official class has 6,000 images; per class 100 ask, 500 are labelled, 5,400 are searched."""
    quotas = dict(quotas_a(share, 0.1)(6000))
    assert quotas["test", "query"] == total // 60
    assert quotas["test", "gallery"] == total * 54 // 60
    labelled = quotas["train", "train"] + quotas["val", "query"] + quotas["val", "gallery"]
    assert labelled == total * 5 // 60
    if share == 1.0:
        assert (quotas["train", "train"], quotas["val", "query"], quotas["val", "gallery"]) == (450, 10, 40)


@pytest.mark.slow
@pytest.mark.parametrize("split", ["a", "c"])
def test_rows_are_never_sorted_by_class(root: Path, split: str) -> None:
    for part in (("train", "train"), ("test", "gallery" if split == "a" else "query")):
        classes = [row["category"] for row in read(root, split) if (row["split"], row["role"]) == part]
        changes = sum(a != b for a, b in pairwise(classes))
        assert changes > 0.6 * len(classes) > 9  # ten runs would make nine changes


def test_split_c_is_the_official_one_with_val_out_of_train(root: Path) -> None:
    found = read(root, "c")
    assert Counter((row["split"], row["role"]) for row in found) == {
        ("train", "train"): 300,
        ("val", "query"): 200,
        ("test", "query"): 100,
    }
    official = {row["image_id"].split("/")[0] for row in found if row["split"] == "test"}
    assert official == {"test"}
    assert all(row["image_id"].startswith("train/") for row in found if row["split"] != "test")


def test_rows_hold_the_pictures_and_classes_of_the_batches(root: Path) -> None:
    found = {row["image_id"]: row for row in read(root, "a")}
    for number in (0, 137, 499, 599):
        row = found[f"train/{number:05d}" if number < 500 else f"test/{number - 500:05d}"]
        assert row["category"] == CLASSES[LABELS[number]]
        with Image.open(io.BytesIO(row["image"])) as picture:
            expected = PIXELS[number].reshape(3, 32, 32).transpose(1, 2, 0)
            assert np.array_equal(np.asarray(picture), expected)


def test_a_share_keeps_every_class(root: Path) -> None:
    found = read(root, "c", share=0.2)
    assert Counter(row["split"] for row in found) == {"train": 60, "val": 40, "test": 20}
    assert set(Counter(row["category"] for row in found).values()) == {12}


def test_absent_or_other_files_and_the_remedy(root: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"data_batch_1 exists, or set ingest\.cifar10\.download: true"):
        read(tmp_path / "elsewhere", "a")
    (root / "cifar-10-batches-py/data_batch_3").write_bytes(b"cut off")
    with pytest.raises(SourceError, match=r"CIFAR10 cannot be read from .*not found or corrupted"):
        read(root, "a")
