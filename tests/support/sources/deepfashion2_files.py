"""Writes a small DeepFashion2: a JSON per image with several garments, styles with and without a match, the val lists."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.sources.drawn_files import garment

CATEGORIES = {1: "short sleeve top", 8: "trousers", 12: "vest dress"}


def entry(category: int, style: int, box: list[int], viewpoint: int = 2) -> dict[str, Any]:
    """One garment as the annotations describe it; three landmarks: visible, occluded, not labelled."""
    x1, y1, x2, y2 = box
    return {
        "segmentation": [[x1, y1, x2, y1, x2, y2]],
        "scale": 2,
        "viewpoint": viewpoint,
        "zoom_in": 1,
        "landmarks": [x1 + 2, y1 + 2, 2, x2 - 2, y1 + 2, 1, 0, 0, 0],
        "style": style,
        "bounding_box": box,
        "category_id": category,
        "occlusion": 1,
        "category_name": CATEGORIES[category],
    }


def write_image(
    root: Path,
    folder: str,
    number: int,
    looks: int,
    source: str,
    pair: int,
    items: list[dict[str, Any]],
    size: int = 48,
) -> None:
    notes = {"source": source, "pair_id": pair} | {f"item{n}": item for n, item in enumerate(items, start=1)}
    path = root / folder / "annos" / f"{number:06d}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notes))
    garment(root / folder / "image" / f"{number:06d}.jpg", looks, number, (size, size))


def write_deepfashion2(root: Path, train_pairs: int = 24, test_pairs: int = 8, size: int = 48) -> Path:
    """Pairs of five images: two of consumers (a top of style 1; in the second, trousers of style 0 too), three of the shop
    (the top; the top in style 2; a dress of style 0, which nothing matches). Pairs count from 1 in both folders.
    """
    whole, lower = [4, 2, size - 6, size - 4], [6, size // 2, size - 8, size - 2]
    for folder, pairs in (("train", train_pairs), ("validation", test_pairs)):
        for pair in range(1, pairs + 1):
            looks = pair + (0 if folder == "train" else 500)
            images = [
                (looks, "user", [entry(1, 1, whole)]),
                (looks, "user", [entry(1, 1, whole), entry(8, 0, lower)]),
                (looks, "shop", [entry(1, 1, whole)]),
                (looks + 1000, "shop", [entry(1, 2, whole, viewpoint=3)]),
                (looks + 2000, "shop", [entry(12, 0, whole, viewpoint=1)]),
            ]
            for place, (form, source, items) in enumerate(images):
                write_image(root, folder, 5 * (pair - 1) + place + 1, form, source, pair, items, size)
    return root


def write_lists(root: Path, skipped: int = 0) -> None:
    """`val_query.json` and `val_gallery.json` of what `validation` holds, queries of style 0 included as released; the
    last `skipped` gallery garments are not listed.
    """
    listed: dict[str, list[dict[str, Any]]] = {"query": [], "gallery": []}
    for path in sorted((root / "validation/annos").glob("*.json")):
        notes = json.loads(path.read_text())
        role = "query" if notes["source"] == "user" else "gallery"
        for item in (value for key, value in notes.items() if key.startswith("item")):
            found = {"style": item["style"], "pair_id": notes["pair_id"], f"{role}_image_id": int(path.stem)}
            more = {"cls": item["category_id"]} if role == "query" else {}
            listed[role].append(found | more | {"bbox": item["bounding_box"]})
    listed["gallery"] = listed["gallery"][: len(listed["gallery"]) - skipped]
    for role, entries in listed.items():
        (root / f"val_{role}.json").write_text(json.dumps(entries))
