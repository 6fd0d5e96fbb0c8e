"""The loop of a study: Optuna's `optimize`, and what becomes of the trials of killed workers."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import MaxTrialsCallback
from optuna.trial import FrozenTrial, TrialState

from croquis.tuning.search_values import suggest_point
from croquis.tuning.storage import has_heartbeat, try_again
from croquis.tuning.study import DONE, SETTINGS, done
from croquis.tuning.task import CURVES, Task

logger = logging.getLogger(__name__)

Callback = Callable[[optuna.Study, FrozenTrial], None]


def search(study: optuna.Study, task: Task, total: int, callbacks: Sequence[Callback] = ()) -> None:
    """Measures trials until the study has `total` that have an answer, together with other processes that work on it.

    Args:
        total: those of earlier runs included. Each of several workers ends the trial that it is at.
        callbacks: told of every trial that has an answer.
    """
    objective = Objective(study, task)
    while done(study) < total:
        try:
            study.optimize(objective, callbacks=[MaxTrialsCallback(total, states=DONE), *callbacks])
        except Exception as error:  # Optuna's own of a trial that is no longer ours; any other is raised again
            if not objective.taken:
                raise
            logger.warning("%s: a trial was given to another worker meanwhile (%s)", study.study_name, error)


class Objective:
    """Draws a point, measures it, and keeps what belongs to it beside the value.

    Attributes:
        taken: whether others took this worker for dead while it measured the last trial.
    """

    def __init__(self, study: optuna.Study, task: Task) -> None:
        self._study, self._task, self.taken = study, task, False

    def __call__(self, trial: optuna.Trial) -> float:
        self.taken = False
        point = suggest_point(trial, self._task.space)
        trial.set_user_attr(SETTINGS, self._task.settings(point))
        try:
            value = self._task.measure(trial)
            if self._now(trial).state.is_finished():
                raise UpdateFinishedTrialError
        except UpdateFinishedTrialError:
            self.taken = True
            raise
        except KeyboardInterrupt:
            try_again(self._study, self._now(trial))
            raise
        except optuna.TrialPruned:
            raise
        except Exception as error:
            trial.set_user_attr("error", repr(error)[:1000])
            raise
        return value

    def _now(self, trial: optuna.Trial) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[trial.number]


def log_line(study: optuna.Study, trial: FrozenTrial) -> None:
    """One line for a trial that was trained; there are too many of the others."""
    if CURVES in trial.user_attrs:
        shown = "pruned" if trial.state == TrialState.PRUNED else f"val {trial.value:.4f}"
        name, settings = study.study_name, trial.user_attrs[SETTINGS]
        logger.info("%s: trial %d, %d done: %s  %s", name, trial.number, done(study), shown, settings)


@contextmanager
def at_work(lock: Path, when_alone: Callable[[], None]) -> Iterator[None]:
    """Holds a lock that the workers of this machine share; where there are none, `when_alone` comes first.

    The kernel frees the lock of a process that ends, in whatever way, so that a trial which still seems to run is left
    over from a kill.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            when_alone()
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def requeue_left_trials(study: optuna.Study, storage: BaseStorage) -> None:
    """Marks the trials of killed workers as failed and tries them again; call it where no other is at work.

    In a database Optuna does so itself, once a worker of any machine has been silent for too long.
    """
    if has_heartbeat(storage):
        return
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        try_again(study, trial)
        logger.warning("%s: the worker of trial %d is gone", study.study_name, trial.number)
