"""HED with few channels: of random weights, and one whose first block is a gradient filter, so that it finds edges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from lightning_modules.nets import hed_graph
from lightning_modules.nets.hed_weights import CONVOLUTIONS, HedWeights, Layer


def random_weights(seed: int, channels: int = 4) -> HedWeights:
    """Kernels and biases of a normal distribution; block k has `channels` + k channels."""
    chance = np.random.default_rng(seed)
    inputs, blocks, sides = 3, [], []

    def layer(outputs: int, side: int, scale: float) -> Layer:
        kernel = chance.normal(0, scale / (side * inputs**0.5), (outputs, inputs, side, side))
        return kernel.astype(np.float32), chance.normal(0, 0.1, outputs).astype(np.float32)

    for number, count in enumerate(CONVOLUTIONS):
        block = []
        for place in range(count):
            block.append(layer(channels + number, 3, 0.02 if number == place == 0 else 1.4))  # pictures reach 255
            inputs = channels + number
        blocks.append(tuple(block))
        sides.append(layer(1, 1, 1.0))
    inputs = len(CONVOLUTIONS)
    return HedWeights(tuple(blocks), tuple(sides), layer(1, 1, 1.0))


def gradient_weights() -> HedWeights:
    """Probability 0.5 where the brightness of neighbours differs by about 60 of 255."""
    sobel = np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]], dtype=np.float32) / 12  # 4 weights a side, 3 channels
    filters = np.stack([sobel, -sobel, sobel.T, -sobel.T])
    blank = random_weights(0)
    first = np.repeat(filters[:, None], 3, axis=1), np.zeros(4, np.float32)
    same = np.zeros((4, 4, 3, 3), np.float32)
    same[range(4), range(4), 1, 1] = 1
    side = np.full((1, 4, 1, 1), 0.1, np.float32), np.array([-6], np.float32)
    fuse = np.array([1, 0, 0, 0, 0], np.float32).reshape(1, 5, 1, 1), np.zeros(1, np.float32)
    return HedWeights(((first, (same, np.zeros(4, np.float32))), *blank.blocks[1:]), (side, *blank.sides[1:]), fuse)


def write_detector(folder: Path, size: int) -> Path:
    """The graph of `gradient_weights` as `folder`/edges.onnx."""
    onnx.save(hed_graph.hed_graph(gradient_weights(), size), folder / hed_graph.FILE)
    return folder / hed_graph.FILE


def stand_in(monkeypatch: pytest.MonkeyPatch, folder: Path) -> str:
    """Has `gradient_weights` read in place of any file; returns the path of one for `hed_weights`."""
    monkeypatch.setattr(hed_graph, "read_hed", lambda _: gradient_weights())
    path = folder / "hed.h5"
    path.touch()
    return str(path)
