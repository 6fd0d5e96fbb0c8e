"""Blocks of params.yaml made of the runtime's settings classes (`croquis.settings`), so that nothing is spelt twice."""

from __future__ import annotations

import types
import typing
from collections.abc import Collection, Mapping
from dataclasses import fields
from functools import cache
from typing import Any, Literal

from pydantic import Field, create_model, model_validator

from croquis.params.block import Block
from croquis.strict_json import parse_description


def block_of(kind: type[Any], leave_out: Collection[str] = ()) -> type[Block]:
    """The block whose keys, types, ranges and descriptions are those of the fields of `kind`; where all of them are there,
    the class itself checks the values too.

    Args:
        kind: a dataclass whose fields are made by `croquis.settings.setting`.
        leave_out: fields that are no key of the block.
    """
    validators: dict[str, Any] = {}
    if not leave_out:

        def checked(self: Block) -> Block:
            parse_description(kind, self.model_dump(), kind.__name__, ValueError)
            return self

        validators["checked"] = model_validator(mode="after")(checked)
    keys = {name: key for name, key in block_keys(kind).items() if name not in leave_out}
    made: type[Block] = create_model(
        kind.__name__, __base__=Block, __doc__=kind.__doc__, __module__=__name__, __validators__=validators, **keys
    )
    return made


def block_keys(kind: type[Any]) -> dict[str, Any]:
    """The fields of a dataclass as `pydantic.create_model` takes them."""
    hints = typing.get_type_hints(kind)
    return {each.name: _key(hints[each.name], each.metadata) for each in fields(kind)}


def _key(hint: Any, allowed: Mapping[str, Any]) -> tuple[Any, Any]:
    bounds = {"ge": allowed.get("low"), "le": allowed.get("high"), "min_length": allowed.get("least")}
    kept = {name: value for name, value in bounds.items() if value is not None}
    description = allowed.get("description") or None
    if typing.get_origin(hint) in (types.UnionType, typing.Union):  # a number, or a word in its place
        number, *words = typing.get_args(hint)
        return typing.Union[typing.Annotated[number, Field(**kept)], *words], Field(description=description)
    if allowed.get("choices") is not None:
        hint = Literal[tuple(allowed["choices"])]
    elif hasattr(hint, "__dataclass_fields__"):
        hint = block_of(hint)
    elif typing.get_origin(hint) is tuple:
        hint = list[typing.get_args(hint)[0]]  # type: ignore[misc]
    return hint, Field(description=description, **kept)


def extended(block: type[Block], settings: Mapping[str, type[Any]]) -> type[Block]:
    """`block` with the settings of parts that are chosen by name, those of a dotted name one block in the other.

    Args:
        settings: name -> settings class, e.g. `{"alpha_qe": AlphaQe, "fashion.knn": Knn}`.
    """
    return _extended(block, tuple(settings.items()))


@cache  # one class for the same parts, so that equal blocks are equal
def _extended(block: type[Block], settings: tuple[tuple[str, type[Any]], ...]) -> type[Block]:
    tree: dict[str, Any] = {}
    for name, kind in settings:
        *outer, last = name.split(".")
        place = tree
        for part in outer:
            place = place.setdefault(part, {})
        place[last] = kind
    made: type[Block] = create_model(block.__name__, __base__=block, __module__=__name__, **_branches(tree))
    return made


def _branches(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of `pydantic.create_model` for a tree of settings classes."""
    return {name: (_branch(name, below), ...) for name, below in tree.items()}


def _branch(name: str, below: Any) -> type[Block]:
    if isinstance(below, type):
        return block_of(below)
    made: type[Block] = create_model(name, __base__=Block, __module__=__name__, **_branches(below))
    return made
