"""A study from start to end, in this process or in several."""

from __future__ import annotations

import logging
import multiprocessing
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import optuna
from filelock import FileLock
from optuna.trial import FrozenTrial, TrialState

from croquis.params import load_params
from croquis.plugins import STUDIES
from croquis.tracking.environment import quiet, store_root
from croquis.tracking.mlflow_mirror import FAILED, KILLED
from croquis.tuning.mlflow_runs import StudyRun, study_run
from croquis.tuning.storage import HEARTBEAT, open_storage, origin, study_lock
from croquis.tuning.study import best_trial, done, open_study, requeue_stale_trials
from croquis.tuning.study_search import search
from croquis.tuning.sweep import measure_anchors, sweep
from croquis.tuning.task import Task, TuneError

logger = logging.getLogger(__name__)

Kind = Literal["margin", "rerank"]
ROUNDS = 3  # how often killed workers are replaced


@dataclass(frozen=True)
class StudyJob:
    """What was asked for.

    Attributes:
        trials: of the study in all, earlier runs included.
        storage: an SQLAlchemy URL; None for the journal file in mlruns/.
        heartbeat: seconds between two signs of life of a worker on a database.
        epochs, also: of `margin`.
        method, metric: of `rerank`.
    """

    kind: Kind
    root: Path
    trials: int
    workers: int = 1
    storage: str | None = None
    heartbeat: int = HEARTBEAT
    epochs: int | None = None
    also: tuple[str, ...] = ()
    method: str | None = None
    metric: str | None = None

    def __post_init__(self) -> None:
        for name in ("trials", "workers", "heartbeat", "epochs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise TuneError(f"--{name} is {value}, must be at least 1")


@dataclass(frozen=True)
class StudyOutcome:
    """What a study has found.

    Attributes:
        anchors: name -> trial of those anchors that were measured to their end.
        before, after: trials of the study when this call began and ended.
        seconds: spent on the trials between, without loading, plots and MLflow.
    """

    task: Task
    study: optuna.Study
    best: FrozenTrial
    anchors: dict[str, FrozenTrial]
    before: int
    after: int
    seconds: float


def make_task(job: StudyJob) -> Task:
    params = load_params(job.root / "params.yaml", methods=True)
    if job.kind == "margin":
        task: Task = STUDIES.entry("margin")(params, job.root, job.epochs, job.also)
        return task
    from croquis.tuning.rerank_study import RerankTask

    return RerankTask(params, job.root, job.method, job.metric)


def run_study(job: StudyJob) -> StudyOutcome:
    """Begins or continues the study until it has `job.trials` trials; `rerank` measures its anchors in any case.

    Callers on several machines share a study in a database, and each goes on until all trials are done.

    Raises:
        TuneError: when it cannot start, or workers keep dying.
        KeyboardInterrupt: after Ctrl-C; the study stays, and the next call goes on with it.
    """
    prepare()
    task = make_task(job)
    storage = open_storage(job.storage, job.root, job.heartbeat)
    with _lock(job, task):
        study = open_study(task, storage)
    run = study_run(job.root)
    with study_lock(study, _lock(job, task)):
        requeue_stale_trials(study)
        run.open(study, task, job.root)
    before = done(study)
    start = time.perf_counter()
    try:
        if job.kind == "rerank":
            with study_lock(study, _lock(job, task)):
                measure_anchors(study, task)
        _work_until_done(job, task, study, run)
        seconds, best = time.perf_counter() - start, best_trial(study, task)
    except (KeyboardInterrupt, SystemExit):
        run.finish(KILLED)
        raise
    except BaseException:
        run.finish(FAILED)
        raise
    with study_lock(study, _lock(job, task)):
        run.close(study, best)
    return StudyOutcome(task, study, best, _anchors(study, task), before, done(study), seconds)


def prepare() -> None:
    """Optuna's line per trial would be thousands; its warnings still come through."""
    quiet()
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def _work_until_done(job: StudyJob, task: Task, study: optuna.Study, run: StudyRun) -> None:
    for _ in range(ROUNDS):
        missing = job.trials - done(study)
        if missing <= 0:
            return
        if job.workers == 1:
            _work(job, task, study, run, missing, 0)
        else:
            _work_together(job, _shares(missing, job.workers), run.run_id)
    if done(study) < job.trials:
        raise TuneError(
            f"workers of {study.study_name} were killed again and again ({done(study)} of {job.trials} trials are done): "
            "see to their memory, then run the command again"
        )


def _work(job: StudyJob, task: Task, study: optuna.Study, run: StudyRun, share: int, worker: int) -> None:
    if job.kind == "rerank":
        sweep(study, task, share, worker + origin(study, job.root), job.trials)
    else:
        search(study, task, job.trials, _lock(job, task), run.log_trial)


def _work_together(job: StudyJob, shares: Sequence[int], run_id: str | None) -> None:
    """One process per share; a killed one is reported, the others go on."""
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=work_alone, args=(job, share, number, run_id))
        for number, share in enumerate(shares)
        if share
    ]
    for process in processes:
        process.start()
    try:
        for process in processes:
            process.join()
    except BaseException:
        for process in processes:
            process.join(timeout=30)
            process.terminate()
        raise
    for process in processes:
        if process.exitcode and process.exitcode > 0:
            raise TuneError(f"worker {process.pid} ended with an error (see above)")
        if process.exitcode:
            logger.warning("worker %d was killed by signal %d", process.pid, -process.exitcode)


def work_alone(job: StudyJob, share: int, worker: int, run_id: str | None) -> None:
    """What a worker process does."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("croquis.tuning").setLevel(logging.INFO)
    prepare()
    task = make_task(job)
    study = open_study(task, open_storage(job.storage, job.root, job.heartbeat))
    run = study_run(job.root)
    run.join(run_id)
    try:
        _work(job, task, study, run, share, worker)
    except KeyboardInterrupt:
        sys.exit(130)


def _shares(trials: int, workers: int) -> list[int]:
    return [trials // workers + (number < trials % workers) for number in range(workers)]


def _lock(job: StudyJob, task: Task) -> FileLock:
    folder = store_root(job.root) / "mlruns"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f".{task.name}.lock", timeout=300)


def _anchors(study: optuna.Study, task: Task) -> dict[str, FrozenTrial]:
    found: dict[str, FrozenTrial] = {}
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        for name, anchor in zip(task.anchor_names, task.anchors, strict=True):
            if task.settings(trial.params) == task.settings(anchor):
                found.setdefault(name, trial)
    return found
