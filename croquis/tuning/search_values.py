"""What the entries of registries say can be searched (`croquis.settings.SearchSpace`), as Optuna draws it."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from croquis.settings import SearchRange


def distribution(values: SearchRange | tuple[Any, ...]) -> BaseDistribution:
    """What Optuna draws from."""
    if isinstance(values, tuple):
        return CategoricalDistribution(values)
    if isinstance(values.low, int) and isinstance(values.high, int):
        return IntDistribution(values.low, values.high, log=values.log)
    return FloatDistribution(values.low, values.high, log=values.log)


def suggest(trial: optuna.Trial, name: str, values: SearchRange | tuple[Any, ...]) -> Any:
    """A value of it."""
    if isinstance(values, tuple):
        return trial.suggest_categorical(name, values)
    if isinstance(values.low, int) and isinstance(values.high, int):
        return trial.suggest_int(name, values.low, values.high, log=values.log)
    return trial.suggest_float(name, values.low, values.high, log=values.log)
