"""Which columns of a person's table are kept as the product's own."""

from __future__ import annotations

from collections.abc import Sequence

from croquis.catalog.product_columns import LONGEST_NAME, MOST_COLUMNS
from croquis.formats.errors import SourceError
from croquis.formats.tables.product_cells import product_kinds, product_scalars
from croquis.formats.tables.table_reader import TableRow


def own_columns(rows: Sequence[TableRow], unused: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The first columns that can be kept, with `text`, `number` or `boolean` for each, and a note for each that cannot.

    Args:
        unused: columns of the table that are used for nothing else; empty ones are left out without a note.
    """
    kinds: dict[str, str] = {}
    notes: list[str] = []
    for name in unused:
        if all(row.cells[name] is None for row in rows):
            continue
        try:
            found = product_kinds("the table", rows, [name])
            product_scalars("the table", rows, found)
        except SourceError as error:
            lines = [line.strip() for line in str(error).splitlines()]
            notes.append(f"product: column {name[:LONGEST_NAME]!r} cannot be kept: {lines[min(1, len(lines) - 1)]}")
            continue
        if len(kinds) < MOST_COLUMNS:
            kinds |= found
    return kinds, notes
