"""Cells of any type: one text, one label, several labels, a box, or a refusal that names table, row, column and remedy."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from croquis.formats.errors import SourceError
from croquis.formats.tables.table_cells import CellError, as_box, as_id, as_labels, as_word, tidy
from tests.support.sources.folder_table import read_folder


@pytest.mark.parametrize(
    ("cell", "tidied"),
    [
        (" a ", "a"),
        ("  ", None),
        (float("nan"), None),
        (Decimal("NaN"), None),
        (7.0, 7),
        (7.5, 7.5),
        (Decimal("7.00"), 7),
        ([None, " ", float("nan"), 3.0, "x"], [3, "x"]),
        (2.0**60, 2.0**60),
        (float("inf"), float("inf")),
    ],
)
def test_whole_numbers_are_whole_and_gaps_are_none(cell: Any, tidied: Any):
    assert tidy(cell) == tidied
    assert type(tidy(cell)) is type(tidied)


@pytest.mark.parametrize(
    "cell", [True, {"a": 1}, b"x", ["x"], "a\0", "['red', 'slim fit']", '["red"]', "['red' 'slim']", "('a',)", "[]"]
)
def test_what_is_no_word_is_refused(cell: Any):
    with pytest.raises(CellError, match=r"write|take it out"):
        as_word(cell)


@pytest.mark.parametrize("cell", ["(red)", "size [EU", "{x", "a|b", 7, datetime.date(2026, 1, 2)])
def test_what_only_resembles_a_list_is_a_word(cell: Any):
    assert as_word(cell) == str(cell)


@pytest.mark.parametrize("cell", ["nan", "None", "<NA>", 2.0**60, True])
def test_an_id_is_no_missing_value_in_text(cell: Any):
    with pytest.raises(CellError):
        as_id(cell)


def test_labels_come_from_text_and_lists():
    assert as_labels("red| slim fit |red") == ["red", "slim fit"]
    assert as_labels(["red", 3, "red"]) == ["red", "3"]
    assert as_labels(3) == ["3"]
    assert as_labels(None) == []
    for wrong in ([True], [["a"]], "['red', 'slim fit']", True, [{"a": 1}]):
        with pytest.raises(CellError):
            as_labels(wrong)


@pytest.mark.parametrize(
    "cell", [3, [1, 2, 3], [1, 2, 3, True], [1, 2, 3, None], "1 2 3 nan", [0, 0, 1, 2**31], "0 0 9 1e300", {}, True]
)
def test_what_is_no_box_of_32_bits_is_refused(cell: Any):
    with pytest.raises(CellError, match=r"is not four numbers|lies outside any picture"):
        as_box(cell)


def test_boxes_come_from_text_and_lists():
    assert as_box("1, 2 3.6 4") == as_box([1, 2, 3.6, 4]) == [1, 2, 4, 4]
    assert as_box(None) is None


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("attributes", [True, False]),
        ("attributes", [[["red"]], None]),
        ("unknown_attributes", [{"a": 1}, None]),
        ("bbox", [3.0, 4.0]),
        ("category", [True, False]),
        ("category", [["coat"], None]),
        ("view", [{"a": 1}, None]),
        ("item_id", [True, False]),
        ("item_id", ["v/image", "."]),
        ("item_id", ["x" * 201, "b"]),
        ("item_id", ["a\nb", "b"]),
        ("image_id", ["nan", "b"]),
        ("path", [1.5, 2.5]),
    ],
)
def test_a_cell_of_another_type_is_refused_with_table_row_and_column(
    tmp_path: Path, make_image: Any, column: str, values: list[Any]
):
    make_image(tmp_path / "0.png", shade=1)
    make_image(tmp_path / "1.png", shade=2)
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"path": ["0.png", "1.png"], "item_id": ["a", "b"]} | {column: values}), path)
    with pytest.raises(SourceError, match=rf"t.parquet has \d problem(?s:.*)row 2, column {column}: "):
        read_folder(path, tmp_path)


def test_whole_numbers_that_pandas_made_floats_name_files_items_and_labels(tmp_path: Path, make_image: Any):
    make_image(tmp_path / "1001.png", shade=1)
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"id": [1001.0], "sku": [7.0], "year": [2011.0], "lined": [True]}), path)
    columns = {"path": "{id}.png", "item_id": "sku", "category": "id", "attributes": ["year", "lined"]}
    (row,) = read_folder(path, tmp_path, columns=columns)
    assert (row["item_id"], row["category"], row["attributes"]) == ("7", "1001", ["year:2011", "lined:true"])
