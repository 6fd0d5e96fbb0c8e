"""A catalogue of coloured shapes, small enough to train on in seconds, and drawings of them."""

from __future__ import annotations

import cv2
import numpy as np

SIZE = 32
ITEMS_PER_SPLIT = {"train": 8, "val": 4, "test": 4}


def draw(item: int, domain: str, view: int) -> bytes:
    """A filled circle or square in the item's colour; consumer photos are darker and shifted."""
    generator = np.random.default_rng([item, domain == "shop", view])
    image = np.full((SIZE, SIZE, 3), 255 if domain == "shop" else 120, np.uint8)
    colour = [int(c) for c in np.random.default_rng(item).integers(0, 255, 3)]
    x, y = 16 + generator.integers(-4, 5, 2)
    if item % 2:
        cv2.circle(image, (int(x), int(y)), 9, colour, -1)
    else:
        cv2.rectangle(image, (int(x) - 8, int(y) - 8), (int(x) + 8, int(y) + 8), colour, -1)
    return cv2.imencode(".png", image)[1].tobytes()


def rows() -> list[dict]:
    found, item = [], 0
    for split, count in ITEMS_PER_SPLIT.items():
        for _ in range(count):
            for domain in ("shop", "consumer"):
                for view in range(2):
                    role = "train" if split == "train" else ("gallery" if domain == "shop" else "query")
                    found.append(
                        {
                            "image_id": f"item-{item}/{domain}-{view}",
                            "item_id": f"item-{item}",
                            "domain": domain,
                            "split": split,
                            "role": role,
                            "category": "round" if item % 2 else "square",
                            "attributes": ["shape:round"] if item % 2 else ["shape:square"],
                            "image": draw(item, domain, view),
                        }
                    )
            item += 1
    return found


def outline(item: int, number: int) -> bytes:
    """The item's shape as a line on white paper."""
    sheet = np.full((SIZE, SIZE, 3), 255, np.uint8)
    x, y = (16 + np.random.default_rng([item, number]).integers(-4, 5, 2)).tolist()
    if item % 2:
        cv2.circle(sheet, (x, y), 9, (0, 0, 0), 1)
    else:
        cv2.rectangle(sheet, (x - 8, y - 8), (x + 8, y + 8), (0, 0, 0), 1)
    return cv2.imencode(".png", sheet)[1].tobytes()
