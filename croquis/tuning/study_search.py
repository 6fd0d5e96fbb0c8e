"""The loop for trials that take minutes: one at a time per worker, each claimed, signed and told."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress

import optuna
from filelock import BaseFileLock
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from croquis.tuning.storage import alive, has_heartbeat, heartbeat, study_lock
from croquis.tuning.study import (
    DONE,
    WORKER,
    count,
    done,
    fail_and_requeue,
    missing_anchors,
    requeue_stale_trials,
    sampler,
    this_worker,
)
from croquis.tuning.task import Task, Tried

logger = logging.getLogger(__name__)

OnEnd = Callable[[FrozenTrial], None]
LOOKS = 1.0  # seconds between two looks at whether others finish their trials


def search(study: optuna.Study, task: Task, total: int, lock: BaseFileLock, on_end: OnEnd) -> None:
    """Measures trials until the study has `total` of them, together with whoever else works on it.

    Args:
        total: trials of the study, those of earlier runs included.
        lock: shared by all workers on this machine.
        on_end: told of every trial that has an answer.
    """
    while (trial := next_trial(study, task, total, lock)) is not None:
        if not measure(study, task, trial):
            logger.warning("%s: trial %d was given to another worker meanwhile", study.study_name, trial.number)
            continue
        ended = study.get_trials(deepcopy=False)[trial.number]
        shown = "pruned" if ended.state == TrialState.PRUNED else f"{task.metric} {ended.value:.4f}"
        logger.info(
            "%s: trial %d of %d %s  %s", study.study_name, done(study), total, shown, task.settings(ended.params)
        )
        on_end(ended)


def next_trial(study: optuna.Study, task: Task, total: int, lock: BaseFileLock) -> optuna.Trial | None:
    """A claimed trial; None when enough are done.

    On a database it waits while others finish the last ones: the trial of one that dies meanwhile is this worker's.
    """
    while (trial := claim(study, task, total, study_lock(study, lock))) is None:
        if done(study) >= total or not has_heartbeat(study):
            return None
        time.sleep(LOOKS)
    return trial


def claim(study: optuna.Study, task: Task, total: int, lock: AbstractContextManager[object]) -> optuna.Trial | None:
    """The next trial, signed by this process; None when enough are done or in work."""
    with lock:
        for number in requeue_stale_trials(study):
            logger.warning("%s: the worker of trial %d is gone; the trial is marked failed", study.study_name, number)
        for anchor in missing_anchors(study, task):
            study.enqueue_trial(anchor)
        if count(study, (*DONE, TrialState.RUNNING)) >= total:
            return None
        study.sampler = sampler(task, len(study.get_trials(deepcopy=False)))
        with warnings.catch_warnings():  # `ask` knows nothing of `alive`
            warnings.filterwarnings("ignore", "Heartbeat of storage is supposed")
            trial = study.ask(dict(task.space))
        heartbeat(study, trial)  # before the signature: what is unsigned is dead after a minute
        trial.set_user_attr(WORKER, this_worker())
    return trial


def measure(study: optuna.Study, task: Task, trial: optuna.Trial) -> bool:
    """Measures a trial and tells the study; an interrupted one is tried again later.

    Returns:
        False when others had taken this worker for dead, and the trial from it.
    """
    with suppress(UpdateFinishedTrialError):
        _measure(study, task, trial)
    return study.get_trials(deepcopy=False)[trial.number].state in DONE


def _measure(study: optuna.Study, task: Task, trial: optuna.Trial) -> None:
    try:
        with alive(study, trial):
            tried = task.measure(trial)
    except optuna.TrialPruned:
        study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
    except (KeyboardInterrupt, SystemExit):
        fail_and_requeue(study, study.get_trials(deepcopy=False)[trial.number])
        raise
    except UpdateFinishedTrialError:
        raise
    except BaseException as error:
        trial.set_user_attr("error", repr(error)[:1000])
        study.tell(trial, state=TrialState.FAIL)
        raise
    else:
        keep(trial, tried)
        study.tell(trial, tried.value, skip_if_finished=True)


def keep(trial: optuna.Trial, tried: Tried) -> None:
    trial.set_user_attr("settings", tried.settings)
    trial.set_user_attr("curves", tried.curves)
