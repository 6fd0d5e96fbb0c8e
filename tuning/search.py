"""The loop for trials that take minutes: one at a time per worker, each claimed, signed and told."""

from __future__ import annotations

import logging
from collections.abc import Callable

import optuna
from filelock import BaseFileLock
from optuna.trial import FrozenTrial, TrialState

from tuning.study import (
    DONE,
    WORKER,
    bury_the_dead,
    count,
    done,
    give_up,
    missing_anchors,
    sampler,
    this_worker,
)
from tuning.task import Task, Tried

logger = logging.getLogger(__name__)

OnEnd = Callable[[FrozenTrial], None]


def search(study: optuna.Study, task: Task, total: int, lock: BaseFileLock, on_end: OnEnd) -> None:
    """Measures trials until the study has `total` of them, together with whoever else works on it.

    Args:
        total: trials of the study, those of earlier runs included.
        lock: shared by all workers on this machine.
        on_end: told of every trial that has an answer.
    """
    while (trial := claim(study, task, total, lock)) is not None:
        measure(study, task, trial)
        ended = study.get_trials(deepcopy=False)[trial.number]
        shown = "pruned" if ended.state == TrialState.PRUNED else f"{task.metric} {ended.value:.4f}"
        logger.info(
            "%s: trial %d of %d %s  %s", study.study_name, done(study), total, shown, task.settings(ended.params)
        )
        on_end(ended)


def claim(study: optuna.Study, task: Task, total: int, lock: BaseFileLock) -> optuna.Trial | None:
    """The next trial, signed by this process; None when enough are done or in work."""
    with lock:
        for number in bury_the_dead(study):
            logger.warning("%s: the worker of trial %d is gone; the trial is marked failed", study.study_name, number)
        for anchor in missing_anchors(study, task):
            study.enqueue_trial(anchor)
        if count(study, (*DONE, TrialState.RUNNING)) >= total:
            return None
        study.sampler = sampler(task, len(study.get_trials(deepcopy=False)))
        trial = study.ask(dict(task.space))
        trial.set_user_attr(WORKER, this_worker())
    return trial


def measure(study: optuna.Study, task: Task, trial: optuna.Trial) -> None:
    """Measures a trial and tells the study; an interrupted one is tried again later."""
    try:
        tried = task.measure(trial)
    except optuna.TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
    except (KeyboardInterrupt, SystemExit):
        give_up(study, study.get_trials(deepcopy=False)[trial.number])
        raise
    except BaseException as error:
        trial.set_user_attr("error", repr(error)[:1000])
        study.tell(trial, state=TrialState.FAIL)
        raise
    else:
        keep(trial, tried)
        study.tell(trial, tried.value)


def keep(trial: optuna.Trial, tried: Tried) -> None:
    trial.set_user_attr("settings", tried.settings)
    trial.set_user_attr("curves", tried.curves)
