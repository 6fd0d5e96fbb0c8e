"""A study from start to end, in this process or in several."""

from __future__ import annotations

import logging
import multiprocessing
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import optuna
from filelock import FileLock
from optuna.trial import FrozenTrial, TrialState

from croquis.params import load_params
from croquis.plugins import STUDIES
from croquis.tracking.environment import quiet, store_root
from croquis.tracking.mlflow_mirror import FAILED, KILLED
from croquis.tuning.mlflow_runs import study_run
from croquis.tuning.rerank_study import RerankTask
from croquis.tuning.space_file import read_space
from croquis.tuning.storage import HEARTBEAT, open_storage
from croquis.tuning.study import best_trial, done, enqueue_anchors, open_study, waiting
from croquis.tuning.study_search import at_work, log_line, requeue_left_trials, search
from croquis.tuning.task import Task, TuneError, scratch_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StudyJob:
    """What was asked for.

    Attributes:
        kind: margin or rerank; None for the study of a space of one's own.
        trials: of the study in all, earlier runs included.
        storage: an SQLAlchemy URL; None for the journal file in mlruns/.
        heartbeat: seconds between two signs of life of a worker on a database.
        space: a YAML file, see `croquis.tuning.space_file`.
        epochs: of a study that trains.
        also: of `margin`.
        method: of `rerank` and of a space.
        metric: of `rerank`.
    """

    kind: str | None
    root: Path
    trials: int
    workers: int = 1
    storage: str | None = None
    heartbeat: int = HEARTBEAT
    space: Path | None = None
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
    """The task of a job: re-ranking where its keys are only of `rerank`, else a training.

    Raises:
        TuneError: when the job does not fit params.yaml or what the pipeline has made.
    """
    params = load_params(job.root / "params.yaml", methods=True)
    space = read_space(job.space, params) if job.space else None
    if job.kind == "rerank" or (space and all(key.startswith("rerank.") for key in space)):
        return RerankTask(params, job.root, job.method, job.metric, space)
    if space:
        trained: Task = STUDIES.entry("training")(params, job.root, space, job.method, job.epochs)
        return trained
    margin: Task = STUDIES.entry("margin")(params, job.root, job.epochs, job.also)
    return margin


def run_study(job: StudyJob) -> StudyOutcome:
    """Begins or continues the study until it has `job.trials` trials; what params.yaml says is measured in any case.

    The same call in other processes, or on other machines with the same database, works on the same study.

    Raises:
        TuneError: when it cannot start.
        KeyboardInterrupt: after Ctrl-C; the study stays, and the next call goes on with it.
    """
    prepare()
    task, storage = make_task(job), open_storage(job.storage, job.root, job.heartbeat)
    study, run = open_study(task, storage), study_run(job.root)

    def begin() -> None:
        requeue_left_trials(study, storage)
        shutil.rmtree(scratch_of(job.root, task.name), ignore_errors=True)
        enqueue_anchors(study, task)

    one_at_a_time = FileLock(lock_of(job.root, "mlflow"), timeout=300)
    with at_work(lock_of(job.root, task.name), begin):
        enqueue_anchors(study, task)  # the others that are at work may have begun with another params.yaml
        with one_at_a_time:
            run.open(study, task, job.root)
        before, start = done(study), time.perf_counter()
        try:
            with _helpers(job):
                search(study, task, max(job.trials, before + waiting(study)), [log_line, run])
            seconds, best = time.perf_counter() - start, best_trial(study, task)
            with one_at_a_time:
                run.close(study, best)
        except (KeyboardInterrupt, SystemExit):
            run.finish(KILLED)
            raise
        except BaseException:
            run.finish(FAILED)
            raise
    return StudyOutcome(task, study, best, _anchors(study, task), before, done(study), seconds)


def prepare() -> None:
    """Optuna's line per trial would be thousands; what ends a study is raised."""
    quiet()
    optuna.logging.set_verbosity(optuna.logging.ERROR)


@contextmanager
def _helpers(job: StudyJob) -> Iterator[None]:
    """The other processes of `job.workers`, which run the same study; each goes on until the study has its trials."""
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=_help, args=(replace(job, workers=1),)) for _ in range(job.workers - 1)]
    for process in others:
        process.start()
    try:
        yield
    except BaseException:
        for process in others:  # Ctrl-C in a terminal has reached them, too
            process.join(timeout=30)
            process.terminate()
        raise
    for process in others:
        process.join()
        if process.exitcode:
            logger.warning("worker %d has ended with exit code %d", process.pid, process.exitcode)


def _help(job: StudyJob) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("croquis.tuning").setLevel(logging.INFO)
    try:
        run_study(job)
    except KeyboardInterrupt:
        sys.exit(130)


def lock_of(root: Path, name: str) -> Path:
    """The lock file of a study on this machine."""
    return store_root(root) / "mlruns" / f".{name}.lock"


def _anchors(study: optuna.Study, task: Task) -> dict[str, FrozenTrial]:
    found: dict[str, FrozenTrial] = {}
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        for name, anchor in zip(task.anchor_names, task.anchors, strict=True):
            if task.settings(trial.params) == task.settings(anchor):
                found.setdefault(name, trial)
    return found
