"""Levels of a backbone and the colour histogram as one vector, in PyTorch and in the exported graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from croquis.nets.session import onnxruntime
from croquis.params import Params
from croquis.params.training_blocks import PooledBackbone
from lightning_modules.nets.onnx_export import TOLERANCE, export_onnx
from lightning_modules.nets.pooling import COLOUR_NUMBERS, Pool, PoolingError, colour_histogram
from lightning_modules.nets.retrieval_net import average_pool_net, max_pool_net

RECIPE = {"levels": "all", "kind": "average", "normalise": True, "histogram": 0.5, "flip": False}


def backbone_with(params: Params, **pooling: Any) -> PooledBackbone:
    own = params.train_embedder.backbone
    return own.model_copy(update={"pooling": own.pooling.model_copy(update=pooling)})


def test_the_default_is_the_method_s_own_pooling_of_the_last_map(params: Params):
    images, shared = torch.rand(2, 3, 32, 32), params.train_embedder.backbone
    for net, pooled in (
        (average_pool_net(shared).eval(), lambda maps: maps.mean(dim=(2, 3))),
        (max_pool_net(shared, 8, False).eval(), lambda maps: maps.amax(dim=(2, 3))),
    ):
        assert torch.equal(net.features(images), pooled(net.backbone(images)))
        assert net.pool.dim == net.backbone.channels


def test_levels_are_pooled_put_to_length_one_and_joined(params: Params):
    images = torch.rand(2, 3, 32, 32)
    net = average_pool_net(backbone_with(params, **RECIPE)).eval()
    maps = net.backbone.forward_levels(images)
    assert len(maps) > 1
    parts = [F.normalize(each.mean(dim=(2, 3)), dim=1) for each in maps]
    expected = torch.cat([*parts, 0.5 * colour_histogram(images)], dim=1)
    torch.testing.assert_close(net.features(images), expected)
    assert (net.pool.dim, net.colours) == (expected.shape[1], COLOUR_NUMBERS)


def test_a_list_names_levels_from_both_ends(params: Params):
    images = torch.rand(2, 3, 32, 32)
    net = average_pool_net(backbone_with(params, levels=[-1, 1], kind="max")).eval()
    maps = net.backbone.forward_levels(images)
    expected = torch.cat([maps[-1].amax(dim=(2, 3)), maps[1].amax(dim=(2, 3))], dim=1)
    torch.testing.assert_close(net.features(images), expected)


@pytest.mark.parametrize("kind", ["average", "max"])
def test_each_level_may_be_pooled_in_cells(params: Params, kind: str):
    images = torch.rand(2, 3, 64, 64)
    net = average_pool_net(backbone_with(params, levels=[-2, -1], cells=[4, 1], kind=kind, normalise=True)).eval()
    grid, last = net.backbone.forward_levels(images)[-2:]
    assert grid.shape[2:] == (8, 8)
    cells = grid.unflatten(3, (4, 2)).unflatten(2, (4, 2))  # (B, C, 4, 2, 4, 2)
    cells, whole = (
        (cells.mean(dim=(3, 5)), last.mean(dim=(2, 3)))
        if kind == "average"
        else (cells.amax(dim=(3, 5)), last.amax(dim=(2, 3)))
    )
    expected = torch.cat([F.normalize(cells.flatten(1), dim=1), F.normalize(whole, dim=1)], dim=1)
    torch.testing.assert_close(net.features(images), expected)
    assert net.pool.dim == expected.shape[1]


def test_cells_name_a_number_for_each_level(params: Params):
    with pytest.raises(PoolingError, match=r"cells is \[4\], but 2 levels are pooled"):
        Pool(backbone_with(params, levels=[-2, -1], cells=[4]).pooling, (8, 16), "average")


@pytest.mark.parametrize(("levels", "said"), [([9], "names 9"), ([0, -4], "twice")])
def test_levels_that_are_not_there_are_refused(params: Params, levels: list[int], said: str):
    with pytest.raises(PoolingError, match=said):
        Pool(backbone_with(params, levels=levels).pooling, (8, 16, 24, 32), "average")


def test_the_histogram_counts_colours_by_cell():
    """By loops; black, white and colours at the border of a bin count too."""
    rng = np.random.default_rng(0)
    pictures = rng.choice([0, 63, 64, 127, 128, 192, 255], (2, 3, 10, 10)).astype(np.uint8)
    expected = np.zeros((2, 3, 3, 4, 4, 4))
    for image, picture in enumerate(pictures):
        for row in range(10):
            for column in range(10):
                red, green, blue = picture[:, row, column] // 64
                expected[image, row * 3 // 10, column * 3 // 10, red, green, blue] += 1
    expected = np.sqrt(expected.reshape(2, -1))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = colour_histogram(torch.from_numpy(pictures).float() / 255)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("projected", [False, True])
def test_the_graph_computes_the_same(params: Params, tmp_path: Path, projected: bool):
    shared = backbone_with(params, **RECIPE)
    net = max_pool_net(shared, 16, True) if projected else average_pool_net(shared)
    example = torch.rand(2, 3, 32, 32)
    assert export_onnx(net, example, tmp_path / "net.onnx", "images", "embeddings") < TOLERANCE
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    flat = torch.stack([torch.zeros(3, 32, 32), torch.ones(3, 32, 32), torch.rand(3, 32, 32)])
    (found,) = session.run(None, {"images": flat.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(found, net(flat).numpy(), atol=TOLERANCE)


@pytest.mark.slow
def test_a_photo_and_its_mirror_image_are_averaged_but_in_training(params: Params, tmp_path: Path):
    images = torch.rand(2, 3, 32, 32)
    net = average_pool_net(backbone_with(params, **RECIPE | {"flip": True})).eval()
    plain = average_pool_net(backbone_with(params, **RECIPE)).eval()
    plain.load_state_dict(net.state_dict())
    expected = (plain.features(images) + plain.features(images.flip(-1))) / 2
    torch.testing.assert_close(net.features(images), expected)
    torch.testing.assert_close(net(images), net(images.flip(-1)))
    assert export_onnx(net, images, tmp_path / "net.onnx", "images", "embeddings") < TOLERANCE
    net.train()
    torch.testing.assert_close(net.features(images), plain.train().features(images))
