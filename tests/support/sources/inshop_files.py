"""Writes a small In-shop release: every file, header and quirk of the real one, garments drawn by us."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.sources.drawn_files import counted, garment

VIEWS = ("1_front", "2_side", "3_back", "7_additional")
ATTRIBUTES = ("a-line", "long sleeve ", "faux  leather")
BOX_HEADER = "image_name clothes_type pose_type x_1 y_1 x_2 y_2"
LANDMARK_HEADER = "image_name clothes_type variation_type " + " ".join(
    f"landmark_visibility_{n} landmark_location_x_{n} landmark_location_y_{n}" for n in range(1, 9)
)
POINTS = {1: 6, 2: 4, 3: 8}


def photo_names(item: int, count: int, folder: str = "WOMEN/Dresses") -> list[str]:
    return [f"img/{folder}/id_{item:08d}/{1 + n // 4:02d}_{VIEWS[n % 4]}.jpg" for n in range(count)]


def write_inshop(root: Path, train_items: int = 24, test_items: int = 6, size: int = 48, release: str = "1.3") -> Path:
    """A release below `root` of square photos, `size` pixels (256 in the real set), with boxes and landmarks to fit.

    Items have four photos, the last of train a single one; the first of test is a pair of trousers. `release` is 1.3
    (attributes in `Anno/`) or 2.0 (in `Anno/attributes/`).
    """
    lines, boxes, landmarks, items, named = [], [], [], [], []
    for item in range(1, train_items + test_items + 1):
        trousers = item == train_items + 1
        of_item = photo_names(item, 1 if item == train_items else 4, "MEN/Pants" if trousers else "WOMEN/Dresses")
        statuses = ["train"] * 4 if item <= train_items else ["gallery", "query", "query", "gallery"]
        for shot, (name, status) in enumerate(zip(of_item, statuses, strict=False)):
            garment(root / name, item, shot, (size, size))
            lines.append(f"{name:<70} id_{item:08d} {status:<11}")
        clothes = 2 if trousers else 1 + 2 * (item % 2)
        corners = "  ".join(f"{edge * size // 256:03d}" for edge in (65, 45, 233, 252))
        boxes += [f"{name}  {clothes}  1  {corners}" for name in of_item]
        landmarks += [f"{name} {clothes} 1 {_points(POINTS[clothes], size)} " for name in of_item]
        items.append(f"id_{item:08d}")
        named += of_item
    counted(root / "Eval/list_eval_partition.txt", "image_name item_id evaluation_status", lines)
    counted(root / "Anno/list_bbox_inshop.txt", BOX_HEADER, boxes)
    counted(root / "Anno/list_landmarks_inshop.txt", LANDMARK_HEADER, landmarks)
    counted(root / "Anno/list_item_inshop.txt", None, items)
    _write_attributes(root / "Anno" / ("attributes" if release == "2.0" else ""), items, named[:4])
    described = [{"item": items[1], "color": "Rust", "description": ["Soft.", "100% cotton"]}]
    described += [{"item": items[2], "color": colour, "description": []} for colour in ("Red", "Blue")]
    (root / "Anno/list_description_inshop.json").write_text(json.dumps(described))
    return root


def _points(count: int, size: int) -> str:
    """Visibility, x, y of each; the second is occluded, the last one cut off."""
    visibility = {1: 1, count - 1: 2}
    places = ((0, 0) if n == count - 1 else (60 + 20 * n, 40 + 25 * n) for n in range(count))
    return " ".join(
        f"{visibility.get(n, 0)} {x * size // 256:03d} {y * size // 256:03d}" for n, (x, y) in enumerate(places)
    )


def _write_attributes(folder: Path, items: list[str], coloured: list[str]) -> None:
    counted(folder / "list_attr_cloth.txt", "attribute_name", list(ATTRIBUTES))
    values = [
        f"{item}  {'1' if number % 2 else '-1'} 1  {'0' if number else '1'} " for number, item in enumerate(items)
    ]
    counted(folder / "list_attr_items.txt", "item_id attribute_labels", values)
    counted(folder / "list_color_cloth.txt", "image_name color", [f"{name}   Dark  navy" for name in coloured])
