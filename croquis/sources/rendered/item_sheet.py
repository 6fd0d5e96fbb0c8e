"""The picture of the README: a few items, each as front, back, detail, two consumer photos and a flat."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from croquis.files import write_bytes
from croquis.sources.rendered.catalogue import item_rows
from croquis.sources.rendered.item_lineage import make_item
from croquis.sources.rendered.rendered_settings import Rendered

COLUMNS = ("shop-front", "shop-back", "shop-detail", "consumer-0", "consumer-1", "flat")
GAP = 6


def varied_items(params: Rendered, seed: int, count: int) -> list[int]:
    """The first items with a flat that bring a new category, pattern and colour each, in item order."""
    seen: dict[str, set[str]] = {"category": set(), "pattern": set(), "colour": set()}
    chosen: list[int] = []
    for number in range(params.items):
        item = make_item(params, seed, number)
        fresh = all(getattr(item.garment, key) not in values for key, values in seen.items())
        if item.split == "train" or not fresh:
            continue
        chosen.append(number)
        for key, values in seen.items():
            values.add(getattr(item.garment, key))
        if len(chosen) == count:
            break
    return chosen


def sheet(params: Rendered, seed: int, numbers: Sequence[int], side: int) -> np.ndarray:
    """RGB uint8: one line of six pictures per item, on white."""
    bands = [_band(params, seed, number, side) for number in numbers]
    return np.pad(np.vstack(bands), ((GAP, 0), (GAP, 0), (0, 0)), constant_values=255)


def _band(params: Rendered, seed: int, number: int, side: int) -> np.ndarray:
    images = {row["image_id"].split("/")[1]: row["image"] for row in item_rows(params, seed, number)}
    cells = []
    for name in COLUMNS:
        picture = np.full((params.size, params.size, 3), 255, dtype=np.uint8)
        if name in images:
            picture = np.asarray(Image.open(BytesIO(images[name])).convert("RGB"))
        small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
        cells.append(np.pad(small, ((0, GAP), (0, GAP), (0, 0)), constant_values=255))
    return np.hstack(cells)


def write_sheet(path: str | Path, params: Rendered, seed: int, count: int = 8, side: int = 112) -> None:
    """Draws `count` different items and writes the sheet as PNG.

    The photos are rendered at twice the side, and channels are rounded to steps of 6, which keeps the file small.
    """
    changes = {"size": 2 * side, "sketches": True, "consumer_photos": max(2, params.consumer_photos)}
    shown = params.model_copy(update={**changes, "shop_views": ["front", "back", "detail"]})
    image = sheet(shown, seed, varied_items(shown, seed, count), side).astype(np.int32)
    coarse = np.minimum(255, (image + 3) // 6 * 6).astype(np.uint8)
    target = BytesIO()
    Image.fromarray(np.where(image > 250, 255, coarse).astype(np.uint8)).save(target, "PNG", optimize=True)
    write_bytes(path, target.getvalue())
