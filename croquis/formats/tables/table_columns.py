"""Which column of a table is which of ours: the names, patterns and lists of `ingest.folder.columns`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

from croquis.catalog.product_columns import PRODUCT
from croquis.formats.errors import SourceError
from croquis.formats.tables.table_cells import CellError, as_labels, as_text
from croquis.refusals import hint_of

TableColumn = Literal[
    "path",
    "image_id",
    "item_id",
    "domain",
    "split",
    "role",
    "category",
    "view",
    "attributes",
    "unknown_attributes",
    "bbox",
    "product",
]


OURS: tuple[str, ...] = tuple(name for name in get_args(TableColumn) if name != PRODUCT)
ALL = "all"  # columns that are not used otherwise
REQUIRED = ("path", "item_id")
FIELD = re.compile(r"\{([^{}]*)\}")

Cells = Mapping[str, Any]
Reader = Callable[[Cells], Any]
Source = str | list[str] | None


class Columns:
    """Reads our columns out of a table's rows.

    Args:
        mapping: ours to a column of the table, to a pattern with columns in braces, to a list of columns (each cell
            becomes the label `COLUMN:value`, in small letters), or to None for nothing. What is not in it is read from
            the column of our name, where there is one. `product` is a list of columns, or `all` that are not used otherwise.
        header: the table's columns.
        table: the table's name in errors.

    Attributes:
        product: columns of the table that are the product's own.

    Raises:
        SourceError: when a column is named that the table lacks, when a required one is nowhere to be found, or when a
            column that is not used looks like a misspelling of ours.
    """

    def __init__(self, mapping: Mapping[TableColumn, Source], header: Sequence[str], table: str) -> None:
        own = mapping.get("product")
        mapping = {ours: source for ours, source in mapping.items() if ours != PRODUCT}
        whole: dict[str, Source] = {name: name for name in OURS if name in header}
        whole.update(mapping.items())
        missing = [name for name in REQUIRED if name not in whole]
        if missing:
            raise SourceError(
                f"{table} lacks the column(s) {missing}; it has {list(header)}. Add them, or name yours in "
                "ingest.folder.columns"
            )
        named = [column for ours, source in mapping.items() for column in _check(ours, source, header, table)]
        listed = _check(PRODUCT, own, header, table) if isinstance(own, list) else []
        _refuse_misspellings([name for name in header if name not in (*named, *listed)], whole, table)
        used = {column for source in whole.values() for column in _columns_of(source, header)}
        self.product = (
            [name for name in header if name and name not in used] if own == ALL else list(dict.fromkeys(listed))
        )
        self._readers = {ours: _reader(source, header) for ours, source in whole.items()}

    def of(self, cells: Cells) -> dict[str, Any]:
        """Our columns of a row; those that the table does not have are absent."""
        return {ours: read(cells) for ours, read in self._readers.items()}


def _columns_of(source: Source, header: Sequence[str]) -> list[str]:
    if source is None:
        return []
    if isinstance(source, list):
        return source
    return [source] if source in header or not FIELD.search(source) else FIELD.findall(source)


def _check(ours: str, source: Source, header: Sequence[str], table: str) -> list[str]:
    columns = _columns_of(source, header)
    for column in columns:
        if column not in header:
            raise SourceError(
                f"ingest.folder.columns.{ours} names the column {column!r}, which {table} lacks; it has {list(header)}"
                f"{hint_of(column, header)}"
            )
    return columns


def _refuse_misspellings(unused: Sequence[str], known: Mapping[str, Source], table: str) -> None:
    for name in unused:
        close = difflib.get_close_matches(name, OURS, n=1, cutoff=0.8)
        if name not in OURS and close and close[0] not in known:
            raise SourceError(
                f"{table}: unknown column {name!r} looks like {close[0]!r}; correct its spelling, or say what it is in "
                f"ingest.folder.columns ({close[0]}: null leaves it out)"
            )


def _reader(source: Source, header: Sequence[str]) -> Reader:
    if source is None:
        return lambda _: None
    if isinstance(source, list):
        return lambda cells: [label for column in source for label in _labels(column, cells[column])]
    if source in header:
        return lambda cells: cells[source]
    return lambda cells: _filled(source, cells)


def _labels(column: str, value: Any) -> list[str]:
    """`Wool|Cotton` in the column material as `material:wool` and `material:cotton`; true and false are words here."""
    try:
        labels = as_labels(str(value) if isinstance(value, bool) else value)
    except CellError as error:
        raise CellError(f"column {column}: {error}") from error
    return list(dict.fromkeys(f"{column}:{label.lower()}" for label in labels))


def _filled(pattern: str, cells: Cells) -> str | None:
    """The pattern with its columns' cells; None when one of them is empty."""
    values = {column: cells[column] for column in FIELD.findall(pattern)}
    if None in values.values():
        return None
    return FIELD.sub(lambda field: as_text(values[field.group(1)]) or "", pattern)
