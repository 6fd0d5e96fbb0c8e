"""What a study needs to know about the thing it searches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import optuna

from croquis.files import sha256_file
from croquis.params import Params
from croquis.params.write_back import place
from croquis.settings import SearchRange, SearchSpace

Point = dict[str, Any]
DIGITS = 4  # significant digits of a searched number: what is measured is what params.yaml will say
SCRATCH = Path(".scratch/tune")
CURVES = "curves"  # attribute of a trial that trains: name -> [[epoch, value], ...]


class TuneError(RuntimeError):
    """A study cannot start or go on; the message says what to do."""


class Task(Protocol):
    """One search: a training or `rerank`.

    Attributes:
        name: of the study; holds a hash of all that decides on the values, so that values of a study can be compared.
        metric: the objective, e.g. `val/consumer->shop/hit@1`; higher is better.
        seed: of the sampler.
        space: what is searched.
        anchors: points measured before the sampler proposes any; the first is what params.yaml says now.
        anchor_names: what the anchors are, in words.
        pruner: ends trials early; None where they are short.
    """

    name: str
    metric: str
    seed: int
    space: SearchSpace
    anchors: Sequence[Point]
    anchor_names: Sequence[str]
    pruner: optuna.pruners.BasePruner | None

    def measure(self, trial: optuna.trial.BaseTrial) -> float:
        """The objective at `trial.params`; sets the attribute `CURVES` if it trains; may raise optuna.TrialPruned."""

    def settings(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """What a point of the space says in params.yaml, by dotted key."""

    def changes(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the settings that differ from params.yaml."""


def study_name(kind: str, decides: Mapping[str, Any], space: SearchSpace) -> str:
    """`kind-` and 10 hex digits of everything that decides on the objective's values."""
    described = {name: asdict(each) if isinstance(each, SearchRange) else each for name, each in space.items()}
    text = json.dumps({"decides": decides, "space": described}, sort_keys=True, default=str)
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def folder_hash(folder: Path) -> str:
    """Hex SHA-256 over the names and contents of a folder's files.

    Raises:
        TuneError: when the pipeline has not made it.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    if not files:
        raise TuneError(f"{folder} is missing or empty: run `make repro` first")
    listed = [f"{path.relative_to(folder).as_posix()} {sha256_file(path)}" for path in files]
    return hashlib.sha256("\n".join(listed).encode()).hexdigest()


def scratch_of(root: Path, study: str) -> Path:
    """Where the trials of a study keep what they need while they last."""
    return root / SCRATCH / study


def significant(value: float) -> float:
    """`value` with `DIGITS` significant digits: 0.123456 becomes 0.1235."""
    return float(f"{value:.{DIGITS}g}")


def rounded(point: Mapping[str, Any]) -> dict[str, Any]:
    """A point as params.yaml will say it."""
    return {name: significant(value) if isinstance(value, float) else value for name, value in point.items()}


def with_settings(params: Params, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The values of params.yaml with some settings (dotted key -> value) in place, unchecked.

    Raises:
        KeyError: when there is no such key.
    """
    values = params.model_dump(by_alias=True)
    for key, value in settings.items():
        target, name = place(values, key)
        target[name] = value
    return values


def said(params: Params, keys: Iterable[str]) -> Point:
    """Dotted key -> what params.yaml says now.

    Raises:
        KeyError: when there is no such key.
    """
    values, found = params.model_dump(by_alias=True), {}
    for key in keys:
        target, name = place(values, key)
        found[key] = target[name]
    return found


def without(params: Params, block: str, keys: Iterable[str]) -> Any:
    """A block of params.yaml without some keys, which are dotted from the top."""
    values = params.model_dump(by_alias=True)
    for key in keys:
        if key.startswith(f"{block}."):
            target, name = place(values, key)
            del target[name]
    return values[block]


def differing(params: Params, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that say something else than `params`."""
    present = said(params, settings)
    return {key: value for key, value in settings.items() if value != present[key]}
