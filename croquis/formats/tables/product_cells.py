"""Which of a table's columns are a product's own, and of what type each one is: decided once, from all of its cells."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa

from croquis.catalog.product_columns import LONGEST_TEXT, ProductError, Value, check_names, product_type
from croquis.formats.errors import SourceError, refuse
from croquis.formats.tables.table_cells import CellError, as_text
from croquis.formats.tables.table_reader import TableRow

# A text of a CSV that is a number; `007` and `+49` are not, as they lose something.
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?(?:[eE][-+]?[0-9]{1,2})?")
TRUTH = {"true": True, "false": False}


def product_kinds(table: str, read: Sequence[TableRow], names: Sequence[str]) -> dict[str, str]:
    """`text`, `number` or `boolean` for each column: a number or boolean where every cell that is not empty is one.

    Raises:
        SourceError: on too many columns, or a name that is too long.
    """
    try:
        check_names(names)
    except ProductError as error:
        raise SourceError(
            f"{table}: {error}; choose some in ingest.folder.columns (product: [title, price])"
        ) from error
    return {name: _kind([row.cells[name] for row in read if row.cells[name] is not None]) for name in names}


def product_scalars(table: str, read: Sequence[TableRow], kinds: Mapping[str, str]) -> dict[int, pa.StructScalar]:
    """The column `product` of each row, by its number.

    Raises:
        SourceError: naming rows and columns whose cells are too long or no text.
    """
    problems: list[str] = []
    found: dict[int, pa.StructScalar] = {}
    made = product_type(kinds)
    for row in read:
        values: dict[str, Value | None] = {}
        for name, kind in kinds.items():
            try:
                values[name] = _value(row.cells[name], kind)
            except CellError as error:
                problems.append(f"row {row.number}, column {name}: {error}")
        if len(values) == len(kinds):
            found[row.number] = pa.scalar(values, made)
    refuse(table, problems)
    return found


def _kind(cells: Sequence[Any]) -> str:
    if cells and all(isinstance(cell, bool) or (isinstance(cell, str) and cell.lower() in TRUTH) for cell in cells):
        return "boolean"
    return "number" if cells and all(map(_is_number, cells)) else "text"


def _is_number(cell: Any) -> bool:
    if isinstance(cell, str):
        return NUMBER.fullmatch(cell) is not None
    return isinstance(cell, int | float | Decimal) and not isinstance(cell, bool) and math.isfinite(cell)


def _value(cell: Any, kind: str) -> Value | None:
    if cell is None:
        return None
    if kind == "boolean":
        return cell if isinstance(cell, bool) else TRUTH[cell.lower()]
    if kind == "number":
        return float(cell)
    text = str(cell).lower() if isinstance(cell, bool) else as_text(cell)
    if text is not None and len(text) > LONGEST_TEXT:
        raise CellError(
            f"{len(text)} characters are too many, at most {LONGEST_TEXT} are kept; shorten it, or leave the column out of "
            "ingest.folder.columns.product"
        )
    return text
