"""Which images of a table may be found, and the error that names what is wrong with a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from croquis.catalog.product_columns import LONGEST_NAME, MOST_COLUMNS, PRODUCT, ColumnFilter, ProductError

MOST_VALUES = 100
LONGEST_SHOWN = 200  # characters of a wrong value in an error


class QueryError(ValueError):
    """A request that cannot be answered.

    Attributes:
        field: the part of the request, e.g. `k` or `filters.category`.
        value: what was sent.
        limit: what is allowed, in words.
    """

    def __init__(self, field: str, value: object, limit: str) -> None:
        shown = repr(value)
        if len(shown) > LONGEST_SHOWN:  # the reason behind it must be seen
            shown = f"{shown[: LONGEST_SHOWN - 20]}...{shown[-17:]}"
        super().__init__(f"{field} = {shown} {limit}")
        self.field = field
        self.value = value
        self.limit = limit


@dataclass(frozen=True)
class Filters:
    """Which gallery images may be found.

    Attributes:
        category: any of these; all when empty.
        attributes: all of these, as the catalogue has them (not as predicted).
        colour: any of these, without the group: `red` stands for the catalogue's attribute `colour:red`.
        domain: any of these; all when empty.
        product: what columns of the product must hold, all of them.
    """

    category: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    colour: tuple[str, ...] = ()
    domain: tuple[str, ...] = ()
    product: tuple[ColumnFilter, ...] = ()

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Reads e.g. `{"category": "dress", "attributes": ["sleeve:long", "colour:red"]}`; a word stands for a list. Of
        `product` it takes values, lists and ranges by column: `{"product": {"brand": "acme", "price": {"max": 50}}}`.

        Raises:
            QueryError: on an unknown key, or values that are not words.
        """
        if not isinstance(values, Mapping):
            raise QueryError("filters", values, "must be an object")
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                raise QueryError("filters", key, f"is not a filter; known: {', '.join(known)}")
        words = {key: _words(f"filters.{key}", value) for key, value in values.items() if key != PRODUCT}
        return cls(**words, product=_columns(values.get(PRODUCT)))

    @property
    def empty(self) -> bool:
        """Whether every image passes."""
        return self == type(self)()

    def to_mapping(self) -> dict[str, Any]:
        """The reverse of `from_mapping`, plain values for JSON; what is empty is left out."""
        words: dict[str, Any] = {
            field.name: list(getattr(self, field.name)) for field in fields(self) if field.name != PRODUCT
        }
        words[PRODUCT] = {each.name: each.asked() for each in self.product}
        return {name: value for name, value in words.items() if value}


def as_filters(filters: Filters | Mapping[str, Any] | None) -> Filters:
    """`filters`, a mapping read by `Filters.from_mapping`; None lets every image pass.

    Raises:
        QueryError: on an unknown key, or values that are not words.
    """
    if filters is None:
        return Filters()
    return filters if isinstance(filters, Filters) else Filters.from_mapping(filters)


def _columns(asked: Any) -> tuple[ColumnFilter, ...]:
    if asked is None:
        return ()
    if not isinstance(asked, Mapping):
        raise QueryError(f"filters.{PRODUCT}", asked, "must be an object of columns and what they must hold")
    if len(asked) > MOST_COLUMNS:
        raise QueryError(f"filters.{PRODUCT}", len(asked), f"columns are too many, at most {MOST_COLUMNS}")
    found = []
    for name, value in asked.items():
        try:
            found.append(ColumnFilter.of(str(name), value))
        except ProductError as error:
            raise QueryError(f"filters.{PRODUCT}.{str(name)[:LONGEST_NAME]}", value, str(error)) from None
    return tuple(found)


def _words(field: str, value: Any) -> tuple[str, ...]:
    words = [value] if isinstance(value, str) else value
    if words is None:
        return ()
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        raise QueryError(field, value, "must be a word or a list of words")
    if len(words) > MOST_VALUES:
        raise QueryError(field, len(words), f"values are too many, at most {MOST_VALUES}")
    return tuple(words)
