"""The sources that read through torchvision, on real pictures in files of the official form.

The official files are not here. The JPEG pick of CIFAR-10 is packed into batches, and the Fashion-MNIST-like set is
unpacked, so readers, splits, protocols and stages are tried on pictures that look like the official ones.
"""

from __future__ import annotations

import gzip
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.common.real_sets import merged
from croquis.catalog.images import decode_image
from croquis.catalog.table import Catalog
from croquis.files import write_json
from croquis.params.loader import read_yaml
from croquis.tracking.record import RUNS, RunRecord
from stages import ingest, train_embedder, validate
from tests.support.real_sets import MARKS, SHARED
from tests.support.sources.cifar_files import CLASSES, write_cifar10

PER_CLASS = 60
pytestmark = MARKS
TINY: dict[str, Any] = {
    "base": {"image_size": 32, "threads": 1, "accelerator": "cpu"},
    "train_embedder": {"domains": ["shop"], "backbone": {"name": "small", "weights": "none", "width": 8}},
    "image2vec": {"fit": {"epochs": 1}},
    "register": {"select_by": "shop->shop/hit@1"},
}


def run_stages(root: Path, overrides: dict[str, Any]) -> Counter[tuple[str, str]]:
    """Ingests, validates, trains one epoch; returns how many accepted images have each split and role."""
    write_json(root / "params.yaml", merged(merged(read_yaml("params.yaml"), TINY), overrides))
    ingest.main(root)
    validate.main(root)
    train_embedder.main("image2vec", root)
    ((_, score),) = RunRecord.read(root / RUNS / "train_embedder-image2vec").metrics["val/shop_to_shop/map_at_all"]
    assert 0.0 < score <= 1.0
    assert (root / "models/image2vec/encoder.onnx").is_file()
    catalog = Catalog.open(root / "data/catalog")
    return Counter(zip(catalog.column("split"), catalog.column("role"), strict=True))


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """600 real pictures in mixed order, 60 of each class."""
    order = np.random.default_rng(0).permutation(PER_CLASS * len(CLASSES))
    with zipfile.ZipFile(SHARED / "cifar10/cifar10_jpg_22k.zip") as archive:
        names = [[name for name in archive.namelist() if name.startswith(f"train/{kind}/")] for kind in CLASSES]
        pictures = [decode_image(archive.read(name)) for own in names for name in own[:PER_CLASS]]
    pixels = np.stack(pictures).transpose(0, 3, 1, 2).reshape(len(pictures), -1)
    labels = np.repeat(np.arange(len(CLASSES)), PER_CLASS)
    write_cifar10(tmp_path / "source", pixels[order], labels[order], monkeypatch)
    return tmp_path


def cifar_overrides(root: Path, split: str) -> dict[str, Any]:
    block = {"root": str(root / "source"), "download": False, "split": split, "share": 1.0, "val_share": 0.4}
    return {"base": {"protocol": f"cifar10_{split}"}, "ingest": {"source": "cifar10", "cifar10": block}}


def test_cifar10_split_a(cifar: Path) -> None:
    found = run_stages(cifar, cifar_overrides(cifar, "a"))
    assert found["test", "query"] == 10
    assert 520 <= found["test", "gallery"] <= 540
    assert found["train", "train"] + found["val", "query"] + found["val", "gallery"] <= 50
    assert min(found.values()) >= 5


def test_cifar10_split_c(cifar: Path) -> None:
    found = run_stages(cifar, cifar_overrides(cifar, "c"))
    assert set(found) == {("train", "train"), ("val", "query"), ("test", "query")}
    assert found["test", "query"] == 100
    assert 580 <= found.total() <= 600


def test_fashion_mnist(tmp_path: Path) -> None:
    raw = tmp_path / "source/FashionMNIST/raw"
    raw.mkdir(parents=True)
    for packed in (SHARED / "fmnist_style").glob("*.gz"):
        (raw / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    block = {"root": str(tmp_path / "source"), "download": False, "share": 0.05, "val_share": 0.2}
    overrides = {
        "base": {"protocol": "category"},
        "ingest": {"source": "fashion_mnist", "fashion_mnist": block},
    }
    found = run_stages(tmp_path, overrides)
    assert set(found) == {("train", "train"), ("val", "query"), ("test", "query")}
    assert 470 <= found.total() <= 500
