"""The products' own columns of a gallery in memory: texts as bytes with offsets, and which rows pass a filter by them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from croquis.arrays import Rows
from croquis.catalog.filters import QueryError
from croquis.catalog.product_columns import PRODUCT, ColumnFilter, Value, kinds_in, known

MOST_LISTED = 50  # different values of a column that are offered for a choice


@dataclass(frozen=True)
class ColumnSummary:
    """What can be asked of a column.

    Attributes:
        kind: `text`, `number` or `boolean`.
        values: how many images have each value; empty for numbers, and for a column with more than `MOST_LISTED` values.
        least, most: of a column of numbers.
    """

    kind: str
    values: Mapping[str, int] = field(default_factory=dict)
    least: float | None = None
    most: float | None = None


class ProductTable:
    """Columns by name, row for row with a gallery.

    Args:
        columns: arrays of a type of `KINDS`.
        rows: of the gallery.
    """

    def __init__(self, columns: Mapping[str, pa.Array], rows: int) -> None:
        self._columns = columns
        self._rows = rows
        self.kinds = {} if not columns else kinds_in(pa.struct([pa.field(k, c.type) for k, c in columns.items()]))

    @classmethod
    def of(cls, table: pa.Table) -> ProductTable:
        """Of a gallery's table, which may have no such columns."""
        if PRODUCT not in table.column_names:
            return cls({}, len(table))
        whole = table.column(PRODUCT).chunk(0)
        parts = whole.flatten()  # a null of the whole is a null of each
        names = [part.name for part in whole.type]
        return cls(dict(zip(names, parts, strict=True)), len(table))

    def of_rows(self, rows: Rows) -> list[dict[str, Value]]:
        """What some rows hold, nulls left out."""
        if not self._columns:
            return [{} for _ in rows]
        places = pa.array(rows)
        lines = zip(*(column.take(places).to_pylist() for column in self._columns.values()), strict=True)
        return [known(dict(zip(self._columns, line, strict=True))) for line in lines]

    def check(self, filters: Sequence[ColumnFilter]) -> None:
        """Refuses a column that there is not, and values of another type than its own.

        Raises:
            QueryError: listing the columns, or naming the type.
        """
        for asked in filters:
            kind = self.kinds.get(asked.name)
            if kind is None:
                raise QueryError(
                    "filters.product", asked.name, f"is no column; known: {', '.join(self.kinds) or 'none'}"
                )
            if asked.kinds != {kind}:
                raise QueryError(f"filters.product.{asked.name}", asked.asked(), f"must be of the type {kind}")

    def passing(self, asked: ColumnFilter) -> npt.NDArray[np.bool_]:
        """Whether each row passes a filter that `check` lets through."""
        column = self._columns[asked.name]
        if asked.ranged:
            keep = pa.array(np.ones(self._rows, dtype=np.bool_))
            if asked.least is not None:
                keep = pc.and_(keep, pc.greater_equal(column, asked.least))
            if asked.most is not None:
                keep = pc.and_(keep, pc.less_equal(column, asked.most))
        else:
            keep = pc.is_in(column, value_set=pa.array(asked.values, column.type))
        found: npt.NDArray[np.bool_] = np.asarray(
            pc.fill_null(keep, False).to_numpy(zero_copy_only=False), dtype=np.bool_
        )
        return found

    def summaries(self) -> dict[str, ColumnSummary]:
        """What can be asked of each column."""
        return {name: self._summary(column, self.kinds[name]) for name, column in self._columns.items()}

    def _summary(self, column: pa.Array, kind: str) -> ColumnSummary:
        if kind == "number":
            ends = pc.min_max(column).as_py()
            return ColumnSummary(kind, least=ends["min"], most=ends["max"])
        if pc.count_distinct(column).as_py() > MOST_LISTED:
            return ColumnSummary(kind)
        counted: Any = pc.value_counts(column.drop_null()).to_pylist()
        spelt = Counter({_spelt(each["values"]): each["counts"] for each in counted})
        return ColumnSummary(kind, dict(sorted(spelt.items())))


def _spelt(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
