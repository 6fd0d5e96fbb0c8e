"""The retriever of lines that is fitted in closed form: which pairs, what is written, and that it is what is served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from croquis.catalog.drawings import photo_of
from croquis.catalog.images import to_batch
from croquis.catalog.table import Catalog
from croquis.files import read_json, write_json
from croquis.nets.edge_descriptor import EdgeDescriptor
from croquis.nets.edge_detector import EdgeDetector
from croquis.nets.encoder import describe_encoder, encode_drawings, load_encoder
from croquis.nets.linear_map import LinearMap
from croquis.nets.session import ModelError
from croquis.params import Params
from croquis.params.loader import ParamsError, parse_params
from lightning_modules.data.retrieval_data import RetrievalData
from lightning_modules.methods.joint import add_drawings
from lightning_modules.methods.sketch_map import check, fit_encoder, lines_of, pairs_of
from lightning_modules.nets.backbones import build_backbone
from tests.support.small_hed import stand_in

SIZE = 32
SMALL = {
    "size": SIZE,
    "net_size": 64,
    "square": 32,
    "levels": [-2, -1],
    "cells": [2, 1],
    "dims": [3],
    "shrinkages": [0.1],
    "descriptor_weights": [0.25],
}


def small(params: Params, weights: str, **changes: Any) -> Params:
    values = params.model_dump(by_alias=True, serialize_as_any=True)
    values["sketch_map"] |= {**SMALL, **changes}
    values["train_embedder"]["backbone"]["weights"] = weights
    return parse_params(values, methods=["sketch_map"])


@pytest.fixture(scope="module")
def weights(params: Params, tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "small.pth"
    torch.save(build_backbone(params.train_embedder.backbone).state_dict(), path)
    return str(path)


@pytest.fixture
def drawn(data: RetrievalData, sketches: Catalog) -> RetrievalData:
    return add_drawings(data, sketches, SIZE)


def test_traced_drawings_go_with_their_photo(drawn: RetrievalData) -> None:
    train = drawn.train
    rows = pairs_of(train, "simulated")
    assert len(rows) == (train.domains == "sketch").sum()
    assert [photo_of(train.image_ids[drawing]) for drawing, _ in rows] == [train.image_ids[photo] for _, photo in rows]
    np.testing.assert_array_equal(pairs_of(train, "brought"), rows)  # nobody drew: the hand's


def test_brought_drawings_go_with_the_photos_that_show_the_outline(drawn: RetrievalData) -> None:
    train = drawn.train
    ids = train.image_ids.copy()
    traced = pairs_of(train, "simulated")
    first, its_photo = traced[0]
    ids[first] = "brought/1"
    of_item = {int(photo) for _, photo in traced if train.item_ids[photo] == train.item_ids[first]}
    brought = type(train)(**{**vars(train), "image_ids": ids})
    assert {tuple(row) for row in pairs_of(brought, "brought").tolist()} == {(int(first), photo) for photo in of_item}
    assert its_photo in of_item
    assert len(pairs_of(brought, "all")) == len(traced) - 1 + len(of_item)


@pytest.mark.slow
def test_what_is_written_is_the_map_behind_the_net(
    params: Params, drawn: RetrievalData, weights: str, tmp_path: Path
) -> None:
    told = fit_encoder(small(params, weights), drawn, tmp_path)
    assert told["pairs"] == len(pairs_of(drawn.train, "brought"))
    described, encoder = describe_encoder(tmp_path), load_encoder(tmp_path)
    assert (described.kind, encoder.size, encoder.dim) == ("lines", SIZE, 2 * 3 + 3 * 3 * 4 * 9)
    rows = np.flatnonzero(drawn.train.domains == "sketch")[:3]
    batch = to_batch(list(np.ascontiguousarray(np.asarray(drawn.train.images[rows]).transpose(0, 2, 3, 1))))
    vectors = encode_drawings(encoder, batch)
    np.testing.assert_allclose(np.linalg.norm(vectors[:, :6], axis=1), 0.75**0.5, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors[:, 6:], axis=1), 0.25**0.5, atol=1e-5)
    assert not np.allclose(vectors[:, :6], encoder.encode(batch)[:, :6])  # the sides have their own means
    photos, drawings = LinearMap.open_sides(tmp_path / "map.npy")
    np.testing.assert_array_equal(photos.matrix[:-1], drawings.matrix[:-1])
    assert not np.array_equal(photos.matrix[-1], drawings.matrix[-1])
    written = read_json(tmp_path / "encoder.json")
    for change, words in (
        ({"map": None}, "needs a map beside its file"),
        ({"frame": "box"}, "frame = 'box', must be one of"),
        ({"descriptor_weight": 1.0}, "descriptor_weight = 1.0, must be 0 to below 1"),
    ):
        write_json(tmp_path / "encoder.json", {**written, **change})
        with pytest.raises(ModelError, match=words):
            load_encoder(tmp_path)


def test_without_a_net_the_map_is_behind_the_orientations(params: Params, drawn: RetrievalData, tmp_path: Path) -> None:
    told = fit_encoder(small(params, "none", net=False, square=64, dims=[5]), drawn, tmp_path)
    assert set(told) == {"pairs", "left_out_mrr", "dim", "shrinkage"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["encoder.json", "map.npy"]
    encoder = load_encoder(tmp_path)
    assert (encoder.size, encoder.dim) == (SIZE, 5)
    rows = pairs_of(drawn.train, "brought")
    drawings, photos = (lines_of(drawn.train, rows[:, side], edges) for side, edges in ((0, "drawn"), (1, "canny")))
    batches = (to_batch(list(np.ascontiguousarray(np.asarray(drawn.train.images[rows[:, side]]).transpose(0, 2, 3, 1))))
               for side in (0, 1))  # fmt: skip
    descriptor = EdgeDescriptor(64, 9)
    of_photos, of_drawings = LinearMap.open_sides(tmp_path / "map.npy")
    asked, seen = next(batches), next(batches)
    np.testing.assert_allclose(
        encode_drawings(encoder, asked), of_drawings.apply(descriptor.describe(drawings)), atol=1e-6
    )
    np.testing.assert_allclose(encoder.encode(seen), of_photos.apply(descriptor.describe(photos)), atol=1e-6)
    write_json(tmp_path / "encoder.json", {**read_json(tmp_path / "encoder.json"), "square": 72})
    with pytest.raises(ModelError, match=r"the map takes 1764 numbers per image; the 2304 line orientations"):
        load_encoder(tmp_path)


def test_random_weights_and_a_missing_number_are_refused(params: Params, weights: str) -> None:
    with pytest.raises(ValueError, match=r"cells names 1 levels, sketch_map\.levels 2"):
        check(small(params, weights, cells=[4]))
    values = params.model_dump(by_alias=True, serialize_as_any=True) | {"retrievers": ["sketch_map"]}
    with pytest.raises(ParamsError, match=r"sketch_map needs pretrained weights.*set sketch_map\.net: false"):
        parse_params(values, methods=["sketch_map"])
    values["sketch_map"]["net"] = False
    assert "sketch_map" in parse_params(values, methods=["sketch_map"]).retrievers


def test_a_net_may_find_the_lines_of_photos(
    params: Params, drawn: RetrievalData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"net": False, "square": 64, "dims": [5], "edges": "hed", "hed_weights": stand_in(monkeypatch, tmp_path)}
    folder = tmp_path / "model"
    folder.mkdir()
    fit_encoder(small(params, "none", **settings), drawn, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["edges.onnx", "encoder.json", "map.npy"]
    rows = pairs_of(drawn.train, "brought")[:, 1]
    photos = list(np.ascontiguousarray(np.asarray(drawn.train.images[rows]).transpose(0, 2, 3, 1)))
    lines = EdgeDetector(folder / "edges.onnx", SIZE).lines(photos)
    mapped = LinearMap.open_sides(folder / "map.npy")[0].apply(EdgeDescriptor(64, 9).describe(lines))
    np.testing.assert_allclose(load_encoder(folder).encode(to_batch(photos)), mapped, atol=1e-5)


def test_a_net_of_lines_without_weights_is_refused(params: Params) -> None:
    values = params.model_dump(by_alias=True, serialize_as_any=True) | {"retrievers": ["sketch_map", "edges"]}
    values["sketch_map"]["net"] = False
    for name in ("sketch_map", "edges"):
        changed = {**values, name: {**values[name], "edges": "hed", "hed_weights": "none.h5"}}
        with pytest.raises(ParamsError, match=rf"{name}\.hed_weights = 'none\.h5' does not exist"):
            parse_params(changed, methods=["sketch_map", "edges"])


def test_labels_stand_in_the_description(params: Params, drawn: RetrievalData, tmp_path: Path) -> None:
    """Here items are the labels; `check` asks for categories."""
    told = fit_encoder(small(params, "none", net=False, square=64, dims=[5]), drawn, tmp_path)
    assert "label_weight" not in told
    assert "labels" not in read_json(tmp_path / "encoder.json")
    values = params.model_dump(by_alias=True, serialize_as_any=True)
    values["sketch_map"] |= {**SMALL, "net": False, "square": 64, "dims": [5], "label_weights": [0.4]}
    with pytest.raises(ParamsError, match=r"label_weights = \[0\.4\], but base\.protocol = 'instance' asks for items"):
        parse_params({**values, "retrievers": ["sketch_map"]}, methods=["sketch_map"])
    values["base"]["protocol"] = "category"
    told = fit_encoder(parse_params(values, methods=["sketch_map"]), drawn, tmp_path)
    items = len(np.unique(drawn.train.item_ids[pairs_of(drawn.train, "brought")[:, 1]]))
    described, encoder = describe_encoder(tmp_path), load_encoder(tmp_path)
    assert (described.labels, described.label_weight, told["label_weight"], encoder.dim) == (items, 0.4, 0.4, 5 + items)
    vectors = encoder.encode(np.random.default_rng(0).random((2, 3, SIZE, SIZE), dtype=np.float32))
    np.testing.assert_allclose(np.linalg.norm(vectors[:, :5], axis=1), 0.6**0.5, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    write_json(tmp_path / "encoder.json", {**read_json(tmp_path / "encoder.json"), "labels": encoder.dim})
    with pytest.raises(ModelError, match="cannot have"):
        load_encoder(tmp_path)
