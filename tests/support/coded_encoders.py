"""Hand-made encoders for heads `binary` and `pq`: what they compute is known by heart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from croquis.files import write_array, write_json

DIM = 48


def save_coded_encoder(folder: Path, head: str, size: int) -> Path:
    """The mean colours of 4 x 4 cells, 48 numbers x: tanh(10 * (x - 0.3)) for bits, x itself for product codes, under
    random codebooks of 12 parts with 16 codewords."""
    folder.mkdir(parents=True, exist_ok=True)
    cell, bits = size // 4, head == "binary"
    nodes = [
        helper.make_node("AveragePool", ["images"], ["pooled"], kernel_shape=[cell, cell], strides=[cell, cell]),
        helper.make_node("Flatten", ["pooled"], ["flat" if bits else "embeddings"]),
    ]
    if bits:
        nodes += [
            helper.make_node("Sub", ["flat", "middle"], ["centred"]),
            helper.make_node("Mul", ["centred", "gain"], ["steep"]),
            helper.make_node("Tanh", ["steep"], ["embeddings"]),
        ]
    else:
        write_array(folder / "codebooks.npy", np.random.default_rng(3).random((12, 16, 4), dtype=np.float32))
    constants = [helper.make_tensor(n, TensorProto.FLOAT, [1], [v]) for n, v in (("middle", 0.3), ("gain", 10.0))]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, size, size])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["batch", DIM])],
        constants if bits else [],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(folder / "encoder.onnx"))
    metric = "hamming" if bits else "l2"
    described = {"kind": "onnx", "file": "encoder.onnx", "size": size, "head": head, "dim": DIM, "metric": metric}
    write_json(folder / "encoder.json", described)
    return folder
