"""The loop for trials that take milliseconds: proposed in memory, stored one by one as they are measured.

Optuna spends 20 ms and more on a proposal once a thousand trials are in, and each of a trial's five or six entries costs
a write to disk. Here TPE looks at the best and the newest few hundred trials, and a trial is a single entry, made when it
has its value: a killed worker loses the one trial it was at, and leaves nothing half done.
"""

from __future__ import annotations

import optuna
from optuna.trial import FrozenTrial, TrialState

from croquis.tuning.study import ANCHOR, done, missing_anchors, sampler
from croquis.tuning.task import Task

BATCH = 50  # trials between two looks at what the other workers have found
BEST = 50
NEWEST = 150


def measure_anchors(study: optuna.Study, task: Task) -> None:
    """Measures the anchors that the study lacks."""
    for anchor in list(missing_anchors(study, task)):
        trial = optuna.trial.create_trial(params=anchor, distributions=dict(task.space), value=0.0)
        _store(study, task, trial, task.measure(trial).value, anchor=True)


def sweep(study: optuna.Study, task: Task, trials: int, worker: int = 0, total: int | None = None) -> None:
    """Adds `trials` measured trials to the study.

    Args:
        worker: number of this process among those on the study; each proposes by a seed of its own.
        total: adds no more than the study then lacks of it, as workers on other machines add theirs.
    """
    while (left := trials if total is None else min(trials, total - done(study))) > 0:
        known = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        size = min(BATCH, left)
        _sweep_batch(study, task, known, size, worker)
        trials -= size


def _sweep_batch(study: optuna.Study, task: Task, known: list[FrozenTrial], size: int, worker: int) -> None:
    memory = optuna.create_study(direction="maximize", sampler=sampler(task, len(known) + 7_919 * worker))
    memory.add_trials(guides(known))
    for _ in range(size):
        trial = memory.ask(dict(task.space))
        value = task.measure(trial).value
        _store(study, task, memory.tell(trial, value), value)


def guides(known: list[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that TPE is shown: the best and the newest, in the order in which they were made."""
    best = sorted(known, key=lambda trial: (-(trial.value or 0.0), trial.number))[:BEST]
    chosen = {trial.number: trial for trial in [*best, *known[-NEWEST:]]}
    return [chosen[number] for number in sorted(chosen)]


def _store(study: optuna.Study, task: Task, trial: FrozenTrial, value: float, anchor: bool = False) -> None:
    made = optuna.trial.create_trial(
        params=trial.params,
        distributions=dict(task.space),
        value=value,
        user_attrs={"settings": task.settings(trial.params), **({ANCHOR: True} if anchor else {})},
    )
    study.add_trial(made)
