"""Rows of a small catalogue of drawn garments."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image, ImageDraw


def draw_garment(seed: int, size: int = 48) -> bytes:
    """A PNG of a garment-like shape whose place, colour and marks depend on `seed` in a way that a hash can see."""
    chance = np.random.default_rng(seed)
    image = Image.new("RGB", (size, size), "white")
    canvas = ImageDraw.Draw(image)
    canvas.rectangle((8, 6, 38, 44), fill=tuple(chance.integers(0, 200, 3).tolist()))
    for _ in range(12):
        x, y, width, height = chance.integers(0, 36, 4).tolist()
        canvas.ellipse((x, y, x + 4 + width // 3, y + 4 + height // 3), fill=tuple(chance.integers(0, 256, 3).tolist()))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def build_rows(items: int = 12) -> list[dict[str, Any]]:
    """Per item two shop photos and a consumer photo; half of the items train, then val, then test."""
    rows = []
    for item in range(items):
        split = "train" if item < items // 2 else "val" if item < items * 3 // 4 else "test"
        for photo, (domain, view) in enumerate([("shop", "front"), ("shop", "back"), ("consumer", None)]):
            role = "train" if split == "train" else "gallery" if photo < 1 else "query"
            rows.append(
                {
                    "image_id": f"{item:02d}/{photo}",
                    "item_id": f"item-{item:02d}",
                    "domain": domain,
                    "split": split,
                    "role": role,
                    "category": "coat" if item % 3 else "dress",
                    "view": view,
                    "attributes": ["sleeve:long"] if item % 2 else [],
                    "bbox": [4, 4, 44, 46],
                    "image": draw_garment(100 * item + photo),
                }
            )
    return rows
