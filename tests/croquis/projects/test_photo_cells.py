"""Tables as shops export them: which files their cells name, and one row for each photo of them."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from croquis.params import load_params
from croquis.projects.photo_cells import photo_at, photos_in
from croquis.projects.planning import plan_project, problems
from croquis.projects.project_files import project_params, write_project
from croquis.projects.search_rows import find_photos_at
from croquis.refusals import RefusedError
from croquis.sources.folder import planned_rows

Rows = list[dict[str, Any]]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for item in "abcd":
        for view in "12":
            path = tmp_path / "img" / f"{item}{view}.jpg"
            path.parent.mkdir(exist_ok=True)
            Image.new("RGB", (8, 8), (20 * ord(item) % 256, 100 * int(view), 9)).save(path)
    (tmp_path / "img" / "größe 5.JPG").write_bytes((tmp_path / "img" / "a1.jpg").read_bytes())
    return tmp_path


def found(
    folder: Path, header: Sequence[str], lines: Sequence[Sequence[Any]], delimiter: str = ","
) -> tuple[Rows, str]:
    """The rows of a table in the folder, and what was said of it."""
    with (folder / "t.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, delimiter=delimiter).writerows([header, *lines])
    made = find_photos_at(folder / "t.csv", None)
    return [dict(row) for row in made.rows], "\n".join(made.notes)


def items(rows: Rows) -> dict[str, list[str]]:
    made: dict[str, list[str]] = {}
    for row in rows:
        made.setdefault(row["item_id"], []).append(Path(row["path"]).stem)
    return made


BOTH = {f"S{item}": [f"{item}1", f"{item}2"] for item in "abcd"}


@pytest.mark.parametrize(
    "written",
    [
        "img/a1.jpg", "img\\a1.jpg", "/img/a1.jpg", "./img/a1.jpg", "img/a1.JPG", "C:\\shop\\img\\a1.jpg",
        "https://cdn.shop.example/img/a1.jpg?v=17", "//cdn.shop.example/x/img/a1.jpg", "file:///srv/shop/img/a1.jpg",
        "img%2Fa1.jpg",
    ],
)  # fmt: skip
def test_a_file_is_found_however_its_path_is_written(photos: Path, written: str):
    path = photo_at(written, photos)
    assert path is not None
    assert (photos / path).samefile(photos / "img/a1.jpg")
    assert photo_at(str(photos / "img/a1.jpg"), photos) == "img/a1.jpg"
    assert photo_at("https://x.example/img/gr%C3%B6%C3%9Fe%205.jpg", photos) == "img/größe 5.JPG"


@pytest.mark.parametrize(
    "written",
    ["", "img", "a1.jpg", "img/zz.jpg", "../img/a1.jpg", "https://x.example/a1.jpg", "http://[", "x" * 400, "a\0b",
     "https://x.example/../../img/a1.jpg/.."],
)  # fmt: skip
def test_what_is_no_file_of_the_folder_is_not_found(photos: Path, written: str):
    (photos / "inner").mkdir()
    assert photo_at(written, photos) is None
    assert photo_at("../img/a1.jpg", photos / "inner") is None
    assert photo_at(str(photos / "img/a1.jpg"), photos / "inner") is None


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        (None, []),
        ("img/a1.jpg|img/a2.jpg", ["img/a1.jpg", "img/a2.jpg"]),
        ("img/a1.jpg; img/a2.jpg;", ["img/a1.jpg", "img/a2.jpg"]),
        ("img/a1.jpg, img/a2.jpg", ["img/a1.jpg", "img/a2.jpg"]),
        ("img/a1.jpg\nimg/a2.jpg", ["img/a1.jpg", "img/a2.jpg"]),
        ('["img/a1.jpg", "img/a2.jpg"]', ["img/a1.jpg", "img/a2.jpg"]),
        ("['img/a1.jpg']", ["img/a1.jpg"]),
        (["img/a2.jpg", "img/a1.jpg", "img/a2.jpg"], ["img/a2.jpg", "img/a1.jpg"]),
        ("img/a1.jpg|img/zz.jpg", None),
        ("[img/a1.jpg", None),
        (["img/a1.jpg", 3], None),
        (7, None),
    ],
)
def test_a_cell_may_name_several_files(photos: Path, cell: Any, names: list[str] | None):
    assert photos_in(cell, photos) == names


@pytest.mark.parametrize("join", ["|".join, ", ".join, "\n".join])
def test_a_row_of_several_photos_is_one_product(photos: Path, join: Callable[[list[str]], str]):
    lines = [[f"S{item}", join([f"img/{item}1.jpg", f"img/{item}2.jpg"]), item] for item in "abcd"]
    rows, said = found(photos, ["sku", "images", "category"], lines)
    assert items(rows) == BOTH
    assert [row["category"] for row in rows] == list("aabbccdd")
    assert "4 row(s) name several photos" in said
    without_item, _ = found(photos, ["images", "category"], [line[1:] for line in lines])
    assert list(items(without_item).values()) == list(BOTH.values())


def test_lists_of_parquet_and_a_second_column_of_photos_are_read(photos: Path):
    columns = {
        "sku": list(BOTH),
        "new": [True, False] * 2,
        "photos": [[f"img/{i}1.jpg", f"img/{i}2.jpg"] for i in "abcd"],
    }
    pq.write_table(pa.table(columns), photos / "t.parquet")
    assert items([dict(row) for row in find_photos_at(photos / "t.parquet", None).rows]) == BOTH
    (photos / "t.parquet").unlink()
    lines = [[f"S{item}", f"/img/{item}1.jpg", f"/img/{item}2.jpg", f"/img/{item}1.jpg"] for item in "abcd"]
    rows, said = found(photos, ["sku", "base_image", "additional_images", "small_image"], lines)
    assert items(rows) == BOTH
    assert "columns 'base_image', 'additional_images', 'small_image'" in said


def test_a_logo_is_no_photo_of_the_product(photos: Path):
    lines = [[f"img/{item}{view}.jpg", f"S{item}", "img/größe 5.JPG"] for item in "abcd" for view in "12"]
    rows, said = found(photos, ["path", "sku", "logo"], lines)
    assert items(rows) == BOTH
    assert "columns" not in said


def test_sizes_without_a_photo_or_with_the_same_one_are_left_out_and_counted(photos: Path):
    lines = [[f"S{item}", f"{item}1" if size == "S" else "", size] for item in "abcd" for size in "SM"]
    rows, said = found(photos, ["sku", "image", "size"], [[a, f"img/{b}.jpg" if b else "", c] for a, b, c in lines])
    assert items(rows) == {f"S{item}": [f"{item}1"] for item in "abcd"}
    assert "4 row(s) name no photo and are left out" in said
    rows, said = found(photos, ["sku", "image", "size"], [[a, f"img/{a[1]}1.jpg", c] for a, _, c in lines])
    assert items(rows) == {f"S{item}": [f"{item}1"] for item in "abcd"}
    assert (
        "4 row(s) name only photos of earlier rows and are left out: the first is row 3, 'img/a1.jpg' as row 2" in said
    )


def test_photos_that_differ_by_their_boxes_stay(photos: Path):
    lines = [["img/a1.jpg", f"I{n}", "Sa", f"0 0 {n + 4} 8"] for n in range(3)] + [["img/b1.jpg", "J", "Sb", ""]]
    rows, _ = found(photos, ["path", "image_id", "sku", "bbox"], lines)
    assert [row["image_id"] for row in rows] == ["I0", "I1", "I2", "J"]


def test_further_photos_of_a_shopify_export_have_the_title_and_price_of_their_product(photos: Path):
    header = ["Handle", "Title", "Vendor", "Type", "Variant Price", "Image Src", "Image Position"]
    lines = []
    for item in "abcd":
        lines.append(
            [f"S{item}", f"Dress {item}", "Ada", "dress", "9.5", f"https://cdn.example/img/{item}1.jpg?v=1", "1"]
        )
        lines.append([f"S{item}", "", "", "", "", f"https://cdn.example/img/{item}2.jpg?v=1", "2"])
    rows, said = found(photos, header, lines)
    assert items(rows) == BOTH
    assert {row["category"] for row in rows} == {"dress"}
    product = rows[3]["product"].as_py()
    assert (product["Title"], product["Variant Price"], product["Image Position"]) == ("Dress b", 9.5, 2.0)
    assert "4 row(s) hold little but a photo" in said


def test_a_price_that_one_size_lacks_is_not_that_of_another(photos: Path):
    header = ["sku", "title", "colour", "sale_price", "photo"]
    lines = [[f"S{item}", f"Dress {item}", "red", "5" if view == "1" else "", f"img/{item}{view}.jpg"]
             for item in "abcd" for view in "12"]  # fmt: skip
    rows, _ = found(photos, header, lines)
    assert [row["product"].as_py()["sale_price"] for row in rows[:2]] == [5.0, None]


@pytest.mark.parametrize(
    ("header", "category"),
    [
        (["Bild", "Artikelnummer", "Kategorie"], True),
        (["Photo", "Référence", "Catégorie"], True),
        (["Imagen", "Código", "Categoría"], True),
        (["IMAGE", "PRODUCT ID", "PRODUCT CATEGORY"], True),
        (["Image Src", "Handle", "Type"], True),
        (["image_link", "item_group_id", "product_type"], True),
        (["base_image", "sku", "attribute_set_code"], False),
    ],
)
def test_columns_are_known_by_the_names_of_shops_in_several_languages(photos: Path, header: list[str], category: bool):
    lines = [[f"img/{item}{view}.jpg", f"S{item}", "coat" if item < "c" else "hat"] for item in "abcd" for view in "12"]
    rows, _ = found(photos, header, lines, delimiter=";")
    assert items(rows) == BOTH
    assert {row["category"] for row in rows} == ({"coat", "hat"} if category else {"unknown"})


def test_a_product_column_with_gaps_is_named(photos: Path):
    lines = [[f"img/{item}{view}.jpg", f"S{item}" if view == "1" else ""] for item in "abcd" for view in "12"]
    _, said = found(photos, ["path", "sku"], lines)
    assert "column 'sku' is empty in 4 of 8 rows" in said


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("https://cdn.example/7/{}.jpg", "holds addresses, not files: download the photos .*a1.jpg is in .*img: name "),
        ("shop/{}.jpg", "names files that are not in .*a1.jpg is in .*/img: name .*/img as the folder of the photos"),
        ("nowhere {}", r"no column names a picture in .*\(its first row, of the columns' names, is 'path, sku'"),
        ("img/{}.jpg|img/gone.jpg", r"8 of 8 rows name no file in .* the first is row 2 \('img/gone.jpg'\)"),
    ],
)
def test_paths_that_name_no_photo_are_refused_in_one_line(photos: Path, cell: str, message: str):
    lines = [[cell.format(f"{item}{view}"), f"S{item}"] for item in "abcd" for view in "12"]
    with pytest.raises(RefusedError, match=message) as caught:
        found(photos, ["path", "sku"], lines)
    assert "\n" not in str(caught.value)


def test_pictures_in_the_cells_are_refused_by_their_column(photos: Path):
    pq.write_table(pa.table({"sku": ["a"], "image": [{"bytes": b"x"}]}), photos / "t.parquet")
    with pytest.raises(RefusedError, match="column 'image' holds the pictures themselves: write them to files"):
        find_photos_at(photos / "t.parquet", None)


@pytest.mark.slow
def test_a_project_of_such_a_table_keeps_one_with_one_row_per_photo(tmp_path: Path):
    """Its stages read that one; nothing would stop them."""
    photos = tmp_path / "shop"
    lines = []
    for item in range(24):
        for view in range(2):
            path = photos / "img" / f"{item}-{view}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (10 * item, 90 * view, 9)).save(path)
        lines.append([f"W{item}", f"img/{item}-0.png, img/{item}-1.png", ("Hose", "Rock")[item % 2], "19,90"])
    with (photos / "export.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, delimiter=";").writerows([["SKU", "Images", "Categories", "Regular price"], *lines])
    plan = plan_project(photos, None, "quick")
    assert (plan.shape.photos, plan.shape.items, plan.shape.categories) == (48, 24, 2)
    assert any("data/source/catalogue.csv: after changes, init again" in note for note in plan.notes)
    write_project(tmp_path / "project", project_params(plan.settings), plan.table)
    with contextlib.chdir(tmp_path / "project"):
        params = load_params("params.yaml")
        assert problems(params) == []
        rows = planned_rows(params.ingest.block, 7)
    assert [(row["item_id"], row["path"]) for row in rows[:2]] == [("W0", "img/0-0.png"), ("W0", "img/0-1.png")]
    assert rows[1]["product"].as_py() == {"Regular price": 19.9}
