"""The base of every block of params.yaml, and the pieces that blocks of registered parts are made of."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, create_model
from pydantic_core import CoreSchema, core_schema

from croquis.plugins import PluginRegistry


class Block(BaseModel):
    """Frozen and strict: no unknown keys, no silent conversions (an int is accepted where a float is asked for)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())


Model = TypeVar("Model", bound=Block)


class OneOf:
    """Of a text: one of the names that a table knows, e.g. `Annotated[str, OneOf(PROTOCOLS)]`; any where it is empty."""

    def __init__(self, names: Collection[str]) -> None:
        self.names = tuple(names)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.literal_schema(list(self.names)) if self.names else core_schema.str_schema()


def field_name(entry: str) -> str:
    """The attribute that holds the block of a registry's entry; dotted names cannot be attributes."""
    return entry.replace(".", "__")


def with_blocks(base: type[Model], blocks: dict[str, Any]) -> type[Model]:
    """`base` with a further block per entry of a registry.

    Args:
        blocks: name of the entry, which is its key in params.yaml -> the class of its block, or Any for one that stays
            as it is.
    """
    fields: dict[str, Any] = {field_name(name): (block, Field(alias=name)) for name, block in blocks.items()}
    return create_model(base.__name__, __base__=base, __module__=base.__module__, __doc__=base.__doc__, **fields)


def lifted(values: Any, names: Iterable[str]) -> Any:
    """A mapping in which the block of a dotted name stands under that name: `{a: {b: X}}` -> `{a.b: X}` for `a.b`.

    DVC reads a dotted key of params.yaml as a path, and so params.yaml nests these blocks.
    """
    if not isinstance(values, dict):
        return values
    found = dict(values)
    for name in names:
        *path, last = name.split(".")
        inner: Any = values
        for part in path:
            inner = inner.get(part) if isinstance(inner, dict) else None
        if path and isinstance(inner, dict) and last in inner:
            found.pop(path[0], None)
            found[name] = inner[last]
    return found


def entries_in(values: Any, registry: PluginRegistry[Any], named: Iterable[str]) -> list[str]:
    """Entries of a registry that have a block in `values`, or need one because they are named there."""
    keys = values if isinstance(values, dict) else {}
    return [name for name in dict.fromkeys([*registry.names, *named]) if name in keys or name in set(named)]
