"""A text tower by hand for the tiny encoder: words that no text of its gallery has, and the colours that they mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from croquis.files import read_json, write_json
from tests.support import tiny_retriever as tiny

LENGTH = 6  # tokens
MEANINGS = {"crimson": "red", "emerald": "green", "azure": "blue"}
PAD, UNKNOWN = "[pad]", "[unk]"
VOCABULARY = {PAD: 0, UNKNOWN: 1, **{word: 2 + place for place, word in enumerate(MEANINGS)}}


def word_vector(word: str) -> np.ndarray:
    """(48,): of a word, the colour that it means in each of the 4 x 4 cells, from cell to cell brighter, so that no two
    pictures are alike to it; of any other word a small grey."""
    colour = tiny.COLOURS[MEANINGS[word]] if word in MEANINGS else (2, 2, 2)
    return np.outer(np.array(colour, dtype=np.float32) / 255, np.linspace(1, 2, 16, dtype=np.float32)).ravel()


def text_by_hand(text: str) -> np.ndarray:
    """(48,) of length 1: the sum of the vectors of the first words, filled up with grey ones."""
    words = (text.lower().split() + [PAD] * LENGTH)[:LENGTH]
    total = np.sum([word_vector(word) for word in words], axis=0)
    return total / np.linalg.norm(total)


def save_text_graph(path: Path, length: int | str = LENGTH, dim: int = 48) -> None:
    table = np.stack([word_vector(word)[:dim] for word in VOCABULARY])
    constants = [
        helper.make_tensor("table", TensorProto.FLOAT, table.shape, table.tobytes(), raw=True),
        helper.make_tensor("axes", TensorProto.INT64, [1], [1]),
    ]
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["each"], axis=0),
        helper.make_node("ReduceSum", ["each", "axes"], ["total"], keepdims=0),
        helper.make_node("LpNormalization", ["total"], ["embeddings"], axis=1, p=2),
    ]
    inputs = [helper.make_tensor_value_info("tokens", TensorProto.INT64, ["batch", length])]
    outputs = [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["batch", dim])]
    graph = helper.make_graph(nodes, "test", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(path))


def tokenizer_json(length: int = LENGTH) -> dict[str, Any]:
    """As the library `tokenizers` writes it: words between blanks."""
    shared = {"direction": "Right"}
    return {
        "version": "1.0",
        "truncation": {**shared, "max_length": length, "strategy": "LongestFirst", "stride": 0},
        "padding": {
            **shared, "strategy": {"Fixed": length}, "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0,
            "pad_token": PAD,
        },
        "added_tokens": [],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": dict(VOCABULARY), "unk_token": UNKNOWN},
    }  # fmt: skip


def add_tower(folder: Path) -> Path:
    """Puts the tower beside the encoder of `folder`."""
    save_text_graph(folder / "text.onnx")
    write_json(folder / "tokenizer.json", tokenizer_json())
    described = read_json(folder / "encoder.json")
    write_json(folder / "encoder.json", described | {"text": "text.onnx", "tokenizer": "tokenizer.json"})
    return folder
