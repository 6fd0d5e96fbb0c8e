"""Shows what params.yaml may hold: type, range, the value that stands there, and what it does.

croquis params                  every key
croquis params siamese          the keys of a block
croquis params base.protocol    one key
"""

from __future__ import annotations

import typing
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from ruamel.yaml import YAML

from croquis.cli.command_line import Invocation, command
from croquis.params import load_params
from croquis.params.block import OneOf
from croquis.plugins import METHODS
from croquis.refusals import RefusedError, hint_of

PARAMS = "params.yaml"
BOUNDS = {
    "ge": ">= {}",
    "gt": "> {}",
    "le": "<= {}",
    "lt": "< {}",
    "min_length": "at least {} long",
    "max_length": "at most {} long",
    "pattern": "matches {}",
}


@dataclass(frozen=True)
class Key:
    """A value of params.yaml.

    Attributes:
        name: dotted.
        kind: its type, e.g. `int`, or its words, e.g. `flat | hnsw`.
        range: its bounds, e.g. `>= 0, < 1`; empty when there are none.
        value: that params.yaml holds.
        says: what it does; empty where neither schema nor params.yaml say it.
    """

    name: str
    kind: str
    range: str
    value: Any
    says: str


def read_keys(root: Path, methods: bool | Collection[str] = True) -> list[Key]:
    """Every key of the schema, in its order.

    Args:
        methods: whose blocks are described, too, for which torch is imported; those of others are left out.
    """
    params, comments = load_params(root / PARAMS, methods), read_comments(root / PARAMS)
    return list(_keys(type(params), params, "", comments))


def _keys(block: type[BaseModel], values: BaseModel, prefix: str, comments: dict[str, str]) -> Iterator[Key]:
    for attribute, field in block.model_fields.items():
        name, value = f"{prefix}{field.alias or attribute}", getattr(values, attribute)
        if field.annotation is Any:
            continue  # the block of a method that is not described
        if isinstance(value, BaseModel):
            yield from _keys(type(value), value, f"{name}.", comments)
        else:
            yield Key(name, kind_of(field), range_of(field), value, field.description or comments.get(name, ""))


def kind_of(field: FieldInfo) -> str:
    """A field's type as a person writes it."""
    names = next((part.names for part in field.metadata if isinstance(part, OneOf)), None)
    return " | ".join(names) if names else spelt_type(field.annotation)


def spelt_type(annotation: Any) -> str:
    """`int`, `list of str`, `flat | hnsw`, `str or null`."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return " | ".join(map(str, inner))
    if origin is Annotated:
        names = next((part.names for part in inner[1:] if isinstance(part, OneOf)), None)
        return " | ".join(names) if names else spelt_type(inner[0])
    if origin in (Union, UnionType):
        return " or ".join(map(spelt_type, inner))
    if origin is list:
        return f"list of {spelt_type(inner[0])}"
    if origin is dict:
        return f"mapping of {spelt_type(inner[0])} to {spelt_type(inner[1])}"
    if annotation is type(None):
        return "null"
    return "anything" if annotation is Any else str(getattr(annotation, "__name__", annotation))


def range_of(field: FieldInfo) -> str:
    """The bounds of a field's value or length."""
    found = {
        name: getattr(part, name) for part in field.metadata for name in BOUNDS if getattr(part, name, None) is not None
    }
    return ", ".join(BOUNDS[name].format(bound) for name, bound in found.items())


def read_comments(path: Path) -> dict[str, str]:
    """Dotted key -> the comment on its line of the file."""
    found: dict[str, str] = {}

    def collect(values: Any, prefix: str) -> None:
        for name, value in values.items():
            own = values.ca.items.get(name, [None] * 3)[2]
            first = own.value.splitlines()[0] if own is not None else ""
            if first.startswith("#"):
                found[f"{prefix}{name}"] = first.removeprefix("#").strip()
            if hasattr(value, "ca") and hasattr(value, "items"):
                collect(value, f"{prefix}{name}.")

    collect(YAML().load(path.read_text(encoding="utf-8")), "")
    return found


def lines_of(keys: list[Key]) -> Iterator[str]:
    """Name and value of each, below it type, range and what it does."""
    for key in keys:
        yield f"{key.name}: {_spelt(key.value)}"
        yield f"    {key.kind}{f', {key.range}' if key.range else ''}"
        if key.says:
            yield f"    {key.says}"


def _spelt(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"[{', '.join(map(_spelt, value))}]" if isinstance(value, list) else str(value)


@command(__doc__)
@click.argument("key", required=False)
@click.pass_obj
def params_command(invocation: Invocation, key: str | None) -> int:
    first = (key or "").partition(".")[0]
    keys = read_keys(invocation.project, methods=key is None or [first for known in METHODS.names if known == first])
    wanted = [each for each in keys if key is None or each.name == key or each.name.startswith(f"{key}.")]
    if not wanted:
        blocks = {each.name.rpartition(".")[0] for each in keys}
        hint = hint_of(key or "", [*(each.name for each in keys), *blocks], most=3)
        raise RefusedError(f"{PARAMS} has no key {key}{hint or ': `croquis params` lists them'}")
    print("\n".join(lines_of(wanted)))
    return 0
