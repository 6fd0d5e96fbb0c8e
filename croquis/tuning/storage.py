"""Where studies lie: a journal file of this machine, or a database that several machines share."""

from __future__ import annotations

import copy
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import FrozenTrial

from croquis.credentials import without_credentials
from croquis.tracking.environment import store_root
from croquis.tuning.task import TuneError

logger = logging.getLogger(__name__)

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
        return _open_journal(path)
    if "://" not in url:
        raise TuneError(
            f"--storage {without_credentials(url)!r} is not a database URL, e.g. postgresql+psycopg://user@host/name"
        )
    try:
        with _quiet():
            return RDBStorage(
                url,
                heartbeat_interval=heartbeat,
                grace_period=SILENCE * heartbeat,
                heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=RETRIES),
            )
    except Exception as error:  # SQLAlchemy, its drivers and Optuna share no base class
        reason = without_credentials(str(error).strip() or repr(error)).splitlines()[0]
        raise TuneError(f"the storage cannot be opened: {reason}. Correct --storage or leave it out") from error


class JournalLock:
    """Optuna's lock for appending to a journal; its holder finds the last record whole.

    What a power cut or a full disk left of a record would spoil the next one too.
    """

    def __init__(self, path: Path) -> None:
        self._lock = JournalFileSymlinkLock(str(path))
        self._path = path

    def acquire(self) -> bool:
        """Waits for the lock, then removes a last record that is not whole; whether it was taken."""
        taken = bool(self._lock.acquire())
        try:
            drop_half_record(self._path)
        except BaseException:
            self.release()
            raise
        return taken

    def release(self) -> None:
        """Gives the lock back."""
        self._lock.release()


def drop_half_record(path: Path) -> None:
    """Cuts off what follows the last line break; hold the lock."""
    with path.open("rb+") as journal:
        if not journal.seek(0, os.SEEK_END):
            return
        journal.seek(-1, os.SEEK_END)
        if journal.read() == b"\n":
            return
        journal.seek(0)
        journal.truncate(journal.read().rfind(b"\n") + 1)
    logger.warning("%s ended in half a record, as after a power cut or on a full disk; it is dropped", path)


def _open_journal(path: Path) -> JournalStorage:
    lock = JournalLock(path)
    journal = JournalFileBackend(str(path), lock)
    lock.acquire()
    lock.release()
    try:
        return JournalStorage(journal)
    except Exception as error:  # what Optuna raises on a line that it did not write depends on the line
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise TuneError(
            f"{path} holds a line that Optuna did not write: {reason}. Put a copy of the file back, or move it away: "
            "its studies then begin again"
        ) from error


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
