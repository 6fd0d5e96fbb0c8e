"""The folder source: tables of a person's own, their defaults and their faults."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from croquis.catalog.table import Catalog, CatalogWriter
from croquis.formats.errors import SourceError
from tests.support.sources.folder_table import read_folder


@pytest.fixture
def images(tmp_path: Path, make_image: Any) -> Path:
    for number, name in enumerate(["a/1.png", "a/2.png", "b/1 front.png", "b/2.png", "c.png"]):
        make_image(tmp_path / "images" / name, shade=40 * number)
    return tmp_path / "images"


def write_csv(images: Path, lines: list[dict[str, str]], encoding: str = "utf-8") -> Path:
    path = images.parent / "table.csv"
    with path.open("w", encoding=encoding, newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return path


def test_only_the_required_columns(images: Path) -> None:
    lines = [{"path": "a/1.png", "item_id": "a"}, {"path": "c.png", "item_id": "c"}]
    first, second = read_folder(write_csv(images, lines), images)
    assert first == {
        "image_id": "a/1.png",
        "item_id": "a",
        "domain": "shop",
        "split": "train",
        "role": "train",
        "category": "unknown",
        "view": None,
        "attributes": [],
        "unknown_attributes": None,
        "bbox": None,
        "image": (images / "a/1.png").read_bytes(),
    }
    assert second["item_id"] == "c"


def test_a_label_is_not_both_held_and_unknown(images: Path) -> None:
    lines = [{"path": "c.png", "item_id": "c", "attributes": "wool|lined", "unknown_attributes": "hood|lined"}]
    with pytest.raises(
        SourceError, match=r"row 2, column unknown_attributes: 'lined' stands in attributes too; take it"
    ):
        read_folder(write_csv(images, lines), images)


def test_every_column_is_used_and_others_are_ignored(images: Path, tmp_path: Path) -> None:
    line = {
        "path": "b/1 front.png",
        "price": "9.99",
        "image_id": "I",
        "item_id": "b",
        "domain": "consumer",
        "split": "val",
        "role": "query",
        "category": "coat",
        "view": "front",
        "attributes": "wool| colour:dark red |wool|",
        "unknown_attributes": "lined| hood:no |lined",
        "bbox": "1 2 7 8",
    }
    (row,) = read_folder(write_csv(images, [line], encoding="utf-8-sig"), images)
    assert row["attributes"] == ["wool", "colour:dark red"]
    assert row["unknown_attributes"] == ["lined", "hood:no"]
    assert row["bbox"] == [1, 2, 7, 8]
    assert {name: row[name] for name in ("image_id", "domain", "split", "role", "category", "view")} == {
        "image_id": "I",
        "domain": "consumer",
        "split": "val",
        "role": "query",
        "category": "coat",
        "view": "front",
    }
    with CatalogWriter(tmp_path / "out") as writer:
        writer.write(row)
    assert len(Catalog.open(tmp_path / "out")) == 1


def test_parquet_with_lists_numbers_and_nan(images: Path) -> None:
    table = images.parent / "table.parquet"
    columns = {
        "path": ["a/1.png", "a/2.png"],
        "item_id": [17, 17],
        "attributes": [["x", "y"], None],
        "bbox": [[0, 0, 5, 6], None],
        "category": ["hat", ""],
        "view": [float("nan"), float("nan")],
    }
    pq.write_table(pa.table(columns), table)
    first, second = read_folder(table, images)
    assert (first["item_id"], first["attributes"], first["bbox"], first["view"]) == (
        "17",
        ["x", "y"],
        [0, 0, 5, 6],
        None,
    )
    assert (second["category"], second["attributes"], second["bbox"]) == ("unknown", [], None)


def test_default_roles(images: Path) -> None:
    lines = [
        {"path": "a/2.png", "item_id": "a", "domain": "shop", "split": "test"},
        {"path": "a/1.png", "item_id": "a", "domain": "shop", "split": "test"},
        {"path": "b/1 front.png", "item_id": "b", "domain": "consumer", "split": "val"},
        {"path": "b/2.png", "item_id": "b", "domain": "", "split": ""},
        {"path": "c.png", "item_id": "c", "domain": "consumer", "split": "train"},
    ]
    found = {row["image_id"]: (row["split"], row["role"]) for row in read_folder(write_csv(images, lines), images)}
    assert found == {
        "a/1.png": ("test", "gallery"),
        "a/2.png": ("test", "query"),
        "b/1 front.png": ("val", "query"),
        "b/2.png": ("val", "gallery"),
        "c.png": ("train", "train"),
    }


def test_default_splits_hold_items_together_and_stay_put(images: Path, make_image: Any) -> None:
    lines = []
    for item in range(200):
        for photo in range(2):
            make_image(images / f"many/{item}_{photo}.png", shade=item)
            lines.append({"path": f"many/{item}_{photo}.png", "item_id": str(item)})
    all_rows = read_folder(write_csv(images, lines), images, val_share=0.2, test_share=0.3)
    splits = {row["item_id"]: row["split"] for row in all_rows}
    assert all(row["split"] == splits[row["item_id"]] for row in all_rows)
    counts = {name: list(splits.values()).count(name) for name in ("train", "val", "test")}
    assert 75 < counts["train"] < 125
    assert 22 < counts["val"] < 60
    assert 40 < counts["test"] < 80
    fewer = read_folder(write_csv(images, lines[:100]), images, val_share=0.2, test_share=0.3)
    assert all(row["split"] == splits[row["item_id"]] for row in fewer)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "nowhere.png"}, r"row 3, column path: the file .*nowhere.png does not exist"),
        ({"path": "../table.csv"}, r"row 3, column path: '../table.csv' leaves the folder"),
        ({"path": "/etc/hostname"}, r"row 3, column path: '/etc/hostname' leaves the folder"),
        ({"path": ""}, r"row 3, column path: empty"),
        ({"item_id": ""}, r"row 3, column item_id: empty"),
        ({"domain": "street"}, r"row 3, column domain: 'street' is none of shop, consumer, sketch"),
        ({"split": "dev"}, r"row 3, column split: 'dev' is none of train, val, test"),
        ({"role": "gallery"}, r"row 3, column role: 'gallery' does not fit split 'train'"),
        ({"bbox": "1 2 3"}, r"row 3, column bbox: '1 2 3' is not four numbers"),
        ({"bbox": "1 2 3 x"}, r"row 3, column bbox: '1 2 3 x' is not four numbers"),
        ({"path": "a/1.png"}, r"row 3, column image_id: 'a/1.png' is also that of row 2"),
    ],
)
def test_faults_name_row_and_column(images: Path, change: dict[str, str], message: str) -> None:
    good = {"item_id": "a", "domain": "shop", "split": "train", "role": "train", "bbox": ""}
    table = write_csv(images, [{"path": "a/1.png", **good}, {"path": "a/2.png", **good, **change}])
    with pytest.raises(SourceError, match=message) as caught:
        read_folder(table, images)
    assert str(table) in str(caught.value)


def test_all_faults_are_counted(images: Path) -> None:
    table = write_csv(images, [{"path": f"gone{number}.png", "item_id": "a"} for number in range(13)])
    with pytest.raises(SourceError, match=r"has 13 problem\(s\)(?s:.*)and 3 more"):
        read_folder(table, images)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,category\na/1.png,hat\n", r"lacks the column\(s\) \['item_id'\]"),
        ("path,item_id,catagory\na/1.png,a,hat\n", r"'catagory' looks like 'category'"),
        ("path,item_id\na/1.png,a,b\n", r"row 2 has 3 cells, the header 2"),
        ("path,item_id,path\na/1.png,a,b\n", r"names a column twice"),
        ("", r"has no rows"),
        ("path,item_id\n", r"has no rows"),
    ],
)
def test_faults_of_the_table(images: Path, text: str, message: str) -> None:
    table = images.parent / "table.csv"
    table.write_text(text)
    with pytest.raises(SourceError, match=message):
        read_folder(table, images)


def test_absent_or_unreadable_table(images: Path) -> None:
    with pytest.raises(SourceError, match=r"does not exist; correct ingest\.folder\.table"):
        read_folder(images / "none.csv", images)
    other = images / "table.xlsx"
    other.write_bytes(b"x")
    with pytest.raises(SourceError, match=r"must end in \.csv or \.parquet"):
        read_folder(other, images)
    broken = images / "table.parquet"
    broken.write_bytes(b"x")
    with pytest.raises(SourceError, match="is not a Parquet table"):
        read_folder(broken, images)
