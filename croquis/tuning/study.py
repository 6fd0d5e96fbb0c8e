"""Studies that survive kills: how many trials they have, and what becomes of a dead worker's trial."""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from croquis.tuning.storage import has_heartbeat, requeue_silent_trials, try_again
from croquis.tuning.task import Point, Task, TuneError

WORKER = "worker"  # trial attribute: host/pid/start
ANCHOR = "anchor"
DONE = (TrialState.COMPLETE, TrialState.PRUNED)
SILENT_SECONDS = 60  # between asking for a trial and signing it
REMOTE_TIMEOUT = timedelta(days=1)  # after which a trial of another machine counts as dead


def open_study(task: Task, storage: BaseStorage) -> optuna.Study:
    """The task's study, begun or continued; its anchors wait to be measured unless they were."""
    study = optuna.create_study(
        study_name=task.name, storage=storage, direction="maximize", load_if_exists=True, pruner=task.pruner
    )
    if study.user_attrs.get("metric") != task.metric:
        study.set_user_attr("metric", task.metric)
        with warnings.catch_warnings():  # names are experimental since 2023; dashboards show them
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([task.metric])
    return study


def missing_anchors(study: optuna.Study, task: Task) -> Iterator[Point]:
    """Anchors whose settings no trial has measured, measures or waits to measure."""
    known = [task.settings(point) for point in _points(study, task)]
    for anchor in task.anchors:
        if task.settings(anchor) not in known:
            yield anchor
            known.append(task.settings(anchor))


def _points(study: optuna.Study, task: Task) -> Iterator[Point]:
    for trial in study.get_trials(deepcopy=False):
        point = trial.params or trial.system_attrs.get("fixed_params", {})
        if trial.state != TrialState.FAIL and set(point) == set(task.space):
            yield point


def done(study: optuna.Study) -> int:
    """Trials that have an answer: measured, or pruned."""
    return count(study, DONE)


def count(study: optuna.Study, states: Sequence[TrialState]) -> int:
    return len(study.get_trials(deepcopy=False, states=tuple(states)))


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


def sampler(task: Task, trials: int) -> optuna.samplers.BaseSampler:
    """TPE seeded by the task and the trial's number: a resumed study proposes what it would have proposed anyway."""
    seed = (task.seed * 1_000_003 + trials) % 2**32
    return optuna.samplers.TPESampler(seed=seed, multivariate=True)


def requeue_stale_trials(study: optuna.Study) -> list[int]:
    """Marks the trials of dead workers as failed and lines their params up once more; returns their numbers.

    A worker of this machine is dead when its process is gone; one of another when the storage has not heard of it for long.
    Call it under the study's lock: between asking for a trial and signing it, a trial looks dead.
    """
    heard = has_heartbeat(study)
    requeued = requeue_silent_trials(study) if heard else []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if is_dead(trial, heard):
            fail_and_requeue(study, trial)
            requeued.append(trial.number)
    return requeued


def fail_and_requeue(study: optuna.Study, trial: FrozenTrial) -> None:
    """Marks a trial as failed and lines its params up once more, unless it was a retry itself."""
    if not study.get_trials(deepcopy=False)[trial.number].state.is_finished():  # else another machine has buried it
        study.tell(trial.number, state=TrialState.FAIL)
        try_again(study, trial)


def is_dead(trial: FrozenTrial, heard: bool = False) -> bool:
    """Whether a running trial's worker is gone; `heard`: the storage knows it of other machines' workers."""
    age = datetime.now() - trial.datetime_start if trial.datetime_start else REMOTE_TIMEOUT
    host, _, process = str(trial.user_attrs.get(WORKER, "")).partition("/")
    if not host:
        return age.total_seconds() > SILENT_SECONDS
    if host != socket.gethostname():
        return not heard and age >= REMOTE_TIMEOUT
    return process != identity(int(process.partition("/")[0]))


def this_worker() -> str:
    return f"{socket.gethostname()}/{identity(os.getpid())}"


def identity(pid: int) -> str:
    """`pid/start`, which no later process shares; an empty string when there is no such process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    fields = _stat(pid)
    if fields and fields[0] == "Z":  # it has ended, but its parent has not asked
        return ""
    return f"{pid}/{fields[19] if fields else ''}"


def _stat(pid: int) -> list[str]:
    """Linux's view of a process from its state on; empty elsewhere, where the number alone has to do."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text.rpartition(")")[2].split()
