"""Where studies lie, the lock between those who work on one, and what a storage knows of workers on other machines."""

from __future__ import annotations

import copy
import hashlib
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from filelock import BaseFileLock
from optuna.storages import BaseStorage, JournalStorage, RDBStorage, RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.storages._heartbeat import get_heartbeat_thread, is_heartbeat_enabled
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from croquis.tracking.environment import store_root
from croquis.tuning.task import TuneError

JOURNAL = Path("mlruns/optuna.log")
RETRIES = 1  # a trial that kills its worker each time must not do so for ever
HEARTBEAT = 20  # seconds
SILENCE = 3  # heartbeats that a living worker may miss
PATIENCE = 300  # seconds


def open_storage(url: str | None, root: Path, heartbeat: int = HEARTBEAT) -> BaseStorage:
    """The storage at an SQLAlchemy URL; by default a journal file, which several processes can share.

    Args:
        heartbeat: seconds between two signs of life of a worker on a database; the trial of one that has given none for
            three times as long is tried again by others.

    Raises:
        TuneError: when it cannot be opened.
    """
    if url is None:
        path = store_root(root) / JOURNAL
        path.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(str(path)))
    if "://" not in url:
        raise TuneError(f"--storage {url!r} is not a database URL, e.g. postgresql+psycopg://user@host/name")
    try:
        with _quiet():
            return RDBStorage(
                url,
                heartbeat_interval=heartbeat,
                grace_period=SILENCE * heartbeat,
                heartbeat_stale_trial_callback=try_again,
            )
    except Exception as error:  # SQLAlchemy, its drivers and Optuna share no base class
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise TuneError(f"the storage cannot be opened: {reason}. Correct --storage or leave it out") from error


def try_again(study: optuna.Study, trial: FrozenTrial) -> None:
    """Lines the params of a failed trial up once more, unless it was a retry itself."""
    with _quiet():
        RetryHeartbeatStaleTrialCallback(max_retry=RETRIES)(study, copy.deepcopy(trial))  # it changes the trial


def has_heartbeat(study: optuna.Study) -> bool:
    """Whether the storage hears of workers on other machines: a database does, a journal file does not."""
    return bool(is_heartbeat_enabled(study._storage))


def requeue_silent_trials(study: optuna.Study) -> list[int]:
    """Fails the trials whose workers have been silent for too long, by the database's clock, and lines them up once more.

    Returns:
        Their numbers.
    """
    running = [trial.number for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))]
    with _quiet():
        fail_stale_trials(study)
    after = study.get_trials(deepcopy=False)
    return [number for number in running if after[number].state == TrialState.FAIL]


def heartbeat(study: optuna.Study, trial: optuna.Trial) -> None:
    """The first one, given with the claim, so that a worker that dies before the second is missed too."""
    if has_heartbeat(study):
        study._storage.record_heartbeat(trial._trial_id)


@contextmanager
def alive(study: optuna.Study, trial: optuna.Trial) -> Iterator[None]:
    """Gives signs of life while the block runs, as Optuna's `optimize` does, which asks for trials without our lock."""
    with get_heartbeat_thread(trial._trial_id, study._storage):
        yield


def origin(study: optuna.Study, root: Path) -> int:
    """Sets the proposals of this workspace apart from those of others that share the storage; 0 where none does."""
    if _postgresql(study) is None:
        return 0
    named = hashlib.sha256(f"{socket.gethostname()} {root}".encode()).digest()
    return int.from_bytes(named[:4], "big")


@contextmanager
def study_lock(study: optuna.Study, here: BaseFileLock) -> Iterator[None]:
    """One holder at a time among all who work on a study: on this machine by a file, on others by PostgreSQL.

    PostgreSQL gives the lock up when the connection of its holder ends.

    Raises:
        TuneError: when another machine has held it for five minutes.
    """
    with here:
        engine = _postgresql(study)
        if engine is None:
            yield
            return
        key = int.from_bytes(hashlib.sha256(study.study_name.encode()).digest()[:8], "big", signed=True)
        with engine.connect() as connection, connection.begin():
            connection.execute(sqlalchemy.text(f"SET LOCAL lock_timeout = '{PATIENCE}s'"))
            try:
                connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
            except sqlalchemy.exc.OperationalError as error:
                raise TuneError(
                    f"{study.study_name} was held by another worker for {PATIENCE} s: {error.orig}"
                ) from error
            yield


def _postgresql(study: optuna.Study) -> Any:
    """The engine of the study's PostgreSQL; None where it lies elsewhere."""
    storage = getattr(study._storage, "_backend", study._storage)  # Optuna puts a cache before a database
    return storage.engine if isinstance(storage, RDBStorage) and storage.engine.dialect.name == "postgresql" else None


@contextmanager
def _quiet() -> Iterator[None]:
    """Heartbeats have been experimental since 2021."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
