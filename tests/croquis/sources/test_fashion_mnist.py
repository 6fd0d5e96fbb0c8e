"""Fashion-MNIST through torchvision, on files of the same form with other pictures."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from croquis.formats.errors import SourceError
from croquis.sources.fashion_mnist import FashionMnist, rows
from tests.support.sources.idx_files import write_idx

TRAIN = np.random.default_rng(0).integers(0, 256, (60, 28, 28), dtype=np.uint8)
LABELS = np.tile(np.arange(10, dtype=np.uint8), 6)
RAW = "FashionMNIST/raw"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_idx(tmp_path / RAW / "train-images-idx3-ubyte", TRAIN)
    write_idx(tmp_path / RAW / "train-labels-idx1-ubyte", LABELS)
    write_idx(tmp_path / RAW / "t10k-images-idx3-ubyte", TRAIN[:20])
    write_idx(tmp_path / RAW / "t10k-labels-idx1-ubyte", LABELS[:20])
    return tmp_path


def read(root: Path, **settings: Any) -> list[dict[str, Any]]:
    values = {"root": str(root), "download": False, "share": 1.0, "val_share": 0.2}
    return list(rows(FashionMnist.model_validate(values | settings), seed=5))


def test_official_parts_with_val_out_of_train(root: Path) -> None:
    found = read(root)
    assert Counter((row["split"], row["role"]) for row in found) == {
        ("train", "train"): 50,
        ("val", "query"): 10,
        ("test", "query"): 20,
    }
    assert [row["category"] for row in found[:3]] == ["T-shirt/top", "Trouser", "Pullover"]
    assert len({row["item_id"] for row in found}) == 80
    with Image.open(io.BytesIO(found[59]["image"])) as picture:
        assert np.array_equal(np.asarray(picture)[:, :, 2], TRAIN[59])


def test_a_share_of_every_class(root: Path) -> None:
    found = read(root, share=0.5)
    assert Counter(row["category"] for row in found) == Counter(dict.fromkeys({r["category"] for r in read(root)}, 4))


def test_absent_files_and_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"FashionMNIST/raw/, or set ingest\.fashion_mnist\.download: true"):
        read(tmp_path)


def test_damaged_files_are_refused(root: Path) -> None:
    (root / RAW / "t10k-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01\0\0")
    with pytest.raises(SourceError, match="FashionMNIST cannot be read from"):
        read(root)
    write_idx(root / RAW / "t10k-labels-idx1-ubyte", LABELS[:19])
    with pytest.raises(SourceError, match="test has 20 images and 19 labels"):
        read(root)
