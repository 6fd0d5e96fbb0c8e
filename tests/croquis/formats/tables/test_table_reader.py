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
