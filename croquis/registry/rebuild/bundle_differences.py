"""What differs between two bundles, two states of dvc.lock, and two environments, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from croquis.bundle import Bundle
from croquis.tracking.stage_key import stage_key_from_lock

LONGEST = 60  # characters of a value that is shown


def bundle_differences(expected: Bundle, found: Bundle) -> list[str]:
    """One line per file and manifest key that differs; empty exactly when the hashes are equal."""
    if expected.hash == found.hash:
        return []
    files, others = expected.manifest.files, found.manifest.files
    lines = []
    for name in sorted({*files, *others}):
        if name not in others or name not in files:
            lines.append(f"{name}: only in the {'registered' if name in files else 'rebuilt'} bundle")
        elif files[name] != others[name]:
            sizes = f"{files[name].bytes} -> {others[name].bytes} bytes"
            lines.append(f"{name}: {files[name].sha256[:12]} -> {others[name].sha256[:12]}, {sizes}")
    described, other = (each.manifest.to_json() for each in (expected, found))
    for key in sorted({*described, *other} - {"files"}):
        if described.get(key) != other.get(key):
            lines += [f"manifest {line}" for line in _value_differences(key, described.get(key), other.get(key))]
    return lines


def _value_differences(name: str, before: Any, after: Any) -> list[str]:
    """One line per value that differs in two JSON values, those of objects by their keys; long values are cut."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        keys = [key for key in sorted({*before, *after}) if before.get(key) != after.get(key)]
        return [line for key in keys for line in _value_differences(f"{name}.{key}", before.get(key), after.get(key))]
    return [f"{name}: {_shown(before)} -> {_shown(after)}"]


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def lock_differences(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """One line per stage of both locks that was given or made something else.

    A stage whose inputs are the same but whose outputs differ is where equal work gave different bytes.
    """
    stages, others = expected.get("stages") or {}, found.get("stages") or {}
    lines = []
    for name in (name for name in stages if name in others):
        made, remade = _outputs(stages[name]), _outputs(others[name])
        differing = [path for path in made if made[path] != remade.get(path)]
        same_inputs = stage_key_from_lock(stages[name]) == stage_key_from_lock(others[name])
        if differing:
            why = "from the same inputs" if same_inputs else "from other inputs"
            lines.append(f"{name} made another {', '.join(differing)} {why}")
        elif not same_inputs:
            lines.append(f"{name} had other inputs, and made the same")
    return lines


def environment_differences(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """`torch 2.8.0 -> 2.9.0` and its like."""
    return list(_changes(expected, found))


def _changes(expected: Mapping[str, str], found: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*expected, *found}):
        before, after = expected.get(name, "absent"), found.get(name, "absent")
        if before != after:
            yield f"{name} {before} -> {after}"


def _outputs(entry: Mapping[str, Any]) -> dict[str, str]:
    return {str(out["path"]): str(out.get("md5", "")) for out in entry.get("outs") or []}
