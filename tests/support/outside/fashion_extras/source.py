"""Drawn shapes in a colour per item, made in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from pydantic import Field

from croquis.params.block import Block
from croquis.sources import Source

SHAPES = ("circle", "square", "bar")


class DrawnShapes(Block):
    items: int = Field(ge=6, le=1000)
    side: int = Field(ge=32, le=256, description="pixels")


def rows(block: DrawnShapes, seed: int) -> Iterator[dict[str, Any]]:
    """Half of the items train, a quarter each are val and test; two shop and two consumer photos of each."""
    for item in range(block.items):
        split = ("train", "val", "train", "test")[item % 4]
        for domain in ("shop", "consumer"):
            role = "train" if split == "train" else ("gallery" if domain == "shop" else "query")
            for number in range(2):
                yield {
                    "image_id": f"shape-{item:03d}/{domain}-{number}",
                    "item_id": f"shape-{item:03d}",
                    "domain": domain,
                    "split": split,
                    "role": role,
                    "category": SHAPES[item // 4 % 3],
                    "attributes": ["size:large" if item // 2 % 2 else "size:small"],
                    "image": _drawn(item, domain, number, block.side, seed),
                }


def _drawn(item: int, domain: str, number: int, side: int, seed: int) -> bytes:
    own, chance = np.random.default_rng([seed, item]), np.random.default_rng([seed, item, domain == "shop", number])
    paper = np.full((side, side, 3), 250 if domain == "shop" else 235, np.uint8)
    colour = [int(value) for value in own.integers(0, 220, 3)]
    tilt, half = float(own.uniform(0, 90)), side * (0.34 if item // 2 % 2 else 0.24)
    x, y = (side / 2 + chance.integers(-side // 10, side // 10 + 1, 2)).tolist()
    shape = SHAPES[item // 4 % 3]
    if shape == "circle":
        cv2.circle(paper, (int(x), int(y)), int(half), colour, -1)
    else:
        size = (2 * half, 2 * half if shape == "square" else half)
        corners = cv2.boxPoints(((x, y), size, tilt + float(chance.uniform(-5, 5)))).astype(np.int32)
        cv2.fillPoly(paper, [corners], colour)
    noise = chance.integers(-6, 7, paper.shape)
    picture = np.clip(paper.astype(np.int64) + noise, 0, 255).astype(np.uint8)
    return bytes(cv2.imencode(".png", picture)[1])


SOURCE = Source(params=DrawnShapes, rows=rows)
