"""Puts settings into params.yaml: its comments stay, and nothing is written that the schema refuses."""

from __future__ import annotations

import difflib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.representer import RoundTripRepresenter

from croquis.files import write_bytes
from croquis.params.loader import parse_params

LONGEST_LINE = 4096  # ruamel folds lines that are longer


class Representer(RoundTripRepresenter):
    """Spells an absent value `null`, as params.yaml does; ruamel would leave the place empty."""

    def represent_none(self, data: None) -> Any:  # noqa: ARG002
        return self.represent_scalar("tag:yaml.org,2002:null", "null")


Representer.add_representer(type(None), Representer.represent_none)


def place(values: Any, key: str) -> tuple[Any, str]:
    """The mapping that holds a dotted key, and the key's last part.

    Raises:
        KeyError: with the whole key, when there is no such mapping or it lacks the last part.
    """
    *blocks, name = key.split(".")
    for part in [*blocks, name]:
        if not isinstance(values, Mapping) or part not in values:
            raise KeyError(key)
        values, holder = values[part], values
    return holder, name


def changed_text(text: str, settings: Mapping[str, Any], source: str = "params.yaml") -> str:
    """`text` with `settings` (dotted key -> value) in place; values that are equal already stay as they are spelt.

    Args:
        source: names the result in errors.

    Raises:
        KeyError: when the file has no such key.
        ParamsError: when the schema refuses the result.
    """
    yaml = YAML()
    yaml.Representer = Representer
    yaml.preserve_quotes = True
    yaml.width = LONGEST_LINE
    values = yaml.load(text)
    for key, value in settings.items():
        target, name = place(values, key)
        if target[name] != value:
            _put(target, name, value)
    stream = io.StringIO()
    yaml.dump(values, stream)
    parse_params(YAML(typ="safe", pure=True).load(stream.getvalue()), source, methods=True)
    return stream.getvalue()


def _put(target: Any, name: str, value: Any) -> None:
    """A list or mapping is changed in its place, for comments beside it and the lines after it belong to it."""
    old = target[name]
    if isinstance(value, list) and isinstance(old, list):
        del old[:]
        old.extend(value)
    elif isinstance(value, Mapping) and isinstance(old, dict):
        old.clear()
        old.update(value)
    else:
        target[name] = value
        return
    old.fa.set_flow_style()  # ruamel: an empty one does not know its style


def difference(old: str, new: str, before: str, after: str) -> str:
    """A unified diff between two texts of these names, empty when nothing changes."""
    lines = difflib.unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), before, after)
    return "".join(lines)


def write_back(path: Path, settings: Mapping[str, Any], write: bool, by: str = "tuned") -> str:
    """Changes the params file if `write`, under a temporary name that is then renamed; returns the diff.

    Args:
        by: what the settings come from, for the diff and for errors.
    """
    old, changed = path.read_text(encoding="utf-8"), f"{path.name} ({by})"
    new = changed_text(old, settings, changed)
    if write and new != old:
        write_bytes(path, new.encode())
    return difference(old, new, path.name, changed)
