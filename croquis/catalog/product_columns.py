"""Columns of a product of its owner's own, such as title, price and link: their types, limits, and filters by them.

A value is text, a number (float64) or true or false; what a product lacks is left out. In tables of images and galleries
they are the fields of one column `product`, each of one type.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import pyarrow as pa

Value: TypeAlias = str | float | bool
Columns: TypeAlias = Mapping[str, Value]

PRODUCT = "product"
MOST_COLUMNS = 20
LONGEST_NAME = 50
LONGEST_TEXT = 1000
MOST_FILTERED = 100  # values of one filter
KINDS = {"text": "string", "number": "double", "boolean": "bool"}  # pyarrow's names of types
RANGE = ("min", "max")


class ProductError(ValueError):
    """A column or value that cannot be kept; the message says why and what is allowed."""


def kind_of(value: Any) -> str | None:
    """`text`, `number` or `boolean`; None for anything else, numbers that are not finite and texts that UTF-8 cannot hold
    included."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return None if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value) else "text"
    if isinstance(value, int | float):
        try:
            return "number" if math.isfinite(value) else None
        except OverflowError:
            return None
    return None


def check_names(names: Sequence[str]) -> None:
    """Refuses too many columns, and names that are empty, long or not printable, by a ProductError."""
    if len(names) > MOST_COLUMNS:
        raise ProductError(f"{len(names)} product columns are too many, at most {MOST_COLUMNS} are kept")
    for name in names:
        if not isinstance(name, str) or not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
            raise ProductError(
                f"a product column {str(name)[:LONGEST_NAME]!r}: 1 to {LONGEST_NAME} printable characters"
            )


def check_columns(values: Any) -> dict[str, Value]:
    """The columns of one product, numbers as floats and nulls left out.

    Raises:
        ProductError: naming the column, and what is allowed.
    """
    if not isinstance(values, Mapping):
        raise ProductError("must be an object of columns and their values")
    check_names(list(values))
    return {name: _checked(name, value) for name, value in values.items() if value is not None}


def product_type(kinds: Mapping[str, str]) -> pa.DataType:
    """The type of the column `product`, from the kind of each of its columns."""
    import pyarrow as pa  # a client of the server imports this module and has no pyarrow

    return pa.struct([pa.field(name, pa.type_for_alias(KINDS[kind])) for name, kind in kinds.items()])


def kinds_in(found: pa.DataType) -> dict[str, str]:
    """The reverse of `product_type`.

    Raises:
        ProductError: when it is another type, or a name is over a limit.
    """
    import pyarrow as pa

    kinds = {pa.type_for_alias(kind): name for name, kind in KINDS.items()}
    if not pa.types.is_struct(found) or any(field.type not in kinds for field in found):
        raise ProductError(f"the column {PRODUCT} is {found}, must hold texts, numbers and booleans")
    check_names([field.name for field in found])
    return {field.name: kinds[field.type] for field in found}


def known(values: Mapping[str, Any] | None) -> dict[str, Value]:
    """A cell of the column `product` without its nulls."""
    return {name: value for name, value in (values or {}).items() if value is not None}


@dataclass(frozen=True)
class ColumnFilter:
    """What a column of a product must hold: one of `values`, or a number from `least` to `most`, both included."""

    name: str
    values: tuple[Value, ...] = ()
    least: float | None = None
    most: float | None = None

    @classmethod
    def of(cls, name: str, asked: Any) -> ColumnFilter:
        """Reads a value, a list of values, or `{"min": ..., "max": ...}`.

        Raises:
            ProductError: saying what is allowed.
        """
        if isinstance(asked, Mapping):
            bounds = {bound: value for bound, value in asked.items() if value is not None}
            if not bounds or set(bounds) - set(RANGE) or any(kind_of(each) != "number" for each in bounds.values()):
                raise ProductError('a range must be numbers such as {"min": 10, "max": 50}, one of the two at least')
            return cls(name, least=_float(bounds.get("min")), most=_float(bounds.get("max")))
        values = asked if isinstance(asked, list | tuple) else [asked]
        if not values or len(values) > MOST_FILTERED or any(kind_of(value) is None for value in values):
            raise ProductError(f"must be a value, a list of 1 to {MOST_FILTERED} values, or a range")
        return cls(name, tuple(float(value) if kind_of(value) == "number" else value for value in values))

    @property
    def ranged(self) -> bool:
        """Whether a range is asked for, and not values."""
        return self.least is not None or self.most is not None

    @property
    def kinds(self) -> set[str]:
        """Of the values that can pass."""
        return {"number"} if self.ranged else {str(kind_of(value)) for value in self.values}

    def asked(self) -> Any:
        """The reverse of `of`."""
        if self.ranged:
            return {
                bound: value for bound, value in zip(RANGE, (self.least, self.most), strict=True) if value is not None
            }
        return list(self.values)

    def passes(self, columns: Columns) -> bool:
        """Whether a product passes; one without the column does not."""
        value = columns.get(self.name)
        if self.ranged:
            below, above = self.least, self.most
            number = kind_of(value) == "number" and isinstance(value, float | int)
            return number and (below is None or value >= below) and (above is None or value <= above)  # type: ignore[operator]
        return any(kind_of(value) == kind_of(each) and value == each for each in self.values)


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def _checked(name: str, value: Any) -> Value:
    kind = kind_of(value)
    if kind is None:
        raise ProductError(f"column {name!r}: must be a text, a finite number, true or false")
    if kind == "number":
        return float(value)
    if kind == "text" and len(value) > LONGEST_TEXT:
        raise ProductError(f"column {name!r}: {len(value)} characters are too many, at most {LONGEST_TEXT} are kept")
    checked: Value = value
    return checked
