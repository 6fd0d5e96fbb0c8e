"""Writes a small Consumer-to-shop release: every file, header and quirk of the real one, garments drawn by us."""

from __future__ import annotations

from pathlib import Path

from tests.support.sources.drawn_files import counted, garment, part

FOLDERS = ("DRESSES/Dress", "TOPS/T_Shirt", "CLOTHING/Summer_Wear")
PAIRS = ((1, 1), (2, 1), (3, 2), (1, 2))
"""Numbers of consumer and shop photo: shop photos recur, and the first consumer photo does too."""
PAIR_HEADER = "image_pair_name_1 image_pair_name_2 item_id evaluation_status"
BOX_HEADER = "image_name clothes_type source_type x_1 y_1 x_2 y_2"
LANDMARK_HEADER = "image_name clothes_type variation_type landmark_visibility_1 landmark_location_x_1 ..."
ATTRIBUTES = (
    "长袖 long sleeve 1",
    "短袖 (含五分袖) short  sleeve                1",
    "圆领 round neckline   2",
    "纯色 Solid Color 3 ",
)
GROUPS = ("袖长 sleeve length", "领型 (领) neckline", "图案 pattern")


def consumer_name(item: int, number: int) -> str:
    """`comsumer`, as the release spells it."""
    return f"img/{FOLDERS[item % 3]}/id_{item:08d}/comsumer_{number:02d}.jpg"


def shop_name(item: int, number: int) -> str:
    return f"img/{FOLDERS[item % 3]}/id_{item:08d}/shop_{number:02d}.jpg"


def split_of(item: int, train_items: int, val_items: int) -> str:
    return "train" if item <= train_items else "val" if item <= train_items + val_items else "test"


def write_c2s(root: Path, train_items: int = 10, val_items: int = 5, test_items: int = 5, long_side: int = 48) -> Path:
    """A release below `root`: per item three consumer and two shop photos in four pairs, upright, `long_side` pixels high
    (300 in the real set). The box of the first item's third consumer photo has no width.
    """
    width = long_side * 3 // 4
    pairs, boxes, landmarks, items = [], [], [], []
    for item in range(1, train_items + val_items + test_items + 1):
        identity, split = f"id_{item:08d}", split_of(item, train_items, val_items)
        items.append(identity)
        for consumer, shop in PAIRS:
            pairs.append(f"{consumer_name(item, consumer)}   {shop_name(item, shop)}  {identity} {split:<6}")
        named = [(consumer_name(item, n), 2) for n in (1, 2, 3)] + [(shop_name(item, n), 1) for n in (1, 2)]
        for shot, (name, source) in enumerate(named):
            garment(root / name, item, shot, (width, long_side))
            left, right = part(width, 0.125), part(width, 0.125 if (item, shot) == (1, 2) else 0.9)
            boxes.append(f"{name} 1 {source} {left} {part(long_side, 0.1)} {right} {part(long_side, 0.95)}")
            landmarks.append(f"{name} 2 4 " + "  ".join(_points(width, long_side)) + " ")
    counted(root / "Eval/list_eval_partition.txt", PAIR_HEADER, pairs)
    counted(root / "Anno/list_bbox_consumer2shop.txt", BOX_HEADER, boxes)
    counted(root / "Anno/list_landmarks_consumer2shop.txt", LANDMARK_HEADER, landmarks)
    counted(root / "Anno/list_item_consumer2shop.txt", None, items)
    _write_attributes(root / "Anno", items)
    return root


def _points(width: int, height: int) -> list[str]:
    places = ((0, 0.25, 0.2), (0, 0.75, 0.2), (1, 0.25, 0.9), (2, 0.0, 0.0))
    return [f"{seen} {part(width, x)} {part(height, y)}" for seen, x, y in places]


def _write_attributes(folder: Path, items: list[str]) -> None:
    counted(
        folder / "list_attr_cloth.txt", "attribute_name_Chinese attribute_name_English attribute_type", list(ATTRIBUTES)
    )
    counted(folder / "list_attr_type.txt", "attribute_type_Chinese attribute_type_English", list(GROUPS))
    values = ["1 -1 0 1", "-1  1 1 -1 ", "-1 -1 -1 0"]
    rows = [f"{identity} {values[number % 3]}" for number, identity in enumerate(items)]
    counted(folder / "list_attr_items.txt", "item_id attribute_labels", rows)
