"""Puts the best of a study into params.yaml: its comments stay, and nothing is written that the schema refuses."""

from __future__ import annotations

import difflib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from params.loader import parse_params
from retrieval.files import write_bytes
from tuning.task import place

LONGEST_LINE = 4096  # ruamel folds lines that are longer


def changed_text(text: str, settings: Mapping[str, Any], source: str = "params.yaml") -> str:
    """`text` with `settings` (dotted key -> value) in place; values that are equal already stay as they are spelt.

    Raises:
        KeyError: when the file has no such key.
        ParamsError: when the schema refuses the result.
    """
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = LONGEST_LINE
    values = yaml.load(text)
    for key, value in settings.items():
        target, name = place(values, key)
        if target[name] != value:
            target[name] = value
    stream = io.StringIO()
    yaml.dump(values, stream)
    parse_params(YAML(typ="safe", pure=True).load(stream.getvalue()), f"{source} with {dict(settings)}")
    return stream.getvalue()


def difference(old: str, new: str, name: str = "params.yaml") -> str:
    """A unified diff, empty when nothing changes."""
    lines = difflib.unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), name, f"{name} (tuned)")
    return "".join(lines)


def write_back(path: Path, settings: Mapping[str, Any], write: bool) -> str:
    """Changes the params file if `write`, under a temporary name that is then renamed; returns the diff."""
    old = path.read_text(encoding="utf-8")
    new = changed_text(old, settings, path.name)
    if write and new != old:
        write_bytes(path, new.encode())
    return difference(old, new, path.name)
