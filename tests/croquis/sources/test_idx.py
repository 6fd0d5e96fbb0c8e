"""The idx source: pairs of IDX files and their faults."""

from __future__ import annotations

import gzip
import io
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from croquis.formats.errors import SourceError
from croquis.sources.idx import Idx, rows
from tests.support.sources.idx_files import idx_bytes, write_idx

CHANCE = np.random.default_rng(0)
PIXELS = CHANCE.integers(0, 256, (40, 5, 4), dtype=np.uint8)
LABELS = np.tile(np.arange(4, dtype=np.uint8), 10)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_idx(tmp_path / "train-images.gz", PIXELS)
    write_idx(tmp_path / "train-labels", LABELS)
    write_idx(tmp_path / "test-images", PIXELS[:8])
    write_idx(tmp_path / "test-labels.gz", LABELS[:8])
    (tmp_path / "classes.txt").write_text("hat\nCasual Shoes\ncoat\nbag\n")
    return tmp_path


def read(root: Path, **settings: Any) -> list[dict[str, Any]]:
    values = {
        "root": str(root),
        "train": {"images": "train-images.gz", "labels": "train-labels"},
        "test": {"images": "test-images", "labels": "test-labels.gz"},
        "classes": "classes.txt",
        "share": 1.0,
        "val_share": 0.2,
        "test_share": 0.3,
    }
    return list(rows(Idx.model_validate(values | settings), seed=5))


def pixels(row: dict[str, Any]) -> np.ndarray:
    with Image.open(io.BytesIO(row["image"])) as picture:
        return np.asarray(picture)


def test_a_train_and_a_test_pair(root: Path) -> None:
    found = read(root)
    assert Counter((row["split"], row["role"]) for row in found) == {
        ("train", "train"): 32,
        ("val", "query"): 8,
        ("test", "query"): 8,
    }
    assert [row["image_id"] for row in found[:2]] == ["train/00000", "train/00001"]
    assert [row["category"] for row in found[:4]] == ["hat", "Casual Shoes", "coat", "bag"]
    for number in (0, 39):
        assert np.array_equal(pixels(found[number])[:, :, 1], PIXELS[number])
    assert np.array_equal(pixels(found[45])[:, :, 0], PIXELS[5])


def test_a_share_keeps_the_proportions(root: Path) -> None:
    found = read(root, share=0.5)
    assert Counter((row["split"], row["category"]) for row in found if row["category"] == "hat") == {
        ("train", "hat"): 4,
        ("val", "hat"): 1,
        ("test", "hat"): 1,
    }
    assert len(found) == 24


def test_one_pair_is_parted_in_three(root: Path) -> None:
    found = read(root, test=None, classes=None)
    assert Counter((row["split"], row["role"]) for row in found) == {
        ("train", "train"): 24,
        ("val", "query"): 4,
        ("test", "query"): 12,
    }
    assert {row["category"] for row in found} == {"0", "1", "2", "3"}


@pytest.mark.parametrize("shape", [(40, 5, 4, 3), (40, 3, 5, 4), (40, 5, 4, 1), (40, 1, 5, 4)])
def test_colours_and_channels(root: Path, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    write_idx(root / "train-images.gz", values)
    first = values[0] if shape[3] in (1, 3) else values[0].transpose(1, 2, 0)
    assert np.array_equal(pixels(read(root)[0]), np.broadcast_to(first, (5, 4, 3)))


def test_gzip_is_told_by_content(root: Path) -> None:
    expected = read(root)
    (root / "train-images.gz").write_bytes(idx_bytes(PIXELS))
    (root / "train-labels").write_bytes(gzip.compress(idx_bytes(LABELS)))
    assert read(root) == expected


@pytest.mark.parametrize(
    ("file", "data", "message"),
    [
        ("train-labels", b"", "begins with nothing"),
        ("train-labels", b"\x89PNG....", "begins with 89 50 4e 47, not with 00 00 08"),
        ("train-labels", idx_bytes(LABELS, 0x0D), "holds float32 values"),
        ("train-labels", idx_bytes(PIXELS), r"has 3 dimension\(s\), idx1 is due; are images and labels swapped"),
        ("test-images", idx_bytes(LABELS), r"has 1 dimension\(s\), idx3 or idx4 is due"),
        ("test-images", idx_bytes(PIXELS)[:10], "ends within its header"),
        ("test-images", idx_bytes(PIXELS)[:-1], "states 40 x 5 x 4 = 800 bytes and holds 799"),
        ("test-images", idx_bytes(PIXELS) + b"x", "states 40 x 5 x 4 = 800 bytes and holds 801"),
        ("test-images", idx_bytes(PIXELS[:7]), "holds 7 images, .*test-labels.gz 8 labels"),
        ("test-images", bytes([0, 0, 8, 3]) + struct.pack(">3I", 8, 0, 4), "states the empty size 8 x 0 x 4"),
        ("test-images", idx_bytes(np.zeros((8, 2, 5, 4), np.uint8)), "8 x 2 x 5 x 4: neither its second nor its last"),
        ("train-images.gz", gzip.compress(idx_bytes(PIXELS))[:-20], "is a damaged gzip file"),
        ("train-labels", idx_bytes(LABELS + np.uint8(1)), "names 4 classes on 4 lines, the labels reach 4"),
        ("classes.txt", b"hat\ncoat\nhat\nbag\n", "names 3 classes on 4 lines"),
    ],
)
def test_faults_name_the_file(root: Path, file: str, data: bytes, message: str) -> None:
    (root / file).write_bytes(data)
    with pytest.raises(SourceError, match=message) as caught:
        read(root)
    assert str(root) in str(caught.value)


@pytest.mark.parametrize("file", ["train-images.gz", "test-labels.gz", "classes.txt"])
def test_missing_files_are_named(root: Path, file: str) -> None:
    (root / file).unlink()
    with pytest.raises(SourceError, match=rf"{file} does not exist; correct .*ingest\.idx"):
        read(root)
