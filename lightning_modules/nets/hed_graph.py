"""HED as an ONNX graph: VGG-16 with a side output behind each of its five blocks (Xie & Tu, ICCV 2015, section 3).

    side_k = up(w_k * block_k(... block_1(x))),    edges = sigmoid(w * [side_1, ..., side_5])

x is BGR of 0 to 255 less the mean of ImageNet, as the nets of Caffe took it; `up` is bilinear, to the size of x; between the
blocks is a maximum of 2 x 2. Each convolution of a block is followed by a ReLU. Around the picture its outermost pixels are
repeated: convolutions pad by zeros, and would see an edge where a light picture ends.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from croquis.catalog.edge_maps import HED
from croquis.files import fresh_file
from lightning_modules.nets.hed_weights import STRIDE, HedWeights, Kernel, find_hed, read_hed

MEANS = (122.67892, 116.66877, 104.00699)  # of red, green and blue, of 255
FILE = "edges.onnx"
MARGIN = STRIDE  # pixels that are added on each side
OPSET, IR = 18, 8


class HedGraph:
    """Nodes and weights, put together one by one."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def constant(self, name: str, values: npt.ArrayLike, kind: type[np.number] = np.float32) -> str:
        """Adds a tensor; returns its name."""
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values, dtype=kind), name))
        return name

    def add(self, kind: str, inputs: list[str], name: str, **settings: object) -> str:
        """Adds a node; returns the name of its output."""
        self.nodes.append(helper.make_node(kind, inputs, [name], name, **settings))
        return name

    def convolution(self, value: str, layer: tuple[Kernel, Kernel], name: str) -> str:
        """With as much padding as keeps the size."""
        kernel, bias = (
            self.constant(f"{name}.{part}", each) for part, each in zip(("weight", "bias"), layer, strict=True)
        )
        side = layer[0].shape[-1]
        return self.add("Conv", [value, kernel, bias], name, kernel_shape=[side, side], pads=[side // 2] * 4)


def hed_graph(weights: HedWeights, size: int) -> onnx.ModelProto:
    """Input `images` (B, 3, size, size), RGB in [0, 1]; output `edges` (B, 1, size, size), probabilities.

    Raises:
        ValueError: when the size is no multiple of 16, by which the deepest side output is enlarged.
    """
    if size % STRIDE:
        raise ValueError(f"size is {size}; for edges by HED it must be a multiple of {STRIDE}")
    graph = HedGraph()
    wide = graph.constant("margins", [0, 0, MARGIN, MARGIN] * 2, np.int64)
    padded = graph.add("Pad", ["images", wide], "padded", mode="edge")
    scaled = graph.add("Mul", [padded, graph.constant("white", [255])], "scaled")
    value = graph.add("Sub", [scaled, graph.constant("means", np.reshape(MEANS, (1, 3, 1, 1)))], "centred")
    sides: list[str] = []
    for number, (block, side) in enumerate(zip(weights.blocks, weights.sides, strict=True), start=1):
        if number > 1:
            value = graph.add("MaxPool", [value], f"pool{number}", kernel_shape=[2, 2], strides=[2, 2])
        for place, (kernel, bias) in enumerate(block, start=1):
            name = f"block{number}_conv{place}"
            of_rgb = kernel[:, ::-1] if (number, place) == (1, 1) else kernel  # the net was trained on BGR
            value = graph.add("Relu", [graph.convolution(value, (of_rgb, bias), name)], f"{name}.relu")
        told = graph.convolution(value, side, f"dsn{number}")
        if number > 1:
            scales = graph.constant(f"scales{number}", [1, 1, 2 ** (number - 1), 2 ** (number - 1)])
            told = graph.add(
                "Resize",
                [told, "", scales],
                f"side{number}",
                mode="linear",
                coordinate_transformation_mode="half_pixel",
            )
        sides.append(told)
    fused = graph.convolution(graph.add("Concat", sides, "sides", axis=1), weights.fuse, "fuse")
    found = graph.add("Sigmoid", [fused], "probabilities")
    ends = [graph.constant(name, [at, at], np.int64) for name, at in (("begin", MARGIN), ("end", MARGIN + size))]
    graph.add("Slice", [found, *ends, graph.constant("axes", [2, 3], np.int64)], "edges")
    shapes = {"images": ["batch", 3, size, size], "edges": ["batch", 1, size, size]}
    stated = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()}
    made = helper.make_graph(graph.nodes, "hed", [stated["images"]], [stated["edges"]], graph.weights)
    model = helper.make_model(
        made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR, producer_name="croquis"
    )
    onnx.checker.check_model(model)
    return model


def write_hed(weights: str, size: int, path: Path) -> None:
    """Writes the graph with the weights that `hed_weights` of params.yaml names.

    Raises:
        HedWeightsError: when they cannot be read.
    """
    model = hed_graph(read_hed(find_hed(weights)), size)
    with fresh_file(path) as partial:
        onnx.save(model, partial)


def add_detector(edges: str, weights: str, size: int, folder: Path) -> dict[str, str]:
    """Writes the net of the edges `hed` into `folder`, for no others; returns the key of encoder.json that names it."""
    if edges != HED:
        return {}
    write_hed(weights, size, folder / FILE)
    return {"detector": FILE}
