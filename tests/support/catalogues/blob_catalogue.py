"""A catalogue of coloured blobs with drawings of them, and a bundle of the histogram retriever: small enough to check by
hand-written loops."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from croquis.bundle import write_bundle
from croquis.bundle.gallery_file import GALLERY_SCHEMA
from croquis.catalog.images import decode_image, encode_jpeg, encode_png, prepare_image, to_batch
from croquis.catalog.table import Catalog, CatalogWriter
from croquis.files import write_json
from croquis.index.build import build_index
from croquis.nets.encoder import describe_fixed
from croquis.nets.histogram_encoder import HistogramEncoder

SIZE = 32
RERANK = {
    "enabled": False,
    "depth": 60,
    "alpha": 1.0,
    "beta": 1.0,
    "overlap": "count",
    "gallery_attributes": "predicted",
    "standing": "rank",
    "steps": ["attributes"],
    "compare": [],
    "k_reciprocal": {"neighbours": 20, "expansion": 6, "distance_weight": 0.3},
    "alpha_qe": {"neighbours": 3, "power": 3.0},
}
SHAPES = {"val": 6, "test": 9, "train": 3}  # items per split


def picture(item: int, seed: int, noise: float, drawing: bool = False) -> np.ndarray:
    """A rectangle (its outline in a drawing) whose place, form and colour come from the item, on grey with noise."""
    rng = np.random.default_rng(item)
    left, top = rng.integers(3, 12, 2)
    width, height = rng.integers(10, 18, 2)
    colour = rng.integers(0, 256, 3)
    if drawing:
        image = np.full((SIZE, SIZE, 3), 255, np.uint8)
        image[top : top + height, left : left + width] = 0
        image[top + 1 : top + height - 1, left + 1 : left + width - 1] = 255
        return image
    shift = np.random.default_rng([item, seed])
    values = np.full((SIZE, SIZE, 3), 235.0)
    values[top : top + height, left : left + width] = colour
    return np.clip(values + shift.normal(0, noise, values.shape), 0, 255).astype(np.uint8)


def rows() -> Iterator[dict[str, Any]]:
    """Per item two gallery photos and one query photo of the shop, two consumer photos, and a drawing of val and test."""
    for split, count in SHAPES.items():
        for number in range(count):
            item = len(split) * 1000 + number
            for name, domain, role, noise in (
                ("front", "shop", "gallery", 3.0),
                ("back", "shop", "gallery", 6.0),
                ("detail", "shop", "query", 12.0),
                ("street", "consumer", "query", 60.0),
                ("party", "consumer", "query", 90.0),
                ("flat", "sketch", "query", 0.0),
            ):
                if split == "train" and domain == "sketch":
                    continue
                seed = len(name) * 7 + ord(name[0])
                yield {
                    "image_id": f"{split}-{number}/{name}",
                    "item_id": f"{split}-{number}",
                    "domain": domain,
                    "split": split,
                    "role": "train" if split == "train" else role,
                    "category": ("dress", "coat", "skirt")[number % 3],
                    "view": name if domain == "shop" else None,
                    "attributes": [f"form:{number % 2}"],
                    "bbox": [1, 1, 30, 31] if name == "street" else None,
                    "image": encode_png(picture(item, seed, noise, drawing=domain == "sketch")),
                }


def write_catalogue(root: Path, shuffle: int | None = None, **changes: Any) -> Catalog:
    """data/catalog and data/sketches under `root`, in small shards; `changes` overwrite columns of every query."""
    listed = [row | (changes if row["role"] == "query" else {}) for row in rows()]
    if shuffle is not None:
        listed = [listed[i] for i in np.random.default_rng(shuffle).permutation(len(listed))]
    with CatalogWriter(root / "data/catalog", 16) as photos, CatalogWriter(root / "data/sketches", 16) as drawings:
        for row in listed:
            (drawings if row["domain"] == "sketch" else photos).write(row)
    return Catalog.open(root / "data/catalog")


def encoder() -> HistogramEncoder:
    return HistogramEncoder(colour_bins=4, orientation_bins=6, grid=2, colour_weight=0.5, size=SIZE)


def vectors_of(listed: list[dict[str, Any]]) -> np.ndarray:
    images = [prepare_image(decode_image(row["image"]), SIZE, row["bbox"]) for row in listed]
    return encoder().encode(to_batch(images))


def write_histogram_bundle(root: Path, catalog: Catalog, **changes: Any) -> Path:
    """models/bundles/histogram under `root`, over the catalogue's shop photos with role gallery or train."""
    write_json(root / "models/histogram/encoder.json", describe_fixed(encoder()))
    chosen = catalog.select(domain="shop", role=["gallery", "train"])
    listed = sorted(catalog.rows(chosen), key=lambda row: str(row["image_id"]))
    columns = [name for name in GALLERY_SCHEMA.names if name not in ("predicted_attributes", "thumbnail")]
    table = pa.Table.from_pylist(
        [
            {name: row[name] for name in columns}
            | {"predicted_attributes": [], "thumbnail": encode_jpeg(decode_image(row["image"]))}
            for row in listed
        ],
        schema=GALLERY_SCHEMA,
    )
    parts = {
        "method": "histogram",
        "encoder_folder": root / "models/histogram",
        "generator_folder": None,
        "classifier_folder": None,
        "index": build_index(vectors_of(listed), metric="cosine"),
        "gallery_table": table,
        "rerank": RERANK,
        "image_size": SIZE,
    }
    return write_bundle(root / "models/bundles/histogram", **(parts | changes)).folder
