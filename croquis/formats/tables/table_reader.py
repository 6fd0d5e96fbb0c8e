"""Tables of users: CSV, TSV or Parquet, read into rows with their numbers for error messages."""

from __future__ import annotations

import codecs
import csv
import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from croquis.formats.errors import SourceError, refuse
from croquis.formats.tables.plain_numbers import as_numbers_are_written
from croquis.formats.tables.table_cells import tidy

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "'|'"}
SEPARATOR_LINE = re.compile(r"sep=([,;|\t])\r?\n", re.IGNORECASE)  # as Excel writes and reads it
QUOTED = re.compile(r'"[^"]*"')
ZIP = b"PK\x03\x04"


@dataclass(frozen=True)
class TableRow:
    """One row: `number` counts as a spreadsheet does (the header is row 1); empty cells are None."""

    number: int
    cells: dict[str, Any]


TABLE_ENDINGS = (".csv", ".tsv", ".parquet")


def read_rows(path: Path) -> list[TableRow]:
    """All rows of a `.csv`, `.tsv` or `.parquet` file.

    Text is UTF-8, with or without byte-order mark, or UTF-16 with one. Cells are separated by what the header has most of,
    outside quotes: `,`, `;`, tab or `|`. Columns without a name and rows without any cell are left out.

    Raises:
        SourceError: when the file is absent, of another type or malformed.
    """
    if not path.is_file():
        raise SourceError(f"the table {path} does not exist; correct ingest.folder.table in params.yaml")
    if path.suffix.lower() not in TABLE_ENDINGS:
        raise SourceError(
            f"the table {path} must end in .csv or .parquet, or in .tsv where tabs separate cells; save it as 'CSV UTF-8'"
        )
    header, lines = _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
    named = [name for name in header if name]
    if len(set(named)) < len(named):
        twice = next(name for name in named if named.count(name) > 1)
        places = [str(place) for place, name in enumerate(header, start=1) if name == twice]
        raise SourceError(
            f"{path} names a column twice: {twice!r} is column {' and '.join(places)}; rename all but one"
        )
    return [
        TableRow(number, {name: tidy(cell) for name, cell in zip(header, line, strict=True) if name})
        for number, line in lines
    ]


def _read_csv(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    text = _decoded(path)
    mark = SEPARATOR_LINE.match(text)
    body = text[mark.end() :] if mark else text
    separator = mark[1] if mark else _separator(body)
    lines: list[list[str]] = []
    try:
        with _cells_of_any_length():
            lines.extend(csv.reader(io.StringIO(body, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:  # not strict, an open quote swallows the rows behind it
        raise SourceError(
            f"{path}, row {len(lines) + 1 + bool(mark)}: {error}; a quote that opens here is not closed, or text follows "
            'one that is. Quote the whole cell and write each quote inside it twice: "6"" heel"'
        ) from error
    numbered = [line for line in enumerate(lines, start=1 + bool(mark)) if any(cell.strip() for cell in line[1])]
    if not numbered:
        return [], []
    header = [name.strip() for name in numbered[0][1]]
    rows = numbered[1:]
    refuse(str(path), [f"row {number} {problem}" for number, problem in _faults(header, rows, separator)])
    return header, as_numbers_are_written(rows, separator)


def _decoded(path: Path) -> str:
    """The file's text; UTF-16 by its byte-order mark, else UTF-8."""
    data = path.read_bytes()
    if data.startswith(ZIP):
        raise SourceError(f"{path} is a workbook or a ZIP file, whatever its name: save its first sheet as 'CSV UTF-8'")
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise SourceError(f"{path} is not UTF-8 CSV: line {line}, {error}; save it as 'CSV UTF-8'") from error


def _separator(text: str) -> str:
    """What the header has most of outside quotes; a comma where it has none."""
    header = next((line for line in io.StringIO(text) if line.strip(" ,;|\t\n")), "")
    bare = QUOTED.sub("", header)
    return max(SEPARATORS, key=bare.count)


def _faults(header: list[str], rows: list[tuple[int, list[str]]], separator: str) -> Iterator[tuple[int, str]]:
    width = len(header)
    for number, line in rows:
        if len(line) != width:
            yield number, f"has {len(line)} cells, the header {width}; quote cells that hold {SEPARATORS[separator]}"
        elif any("\0" in cell for cell in line):
            yield number, "holds a NUL character; take it out"
        else:
            for place, cell in enumerate(line):
                if count := _swallowed(cell, place, width, separator):
                    yield (
                        number,
                        f"column {header[place]}: a quote opens here and {count} row(s) stand in the cell; close it",
                    )


def _swallowed(cell: str, place: int, width: int, separator: str) -> int:
    """How many rows a cell holds that began with an open quote and ended at the next one; 0 for any other cell.

    Such a cell ends in its own column of a later row: it holds the rest of its row, whole rows, and the begin of the
    last. Separators before a blank are those of prose.
    """
    first, *others = cell.splitlines() or [""]
    if not others or f"{separator} " in cell or width == 1:
        return 0
    *whole, last = others
    fits = first.count(separator) == width - 1 - place and last.count(separator) == place
    return len(others) if fits and all(line.count(separator) == width - 1 for line in whole) else 0


@contextmanager
def _cells_of_any_length() -> Iterator[None]:
    """Python's limit is 128 KB, less than a thumbnail in base64; the whole table is in memory anyway."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _read_parquet(path: Path) -> tuple[list[str], list[tuple[int, list[Any]]]]:
    try:
        table = pq.read_table(path)
        cells = [column.to_pylist() for column in table.columns]
    except (pa.ArrowException, OSError, ValueError) as error:  # a value may fit no type of Python's
        raise SourceError(f"{path} is not a Parquet table that can be read: {error}") from error
    rows = [(number, list(row)) for number, row in enumerate(zip(*cells, strict=True), start=2)]
    return [name.strip() for name in table.column_names], rows
