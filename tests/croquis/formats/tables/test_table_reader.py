"""Reading CSV and Parquet: every row is there, or the table is refused with the row and a remedy."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from croquis.formats.errors import SourceError
from croquis.formats.tables.table_reader import read_rows

PLAIN = [f"{number}.png,item{number},plain" for number in range(8)]


def write(folder: Path, lines: list[str]) -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join(["path,item_id,description", *lines]) + "\n")
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({2: '2.png,item2,"Boyfriend jeans'}, r"row 4: unexpected end of data; a quote that opens here"),
        ({2: '2.png,item2,"Boyfriend jeans', 6: '6.png,item6,"Relaxed" fit'}, r"row 4: .*text follows one that is"),
        ({6: '6.png,item6,"Relaxed" fit'}, r"row 8: "),
        ({2: '2.png,item2,"Boyfriend jeans', 5: '5.png,item5,plain"'}, r"row 4 column description: .* 3 row\(s\)"),
        ({2: '2.png,item2,"Boyfriend jeans', 3: '3.png,item3,plain"'}, r"row 4 column description: .* 1 row\(s\)"),
        ({2: '2.png,"item2,plain', 4: '4.png,item4",plain'}, r"row 4 column item_id: .* 2 row\(s\)"),
        ({7: '7.png,item7,"'}, r"row 9: unexpected end of data"),
        ({3: "3.png,item\0003,plain"}, r"row 5 holds a NUL"),
        ({3: "3.png,item3"}, r"row 5 has 2 cells, the header 3"),
    ],
)
def test_a_malformed_table_is_refused_with_its_row(tmp_path: Path, changes: dict[int, str], message: str):
    path = write(tmp_path, [changes.get(number, line) for number, line in enumerate(PLAIN)])
    with pytest.raises(SourceError, match=message) as caught:
        read_rows(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["two\nlines", "three\n\nlines, with commas", 'a 6" heel', '"', "red,blue\ngreen", "\r\nx", "a,b\n1,2 and 3, 4"],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_every_well_quoted_cell_is_read_as_it_was_written(tmp_path: Path, text: str, place: int):
    path = tmp_path / "table.csv"
    lines = [[f"{number}.png", "item", "x"] for number in range(4)]
    lines[1][place] = text
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([["path", "item_id", "description"], *lines])
    rows = read_rows(path)
    assert [row.number for row in rows] == [2, 3, 4, 5]
    assert list(rows[1].cells.values())[place] == text.strip()


def test_a_cell_may_be_of_any_length_and_the_limit_of_others_stays(tmp_path: Path):
    before = csv.field_size_limit()
    (row,) = read_rows(write(tmp_path, ["0.png,a," + "A" * 140_000]))
    assert len(row.cells["description"]) == 140_000
    assert csv.field_size_limit() == before


def test_a_parquet_column_that_is_there_twice_is_refused(tmp_path: Path):
    pq.write_table(pa.table([["a"], ["b"]], names=["path", "path "]), tmp_path / "t.parquet")
    with pytest.raises(SourceError, match="names a column twice"):
        read_rows(tmp_path / "t.parquet")


LINES = [["path", "item_id", "price"], ["a,1.png", "Ä", "9,50"], ["b 2.png", "b", "3"]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(("separator", "price"), [(",", "9,50"), (";", "9.50"), ("\t", "9,50"), ("|", "9,50")])
def test_cells_are_separated_by_what_the_header_has(tmp_path: Path, encoding: str, separator: str, price: str):
    path = tmp_path / "t.tsv"
    with path.open("w", encoding=encoding, newline="") as stream:
        csv.writer(stream, delimiter=separator).writerows(LINES)
    first, second = read_rows(path)
    assert first.cells == {"path": "a,1.png", "item_id": "Ä", "price": price}
    assert (first.number, second.number, second.cells["item_id"]) == (2, 3, "b")


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("sep=;\npath;item_id\na.png;a\n", [3]),
        ("\n,,\npath,item_id,\na.png,a,\n\n , ,\nb.png,b,\n", [4, 7]),
        ("path,item_id,,\na.png,a,,x\n", [2]),
        ('"path, or; name";item_id\na.png;a\n', [2]),
    ],
)
def test_blank_rows_and_columns_without_a_name_are_left_out(tmp_path: Path, text: str, numbers: list[int]):
    path = tmp_path / "t.csv"
    path.write_text(text)
    rows = read_rows(path)
    assert [row.number for row in rows] == numbers
    assert list(rows[0].cells.values()) == ["a.png", "a"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"path;item_id\na;b;c\n", "row 2 has 3 cells, the header 2; quote cells that hold semicolons"),
        (b'path;item_id;x\na;"b;c\nd;e";f\n', r"row 2 column item_id: .* 1 row\(s\)"),
        (b'sep=;\npath;item_id\na;"b\n', "row 3: unexpected end of data"),
        (b"path,tag,tag\na,b,c\n", "names a column twice: 'tag' is column 2 and 3; rename all but one"),
        (b"PK\x03\x04...", "is a workbook or a ZIP file, whatever its name: save its first sheet as 'CSV UTF-8'"),
        ("path,item_id\na,b\nc,Mäntel".encode("cp1252"), "is not UTF-8 CSV: line 3, .*; save it as 'CSV UTF-8'"),
    ],
)
def test_a_table_of_another_form_is_refused_by_what_it_is(tmp_path: Path, data: bytes, message: str):
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(SourceError, match=message):
        read_rows(tmp_path / "t.csv")
