"""Where studies lie: a journal file of this machine, or a database that several machines share."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial

from croquis.tracking.environment import store_root
from croquis.tuning.task import TuneError

JOURNAL = Path("mlruns/optuna.log")
RETRIES = 1  # a trial that kills its worker each time must not do so for ever
HEARTBEAT = 20  # seconds
SILENCE = 3  # heartbeats that a living worker may miss


def open_storage(url: str | None, root: Path, heartbeat: int = HEARTBEAT) -> BaseStorage:
    """The storage at an SQLAlchemy URL; by default a journal file, for the processes of one machine.

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
                heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=RETRIES),
            )
    except Exception as error:  # SQLAlchemy, its drivers and Optuna share no base class
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise TuneError(f"the storage cannot be opened: {reason}. Correct --storage or leave it out") from error


def has_heartbeat(storage: BaseStorage) -> bool:
    """Whether Optuna itself finds the trials of dead workers: it does in a database."""
    return isinstance(storage, RDBStorage)


def try_again(study: optuna.Study, trial: FrozenTrial) -> None:
    """Lines the params of a trial up once more, unless it was a retry itself."""
    with _quiet():
        RetryHeartbeatStaleTrialCallback(max_retry=RETRIES)(study, copy.deepcopy(trial))  # it changes the trial


@contextmanager
def _quiet() -> Iterator[None]:
    """Heartbeats have been experimental since 2021."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
