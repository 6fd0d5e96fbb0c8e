"""Which map stands behind an encoder, and that what is written is what was measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from croquis.files import read_json
from croquis.nets.encoder import load_encoder
from croquis.params.training_blocks import Map
from lightning_modules.data.retrieval_data import ImageSet, RetrievalData
from lightning_modules.training.map_choice import add_map, encoded, score
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


def block(kind: str) -> Map:
    return Map(kind=kind, dims=[24, 48], shrinkages=[0.0001, 0.1])


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
    one_item = images(1, 1)  # every answer is right already
    figures = add_map(folder, data(one_item), block("best"), 1)
    assert figures == {"val_without": 1.0, "val_with": 1.0, "kept": 0.0}
    assert (folder / "encoder.json").read_bytes() == before
    assert not (folder / "map.npy").exists()


def test_none_fits_nothing(tmp_path: Path) -> None:
    folder = tiny.save_encoder(tmp_path)
    assert add_map(folder, data(), block("none"), 1) == {}
