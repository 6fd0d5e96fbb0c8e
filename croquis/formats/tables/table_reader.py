"""Tables of users: CSV or Parquet, read into rows with their numbers for error messages."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from croquis.formats.errors import SourceError, refuse
from croquis.formats.tables.table_cells import tidy


@dataclass(frozen=True)
class TableRow:
    """One row: `number` counts as a spreadsheet does (the header is row 1); empty cells are None."""

    number: int
    cells: dict[str, Any]


def read_rows(path: Path) -> list[TableRow]:
    """All rows of a `.csv` (UTF-8, with or without byte-order mark) or `.parquet` file.

    Raises:
        SourceError: when the file is absent, of another type or malformed.
    """
    if not path.is_file():
        raise SourceError(f"the table {path} does not exist; correct ingest.folder.table in params.yaml")
    readers = {".csv": _read_csv, ".parquet": _read_parquet}
    if path.suffix.lower() not in readers:
        raise SourceError(f"the table {path} must end in {' or '.join(readers)}")
    header, lines = readers[path.suffix.lower()](path)
    if len(set(header)) < len(header):
        raise SourceError(f"{path} names a column twice: {header}")
    return [
        TableRow(number, {name: tidy(cell) for name, cell in zip(header, line, strict=True)})
        for number, line in enumerate(lines, start=2)
        if line
    ]


def _read_csv(path: Path) -> tuple[list[str], list[list[str]]]:
    lines: list[list[str]] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream, _cells_of_any_length():
            reader = csv.reader(stream, strict=True)  # else an open quote swallows the rows behind it
            header = [name.strip() for name in next(reader, [])]
            lines.extend(reader)
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is not UTF-8 CSV: {error}; save it as 'CSV UTF-8'") from error
    except csv.Error as error:
        raise SourceError(
            f"{path}, row {len(lines) + 2}: {error}; a quote that opens here is not closed, or text follows one that is. "
            'Quote the whole cell and write each quote inside it twice: "6"" heel"'
        ) from error
    refuse(str(path), [f"row {number} {problem}" for number, problem in _faults(header, lines)])
    return header, lines


def _faults(header: list[str], lines: list[list[str]]) -> Iterator[tuple[int, str]]:
    width = len(header)
    for number, line in enumerate(lines, start=2):
        if line and len(line) != width:
            yield number, f"has {len(line)} cells, the header {width}; quote cells that hold commas"
        elif any("\0" in cell for cell in line):
            yield number, "holds a NUL character; take it out"
        else:
            for place, cell in enumerate(line):
                if count := _swallowed(cell, place, width):
                    yield (
                        number,
                        f"column {header[place]}: a quote opens here and {count} row(s) stand in the cell; close it",
                    )


def _swallowed(cell: str, place: int, width: int) -> int:
    """How many rows a cell holds that began with an open quote and ended at the next one; 0 for any other cell.

    Such a cell ends in its own column of a later row: it holds the rest of its row, whole rows, and the begin of the
    last. Commas before a blank are those of prose.
    """
    first, *others = cell.splitlines() or [""]
    if not others or ", " in cell or width == 1:
        return 0
    *whole, last = others
    fits = first.count(",") == width - 1 - place and last.count(",") == place
    return len(others) if fits and all(line.count(",") == width - 1 for line in whole) else 0


@contextmanager
def _cells_of_any_length() -> Iterator[None]:
    """Python's limit is 128 KB, less than a thumbnail in base64; the whole table is in memory anyway."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _read_parquet(path: Path) -> tuple[list[str], list[list[Any]]]:
    try:
        table = pq.read_table(path)
        cells = [column.to_pylist() for column in table.columns]
    except (pa.ArrowException, OSError, ValueError) as error:  # a value may fit no type of Python's
        raise SourceError(f"{path} is not a Parquet table that can be read: {error}") from error
    return [name.strip() for name in table.column_names], [list(row) for row in zip(*cells, strict=True)]
