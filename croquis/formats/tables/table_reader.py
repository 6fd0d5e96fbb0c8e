"""Tables of a person's own: CSV or Parquet, read into rows with their numbers for error messages."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from croquis.formats.errors import SourceError


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
        raise SourceError(f"the table {path} does not exist; mend ingest.folder.table in params.yaml")
    readers = {".csv": _read_csv, ".parquet": _read_parquet}
    if path.suffix.lower() not in readers:
        raise SourceError(f"the table {path} must end in {' or '.join(readers)}")
    return readers[path.suffix.lower()](path)


def _read_csv(path: Path) -> list[TableRow]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            header = [name.strip() for name in next(reader, [])]
            lines = list(enumerate(reader, start=2))
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path} is not UTF-8 CSV: {error}; save it as 'CSV UTF-8'") from error
    if len(set(header)) < len(header):
        raise SourceError(f"{path} names a column twice: {header}")
    for number, line in lines:
        if line and len(line) != len(header):
            message = f"{path}, row {number} has {len(line)} cells, the header {len(header)}"
            raise SourceError(f"{message}; quote cells that hold commas")
    return [
        TableRow(number, {name: cell.strip() or None for name, cell in zip(header, line, strict=True)})
        for number, line in lines
        if line
    ]


def _read_parquet(path: Path) -> list[TableRow]:
    try:
        cells: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    except pa.ArrowException as error:
        raise SourceError(f"{path} is not a Parquet table: {error}") from error
    named = ({name: _cell(value) for name, value in row.items()} for row in cells)
    return [TableRow(number, row) for number, row in enumerate(named, start=2)]


def _cell(value: Any) -> Any:
    """Blank text and NaN, which pandas writes for missing cells, are None."""
    if isinstance(value, str):
        return value.strip() or None
    return None if value != value else value
