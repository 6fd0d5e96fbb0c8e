"""Writes a small Category and Attribute Prediction release, coarse or fine, with the headers and quirks of the real one."""

from __future__ import annotations

from pathlib import Path

from tests.support.sources.drawn_files import counted, garment, part

CATEGORIES = ("Anorak 1", "Blouse                 1", "Jeans  2", "Dress 3", "Sundress 3")
ATTRIBUTES = (
    "a-line                          3",
    "abstract  print                  1",
    "acid wash denim 2 ",
    "zip 4",
    "90s  style?",  # the row whose type cannot be read
    "faux shearling                   2",
)
FINE_ATTRIBUTES = ("floral 1", "long_sleeve 2", "no_dress 3", "conventional 6")
SPLITS = ("train", "val", "test")
POINTS = {1: 6, 2: 4, 3: 8}


def image_name(number: int) -> str:
    return f"img/Sheer_Pleated-Front_Blouse_{number % 7}/img_{number:08d}.jpg"


def category_of(number: int) -> int:
    """Counted from 1."""
    return 1 + number % len(CATEGORIES)


def write_attributes(
    root: Path, train: int = 24, val: int = 8, test: int = 8, annotations: str = "coarse", height: int = 48
) -> Path:
    """A release below `root` with so many images per split; the garments of a category have one form and
    colour, and a print of their own.

    `annotations` is `coarse` (tables with names, in `Anno_coarse/`) or `fine` (split files, in `Anno_fine/`).
    """
    splits = {1 + number: split for number, split in enumerate(["train"] * train + ["val"] * val + ["test"] * test)}
    for number in splits:
        garment(root / image_name(number), number, size=(height * 3 // 4, height), form=category_of(number))
    write = _write_coarse if annotations == "coarse" else _write_fine
    write(root, splits, height)
    return root


def _write_coarse(root: Path, splits: dict[int, str], height: int) -> None:
    folder, width = root / "Anno_coarse", height * 3 // 4
    corners = f"{part(width, 0.1)} {part(height, 0.1)} {part(width, 0.9)} {part(height, 0.9)}"
    counted(folder / "list_category_cloth.txt", "category_name category_type", list(CATEGORIES))
    counted(folder / "list_attr_cloth.txt", "attribute_name attribute_type", list(ATTRIBUTES))
    tables = {
        "list_category_img.txt": ("image_name category_label", lambda n: f"{image_name(n)}   {category_of(n):02d} "),
        "list_attr_img.txt": ("image_name attribute_labels", lambda n: f"{image_name(n)}   {_values(n)}  "),
        "list_bbox.txt": ("image_name x_1 y_1 x_2 y_2", lambda n: f"{image_name(n)}   {corners}"),
        "list_landmarks.txt": ("image_name clothes_type ...", lambda n: f"{image_name(n)} {_landmarks(n, height)}"),
    }
    for name, (header, row) in tables.items():
        counted(folder / name, header, [row(number) for number in splits])
    rows = [f"{image_name(number):<70}{split} " for number, split in splits.items()]
    counted(root / "Eval/list_eval_partition.txt", "image_name evaluation_status", rows)


def _values(number: int) -> str:
    """Every attribute whose place divides the number is there; the first is unknown in every fourth image."""
    places = range(1, len(ATTRIBUTES) + 1)
    values = ["1" if number % place == 0 else "-1" for place in places]
    return " ".join(["0", *values[1:]] if number % 4 == 0 else values)


def _landmarks(number: int, height: int) -> str:
    clothes = 1 + number % 3
    points = (f"{1 if n == 1 else 0} {part(height, 0.1)} {part(height, 0.1 * n)}" for n in range(POINTS[clothes]))
    return f"{clothes}  1  {' '.join(points)}"


def _write_fine(root: Path, splits: dict[int, str], height: int) -> None:
    folder, width = root / "Anno_fine", height * 3 // 4
    counted(folder / "list_category_cloth.txt", "category_name category_type", list(CATEGORIES))
    counted(folder / "list_attr_cloth.txt", "attribute_name attribute_type", list(FINE_ATTRIBUTES))
    for split in SPLITS:
        chosen = [number for number, of in splits.items() if of == split]
        rows = {
            "": [image_name(number) for number in chosen],
            "_cate": [str(category_of(number)) for number in chosen],
            "_attr": [" ".join("01"[number % place == 0] for place in (1, 2, 3, 4)) + " " for number in chosen],
            "_bbox": [f"3 4 {width - 3} {height - 4}"] * len(chosen),
        }
        for kind, lines in rows.items():
            (folder / f"{split}{kind}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
