"""Strict reading of small JSON descriptions into frozen dataclasses, and how much JSON is read at all."""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

T = TypeVar("T")

MOST_VALUES = 50_000  # of a request and of an event; the texts of a product's own columns may hold 20,000 commas
SIGNS = ",[{"  # as many stand in a text as it has values, or more


def check_values(text: str | bytes, most: int = MOST_VALUES) -> None:
    """Refuses JSON of more values than are read: a parser takes seconds for some megabytes of empty lists, and hundreds of
    megabytes of memory. A text counts its commas and brackets, too.

    Raises:
        ValueError: when there are more than `most`.
    """
    found = text.count if isinstance(text, str) else (lambda sign: text.count(sign.encode()))
    if sum(map(found, SIGNS)) > most:
        raise ValueError(f"more than {most} values, lists and objects")


def parse_description(kind: type[T], values: Any, source: str, error: type[ValueError], *, follow: bool = True) -> T:
    """Builds the dataclass `kind` from a JSON object, with no key more or less and every value of its type.

    A class whose JSON is not that of its fields reads it itself, by a class method `from_description`.

    Args:
        kind: a dataclass; fields with a default may be left out.
        values: the parsed JSON.
        source: names the object in errors, e.g. `manifest.json: encoder`.
        error: the class to raise.
        follow: False for `from_description` of `kind` not to be called.

    Raises:
        ValueError: of class `error`, naming the key.
    """
    own_reader = getattr(kind, "from_description", None)
    if follow and own_reader is not None:
        read: T = own_reader(values, source, error)
        return read
    if not isinstance(values, Mapping):
        raise error(f"{source} must be an object, not {type(values).__name__}")
    known = {field.name: field for field in fields(kind) if field.init}  # type: ignore[arg-type]
    needed = {name for name, field in known.items() if field.default is MISSING and field.default_factory is MISSING}
    if unknown := sorted(set(values) - set(known)):
        raise error(f"{source} has unknown keys {unknown}; known: {sorted(known)}")
    if missing := sorted(needed - set(values)):
        raise error(f"{source} lacks the keys {missing}")
    hints = typing.get_type_hints(kind)
    return kind(**{name: _convert(hints[name], value, f"{source}: {name}", error) for name, value in values.items()})


def _convert(hint: Any, value: Any, source: str, error: type[ValueError]) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        named = [argument for argument in arguments if typing.get_origin(argument) is typing.Literal]
        if any(value in typing.get_args(argument) for argument in named):
            return value
        (hint,) = [argument for argument in arguments if argument is not type(None) and argument not in named]
        return _convert(hint, value, source, error)
    if origin is tuple:
        _check(isinstance(value, list), list, value, source, error)
        return tuple(_convert(arguments[0], each, source, error) for each in value)
    if origin is not None:
        _check(isinstance(value, dict), dict, value, source, error)
        return {key: _convert(arguments[1], each, f"{source}: {key}", error) for key, each in value.items()}
    if hint is Any:
        return value
    if hasattr(hint, "__dataclass_fields__"):
        return parse_description(hint, value, source, error)
    if hint is float and type(value) is int:
        _check(abs(value) <= sys.float_info.max, hint, "a number past all others", source, error)
        return float(value)
    _check(type(value) is hint, hint, value, source, error)
    return value


def _check(fine: bool, hint: type, value: Any, source: str, error: type[ValueError]) -> None:
    if not fine:
        raise error(f"{source} = {value!r} must be of type {hint.__name__}")
