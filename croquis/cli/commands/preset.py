"""Puts the settings of a real data set and its reference system into params.yaml.

    croquis preset                                list what there is
    croquis preset deepfashion_inshop --diff      what it would change; nothing is written
    croquis preset deepfashion_inshop             changes params.yaml, then: croquis repro

A preset is a file `presets/NAME.yaml` with some of the keys of params.yaml. Keys that it does not name stay as they are,
`root` of the source among them; comments stay too, and nothing is written that the schema refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from croquis.cli.command_line import Invocation, command, option
from croquis.params import load_params
from croquis.params.loader import read_yaml
from croquis.params.write_back import write_back

FOLDER, PARAMS = "presets", "params.yaml"
TAKEN_WHOLE = ("columns", "splits", "domains", "storage_options")  # mappings whose keys a person chooses
WITHOUT_ATTRIBUTES = ("deepfashion2",)  # the attribute classifier has nothing to learn there


class PresetError(ValueError):
    """There is no such preset, or it does not fit params.yaml."""


def preset_files(root: Path) -> dict[str, Path]:
    """Name -> file of every preset."""
    return {path.stem: path for path in sorted((root / FOLDER).glob("*.yaml"))}


def read_preset(name: str, root: Path) -> dict[str, Any]:
    """The settings of a preset, dotted key of params.yaml -> value.

    Raises:
        PresetError: when there is none of that name, or its file is no mapping.
        ParamsError: when its file is not YAML.
    """
    files = preset_files(root)
    if name not in files:
        raise PresetError(f"there is no preset {name!r} in {root / FOLDER}; known: {', '.join(files) or 'none'}")
    values = read_yaml(files[name])
    if not isinstance(values, Mapping) or not values:
        raise PresetError(f"{files[name]} must hold keys of {PARAMS}, it holds {values!r}")
    return flat(values)


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings as one, with dotted keys: {"a": {"b": 1}} becomes {"a.b": 1}; those in TAKEN_WHOLE, and
    empty ones, stay whole."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value and key not in TAKEN_WHOLE:
            found |= {f"{key}.{inner}": leaf for inner, leaf in flat(value).items()}
        else:
            found[str(key)] = value
    return found


def apply(name: str, root: Path, write: bool) -> str:
    """Puts a preset into params.yaml if `write`; returns the diff, empty when nothing changes.

    Raises:
        PresetError: when there is no such preset, or it names a key that params.yaml does not have.
        ParamsError: when the schema refuses the result; params.yaml is left as it was.
    """
    settings = read_preset(name, root)
    if not (root / PARAMS).is_file():
        raise PresetError(f"{root / PARAMS} does not exist; run from the project root")
    try:
        return write_back(root / PARAMS, settings, write, f"preset {name}")
    except KeyError as error:
        raise PresetError(f"{FOLDER}/{name}.yaml names {error.args[0]}, which {PARAMS} does not have") from None


def listing(root: Path) -> str:
    """Every preset with the first line of its file."""
    files = preset_files(root)
    width = max((len(name) for name in files), default=0)
    lines = [f"{name:<{width}}  {headline(path)}" for name, path in files.items()]
    return "\n".join(lines or [f"there are no presets in {root / FOLDER}"])


def headline(path: Path) -> str:
    """The comment on a preset's first line."""
    first, *_ = [*path.read_text(encoding="utf-8").splitlines(), ""]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def closing_words(name: str, root: Path, written: bool) -> str:
    """What to do next, by the source that params.yaml names now."""
    if not written:
        return f"nothing is written; to do so: croquis preset {name}"
    params = load_params(root / PARAMS)
    source = params.ingest.source
    lines = [f"{PARAMS} is written; next:"]
    place = getattr(getattr(params.ingest, source), "root", None)
    if place is not None:
        lines.append(f"  put the files into {place}/ (or change ingest.{source}.root); docs/data.md says which")
    if source in WITHOUT_ATTRIBUTES:
        lines.append(
            "  dvc repro train_embedder    (the set has no attributes: a whole dvc repro stops at the classifier)"
        )
    else:
        lines.append("  croquis repro")
    return "\n".join(lines)


@command(__doc__)
@click.argument("name", required=False)
@option("--diff", "--dry-run", is_flag=True, help="show what would change, write nothing")
@option("--list", "listed", is_flag=True, help="list the presets, as without a name")
@click.pass_obj
def preset_command(invocation: Invocation, name: str | None, diff: bool, listed: bool) -> int:
    root = invocation.project
    if name is None or listed:
        print(listing(root))
        return 0
    changes = apply(name, root, write=not diff)
    print(changes or f"{PARAMS} already says what the preset {name} says\n", end="")
    print(closing_words(name, root, written=not diff))
    return 0
