"""Which images of a table may be found, and the error that names what is wrong with a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

MOST_VALUES = 100


class QueryError(ValueError):
    """A request that cannot be answered.

    Attributes:
        field: the part of the request, e.g. `k` or `filters.category`.
        value: what was sent.
        limit: what is allowed, in words.
    """

    def __init__(self, field: str, value: object, limit: str) -> None:
        super().__init__(f"{field} = {value!r} {limit}")
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
    """

    category: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    colour: tuple[str, ...] = ()
    domain: tuple[str, ...] = ()

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Reads e.g. `{"category": "dress", "attributes": ["sleeve:long", "colour:red"]}`; a word stands for a list.

        Raises:
            QueryError: on an unknown key, or values that are not words.
        """
        if not isinstance(values, Mapping):
            raise QueryError("filters", values, "must be an object")
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                raise QueryError("filters", key, f"is not a filter; known: {', '.join(known)}")
        return cls(**{str(key): _words(f"filters.{key}", value) for key, value in values.items()})

    @property
    def empty(self) -> bool:
        return not (self.category or self.attributes or self.colour or self.domain)


def as_filters(filters: Filters | Mapping[str, Any] | None) -> Filters:
    """`filters`, a mapping read by `Filters.from_mapping`; None lets every image pass.

    Raises:
        QueryError: on an unknown key, or values that are not words.
    """
    if filters is None:
        return Filters()
    return filters if isinstance(filters, Filters) else Filters.from_mapping(filters)


def _words(field: str, value: Any) -> tuple[str, ...]:
    words = [value] if isinstance(value, str) else value
    if words is None:
        return ()
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        raise QueryError(field, value, "must be a word or a list of words")
    if len(words) > MOST_VALUES:
        raise QueryError(field, len(words), f"values are too many, at most {MOST_VALUES}")
    return tuple(words)
