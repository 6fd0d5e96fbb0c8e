"""A table's columns that are the product's own: which they are, of what type, and that they reach the catalogue."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from croquis.catalog.table import Catalog, CatalogError, CatalogWriter
from croquis.events.feed import event_of
from croquis.formats.errors import SourceError
from croquis.sources.parquet import Parquet
from croquis.sources.parquet import rows as parquet_rows
from tests.support.sources.folder_table import read_folder

LINES = [
    {"path": "1.png", "item_id": "a", "title": "Coat, navy", "price": "149", "sale": "TRUE", "sku": "007", "note": ""},
    {"path": "2.png", "item_id": "b", "title": "1984", "price": "19.5", "sale": "false", "sku": "8", "note": ""},
    {"path": "3.png", "item_id": "b", "title": "", "price": "", "sale": "", "sku": "9", "note": ""},
]
KINDS = "title (text), price (number), sale (boolean), sku (text), note (text)"


@pytest.fixture
def images(tmp_path: Path, make_image: Any) -> Path:
    for number in (1, 2, 3):
        make_image(tmp_path / "images" / f"{number}.png", shade=40 * number)
    return tmp_path / "images"


def written(images: Path, lines: list[dict[str, str]]) -> Path:
    path = images.parent / "table.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return path


def cells(rows: list[dict[str, Any]]) -> list[Any]:
    return [row["product"].as_py() for row in rows]


def test_types_are_decided_once_for_a_column_and_said(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = read_folder(written(images, LINES), images, columns={"product": "all"})
    assert KINDS in capsys.readouterr().out
    nothing = dict.fromkeys(("title", "price", "sale", "note"))
    assert cells(rows) == [
        {"title": "Coat, navy", "price": 149.0, "sale": True, "sku": "007", "note": None},
        {"title": "1984", "price": 19.5, "sale": False, "sku": "8", "note": None},
        {**nothing, "sku": "9"},
    ]


def test_chosen_columns_may_be_used_otherwise_too(images: Path) -> None:
    columns = {"product": ["price", "title"], "attributes": ["sale"], "view": "title"}
    rows = read_folder(written(images, LINES), images, columns=columns)
    assert cells(rows)[0] == {"price": 149.0, "title": "Coat, navy"}
    assert rows[0]["view"] == "Coat, navy"
    rest = read_folder(written(images, LINES), images, columns=columns | {"product": "all"})
    assert set(cells(rest)[0]) == {"price", "sku", "note"}


def test_a_parquet_table_keeps_its_types(images: Path) -> None:
    table = images.parent / "table.parquet"
    columns = {
        "path": ["1.png", "2.png"],
        "item_id": [1, 2],
        "price": [3, None],
        "new": [True, None],
        "day": ["x", 4.0],
    }
    columns["day"] = [str(each) for each in columns["day"]]
    pq.write_table(pa.table(columns), table)
    rows = read_folder(table, images, columns={"product": "all"})
    assert cells(rows) == [{"price": 3.0, "new": True, "day": "x"}, {"price": None, "new": None, "day": "4.0"}]


@pytest.mark.parametrize(
    ("change", "columns", "message"),
    [
        ({"title": "x" * 1001}, ["title"], "row 2, column title: 1001 characters are too many, at most 1000 are kept"),
        ({f"c{n}": "1" for n in range(21)}, "all", "26 product columns are too many, at most 20 are kept; choose some"),
        ({"n" * 51: "1"}, "all", "1 to 50 printable characters"),
        ({}, ["colour"], "ingest.folder.columns.product names the column 'colour', which .* lacks"),
    ],
)
def test_what_is_over_a_limit_is_refused(images: Path, change: dict[str, str], columns: Any, message: str) -> None:
    lines = [LINES[0] | change, *({**line, **dict.fromkeys(set(change) - set(line), "")} for line in LINES[1:])]
    with pytest.raises(SourceError, match=message):
        read_folder(written(images, lines), images, columns={"product": columns})


@pytest.mark.parametrize("columns", ["title", []])
def test_product_is_a_list_or_all(images: Path, columns: Any) -> None:
    with pytest.raises(ValidationError, match="product cannot be"):
        read_folder(written(images, LINES), images, columns={"product": columns})


def test_a_column_called_product_is_no_mapping(images: Path) -> None:
    lines = [line | {"product": "shoe"} for line in LINES]
    assert "product" not in read_folder(written(images, lines), images)[0]
    assert cells(read_folder(written(images, lines), images, columns={"product": ["product"]}))[0] == {
        "product": "shoe"
    }


def test_catalogues_keep_them_through_copies(images: Path, tmp_path: Path) -> None:
    rows = read_folder(written(images, LINES), images, columns={"product": ["price", "title"]})
    with CatalogWriter(tmp_path / "raw", shard_rows=2) as writer:
        writer.write_all(rows)
    first = Catalog.open(tmp_path / "raw")
    with CatalogWriter(tmp_path / "catalog", shard_rows=2) as writer:
        writer.write_all(first.rows([2, 0]))
    second = Catalog.open(tmp_path / "catalog")
    assert second.table.column("product").to_pylist() == [cells(rows)[2], cells(rows)[0]]
    assert second.table.schema.field("product") == first.table.schema.field("product")
    block = Parquet(path=str(tmp_path / "raw"), storage_options={})
    assert cells(list(parquet_rows(block, 1))) == cells(rows)
    plain = {name: value for name, value in rows[0].items() if name != "product"}
    with pytest.raises(CatalogError, match="is the first with product columns"):
        write(tmp_path / "x", [plain, rows[1]])


def write(folder: Path, rows: list[dict[str, Any]]) -> None:
    with CatalogWriter(folder) as writer:
        writer.write_all(rows)


def test_events_of_a_catalogue_carry_them(images: Path) -> None:
    rows = read_folder(written(images, LINES), images, columns={"product": "all"})
    product = event_of(rows[1:], 3).product
    assert product is not None
    assert product.columns == {"title": "1984", "price": 19.5, "sale": False, "sku": "8"}
