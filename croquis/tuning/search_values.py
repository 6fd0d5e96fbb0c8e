"""What a study searches: ranges and lists of values, as Optuna draws from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import optuna

from croquis.settings import Searched, SearchRange, SearchSpace


def suggest(trial: optuna.trial.BaseTrial, name: str, values: Searched) -> Any:
    """A value of a range or a list."""
    if isinstance(values, tuple):
        return trial.suggest_categorical(name, values)
    low, high, step = values.low, values.high, values.step
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(name, low, high, step=int(step or 1), log=values.log)
    return trial.suggest_float(name, low, high, step=step, log=values.log)


def suggest_point(trial: optuna.trial.BaseTrial, space: SearchSpace) -> dict[str, Any]:
    """A value for each name of a space."""
    return {name: suggest(trial, name, values) for name, values in space.items()}


def holding(space: SearchSpace, present: Mapping[str, Any]) -> dict[str, Searched]:
    """The space, widened to hold what params.yaml says now, or that could not be a trial."""
    return {name: _holding(values, present[name]) for name, values in space.items()}


def _holding(values: Searched, present: Any) -> Searched:
    if isinstance(values, SearchRange):
        return replace(values, low=min(values.low, present), high=max(values.high, present))
    return values if present in values else (present, *values)
