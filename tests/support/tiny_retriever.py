"""Tiny hand-made nets, and a bundle of them whose answers are known by heart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
from onnx import TensorProto, helper

from croquis.bundle import write_bundle
from croquis.bundle.gallery_file import GALLERY_SCHEMA
from croquis.catalog.images import encode_jpeg, encode_png, prepare_image, to_batch
from croquis.files import write_json
from croquis.index.build import build_index
from croquis.nets.colours import hex_of
from croquis.nets.encoder import load_encoder

SIZE = 16
SKETCH_SIZE = 8
COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (20, 30, 210)}
RERANK = {
    "enabled": False,
    "depth": 20,
    "alpha": 1.0,
    "beta": 1.0,
    "overlap": "count",
    "gallery_attributes": "catalogue",
    "standing": "rank",
    "steps": ["attributes"],
    "compare": [],
    "k_reciprocal": {"neighbours": 20, "expansion": 6, "distance_weight": 0.3},
    "alpha_qe": {"neighbours": 3, "power": 3.0},
}


def save_graph(
    path: Path,
    nodes: list[Any],
    source: str,
    target: str,
    size: int,
    out: list[Any],
    constants: Any = (),
    channels: int = 3,
) -> None:
    inputs = [helper.make_tensor_value_info(source, TensorProto.FLOAT, ["batch", channels, size, size])]
    outputs = [helper.make_tensor_value_info(target, TensorProto.FLOAT, out)]
    graph = helper.make_graph(nodes, "test", inputs, outputs, list(constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(path))


def save_encoder(folder: Path, size: int = SIZE) -> Path:
    """embeddings = the mean colours of 4 x 4 cells, L2-normalised: 48 numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    cell = size // 4
    nodes = [
        helper.make_node("AveragePool", ["images"], ["pooled"], kernel_shape=[cell, cell], strides=[cell, cell]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("LpNormalization", ["flat"], ["embeddings"], axis=1, p=2),
    ]
    save_graph(folder / "encoder.onnx", nodes, "images", "embeddings", size, ["batch", 48])
    described = {"kind": "onnx", "file": "encoder.onnx", "size": size, "head": "dense", "dim": 48, "metric": "cosine"}
    write_json(folder / "encoder.json", described)
    return folder


def save_generator(folder: Path, size: int = SKETCH_SIZE, samples: int = 1) -> Path:
    """photos = sketches tinted red: the green and blue channels are dimmed to 0.2; of more samples, at most three, the
    second is tinted green and the third blue."""
    folder.mkdir(parents=True, exist_ok=True)
    several, described = ([samples], {"samples": samples}) if samples > 1 else ([], {})
    tints = np.where(np.eye(3), 1, 0.2).astype(np.float32)[:samples]
    tint = helper.make_tensor("tint", TensorProto.FLOAT, [1, *several, 3, 1, 1], tints.tobytes(), raw=True)
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], [1])
    nodes = [helper.make_node("Unsqueeze", ["sketches", "axis"], ["each"])] if several else []
    nodes += [helper.make_node("Mul", ["each" if several else "sketches", "tint"], ["photos"])]
    constants = [tint, axis] if several else [tint]
    out = ["batch", *several, 3, size, size]
    save_graph(folder / "generator.onnx", nodes, "sketches", "photos", size, out, constants)
    write_json(folder / "generator.json", {"file": "generator.onnx", "size": size, **described})
    return folder


def save_colour_generator(folder: Path, size: int = SKETCH_SIZE) -> Path:
    """photos = sketches times their colour, which is grey where none is given; it knows the words of `COLOURS`."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = helper.make_tensor("parts", TensorProto.INT64, [3], [3, 3, 1])
    nodes = [
        helper.make_node("Split", ["sketches", "parts"], ["drawn", "colours", "given"], axis=1),
        helper.make_node("Mul", ["drawn", "colours"], ["photos"]),
    ]
    out = ["batch", 3, size, size]
    save_graph(folder / "generator.onnx", nodes, "sketches", "photos", size, out, [parts], channels=7)
    words = {name: hex_of(colour) for name, colour in COLOURS.items()}
    write_json(folder / "generator.json", {"file": "generator.onnx", "size": size, "colours": words})
    return folder


def save_classifier(folder: Path, size: int = SIZE) -> Path:
    """probabilities = the mean of each channel, as `colour:red`, `colour:green`, `colour:blue`."""
    folder.mkdir(parents=True, exist_ok=True)
    nodes = [helper.make_node("ReduceMean", ["images"], ["probabilities"], axes=[2, 3], keepdims=0)]
    save_graph(folder / "classifier.onnx", nodes, "images", "probabilities", size, ["batch", 3])
    names = [f"colour:{name}" for name in COLOURS]
    write_json(
        folder / "classifier.json",
        {"file": "classifier.onnx", "size": size, "attributes": names, "thresholds": [0.5, 0.5, 0.5], "exclusive": []},
    )
    return folder


def garment(colour: str, number: int) -> np.ndarray:
    """A picture of one colour with a dark patch whose place depends on `number` (0 to 15)."""
    image = np.full((32, 32, 3), COLOURS[colour], dtype=np.uint8)
    row, column = divmod(number, 4)
    image[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8] = 40
    return image


def gallery_rows() -> list[dict[str, Any]]:
    """36 shop photos: 12 places of the patch in each of three colours; even ones are dresses, odd ones coats."""
    rows = []
    for colour in COLOURS:
        for number in range(12):
            image = garment(colour, number)
            sleeve = "sleeve:long" if number % 3 == 0 else "sleeve:short"
            rows.append(
                {
                    "image_id": f"{colour}-{number:02d}",
                    "item_id": f"item-{colour}-{number // 2}",
                    "category": "dress" if number % 2 == 0 else "coat",
                    "domain": "shop",
                    "split": "test",
                    "role": "gallery",
                    "view": "front",
                    "attributes": [f"colour:{colour}", sleeve],
                    "predicted_attributes": [f"colour:{colour}"],
                    "thumbnail": encode_jpeg(image),
                }
            )
    return sorted(rows, key=lambda row: str(row["image_id"]))


def picture_of(image_id: str) -> np.ndarray:
    colour, number = image_id.split("-")
    return garment(colour, int(number))


def tiny_parts(models: Path) -> dict[str, Any]:
    """The arguments of `write_bundle` for the tiny retriever, but for the folder; its nets go to `models`."""
    encoder_folder = save_encoder(models / "siamese")
    rows = gallery_rows()
    batch = to_batch([prepare_image(picture_of(row["image_id"]), SIZE) for row in rows])
    return {
        "method": "siamese",
        "encoder_folder": encoder_folder,
        "generator_folder": save_generator(models / "sketch_gan"),
        "classifier_folder": save_classifier(models / "attributes"),
        "index": build_index(load_encoder(encoder_folder).encode(batch), metric="cosine"),
        "gallery_table": pa.Table.from_pylist(rows, schema=GALLERY_SCHEMA),
        "rerank": RERANK,
        "image_size": SIZE,
    }


def write_tiny_bundle(folder: Path, **changes: Any) -> Path:
    """The tiny bundle at `folder`, with some parts replaced."""
    return write_bundle(folder, **{**tiny_parts(folder.with_name(f"{folder.name}-models")), **changes}).folder


def photo(image_id: str = "red-00") -> bytes:
    """A PNG of a gallery picture."""
    return encode_png(picture_of(image_id))
