"""One study: its anchors, its sampler, how many trials it has, and which is best."""

from __future__ import annotations

import warnings
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from croquis.tuning.task import Task, TuneError

SETTINGS = "settings"  # attribute of a trial: what it says in params.yaml
ANCHOR = "anchor"  # attribute of those trials that no sampler proposed
DONE = (TrialState.COMPLETE, TrialState.PRUNED)


class SeededByTrial(optuna.samplers.BaseSampler):  # type: ignore[misc]  # mypy sees no types of Optuna
    """TPE whose seed is the study's and the trial's number.

    A resumed study proposes what it would have proposed anyway, and each of several workers something else.
    """

    def __init__(self, seed: int, multivariate: bool = True) -> None:
        self._seed, self._multivariate = seed, multivariate
        self._number, self._sampler = -1, optuna.samplers.TPESampler()

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        space: dict[str, BaseDistribution] = self._of(trial).infer_relative_search_space(study, trial)
        return space

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        drawn: dict[str, Any] = self._of(trial).sample_relative(study, trial, search_space)
        return drawn

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._of(trial).sample_independent(study, trial, param_name, param_distribution)

    def _of(self, trial: FrozenTrial) -> optuna.samplers.TPESampler:
        if trial.number != self._number:
            seed = (self._seed * 1_000_003 + trial.number) % 2**32
            self._number = trial.number
            self._sampler = optuna.samplers.TPESampler(seed=seed, multivariate=self._multivariate)
        return self._sampler


def open_study(task: Task, storage: BaseStorage) -> optuna.Study:
    """The task's study, begun or continued."""
    study = optuna.create_study(
        study_name=task.name,
        storage=storage,
        direction="maximize",
        load_if_exists=True,
        sampler=SeededByTrial(task.seed),
        pruner=task.pruner,
    )
    if study.user_attrs.get("metric") != task.metric:
        study.set_user_attr("metric", task.metric)
        with warnings.catch_warnings():  # names are experimental since 2023; dashboards show them
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([task.metric])
    return study


def enqueue_anchors(study: optuna.Study, task: Task) -> None:
    """Lines up the anchors whose settings no trial has measured, measures or waits to measure."""
    trials = study.get_trials(deepcopy=False)
    known = [trial.user_attrs.get(SETTINGS) for trial in trials if trial.state != TrialState.FAIL]
    for anchor in task.anchors:
        settings = task.settings(anchor)
        if settings not in known:
            study.enqueue_trial(anchor, user_attrs={SETTINGS: settings, ANCHOR: True})
            known.append(settings)


def waiting(study: optuna.Study) -> int:
    """Trials up to the last anchor that waits: so many more measure all anchors."""
    queue = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    return max((place for place, trial in enumerate(queue, 1) if ANCHOR in trial.user_attrs), default=0)


def done(study: optuna.Study) -> int:
    """Trials that have an answer: measured, or pruned."""
    return len(study.get_trials(deepcopy=False, states=DONE))


def best_trial(study: optuna.Study, task: Task) -> FrozenTrial:
    """The highest value; of equals the one that changes least in params.yaml, then the first.

    Raises:
        TuneError: when no trial has been measured to its end.
    """
    measured = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not measured:
        raise TuneError(f"study {study.study_name} has no completed trial yet: run the command again")
    highest = max(trial.value for trial in measured)
    equals = [trial for trial in measured if trial.value == highest]
    return min(equals, key=lambda trial: (len(task.changes(trial.params)), trial.number))
