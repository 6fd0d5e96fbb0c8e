"""What a study needs to know about the thing it searches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json

from croquis.files import sha256_file
from croquis.params import Params
from croquis.params.write_back import place

Space = Mapping[str, BaseDistribution]
Point = dict[str, Any]
DIGITS = 4  # significant digits of a searched number: what is measured is what params.yaml will say


class TuneError(RuntimeError):
    """A study cannot start or go on; the message says what to do."""


@dataclass(frozen=True)
class Tried:
    """One measured point.

    Attributes:
        value: the objective, higher is better.
        settings: what was measured, by dotted key of params.yaml.
        curves: name -> [[epoch, value], ...].
    """

    value: float
    settings: dict[str, Any]
    curves: dict[str, list[list[float]]]


class Task(Protocol):
    """One search: `margin` or `rerank`.

    Attributes:
        name: of the study; holds a hash of all that decides on the values, so that values of a study can be compared.
        metric: the objective, e.g. `val/consumer->shop/hit@1`.
        seed: of the sampler.
        space: what is searched.
        anchors: points measured before the sampler proposes any; the first is what params.yaml says now.
        anchor_names: what the anchors are, in words.
        pruner: ends trials early; None where they are short.
    """

    name: str
    metric: str
    seed: int
    space: Space
    anchors: Sequence[Point]
    anchor_names: Sequence[str]
    pruner: optuna.pruners.BasePruner | None

    def measure(self, trial: optuna.trial.BaseTrial) -> Tried:
        """Measures `trial.params`; may raise optuna.TrialPruned."""

    def settings(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """What a point of the space says in params.yaml, by dotted key."""

    def changes(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the settings that differ from params.yaml."""


def study_name(kind: str, decides: Mapping[str, Any], space: Space) -> str:
    """`kind-` and 10 hex digits of everything that decides on the objective's values."""
    described = {name: distribution_to_json(distribution) for name, distribution in space.items()}
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


def significant(value: float, digits: int = DIGITS) -> float:
    """`value` with so many significant digits: 0.123456 becomes 0.1235."""
    return float(f"{value:.{digits}g}")


def differing(params: Params, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that say something else than `params`."""
    values, found = params.model_dump(by_alias=True), {}
    for key, value in settings.items():
        target, name = place(values, key)
        if target[name] != value:
            found[key] = value
    return found
