"""Background tasks that do not die silently: an end is logged, shown and followed by another start."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from croquis.credentials import without_credentials
from croquis.serving.answers.answer_models import TaskState
from croquis.serving.limits.http_meter import Meter

logger = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds before another start; doubled from end to end
LONGEST_REASON = 300  # characters
RUNNING, FAILING, STALLED = "running", "failing", "stalled"


class WatchedTask:
    """A task in a thread of its own, which is a daemon.

    Args:
        name: in logs, /readyz and metrics.
        work: the task; it calls `well` whenever something has succeeded, and returns once `ending` is set. Whatever it
            raises, or its return before that, is an end: it is started again after a pause.
        meter: shows its state, and counts its ends.
        patience: seconds without `well` after which it counts as stalled.
        finishes: whether `stop` waits for what is under way, as it would have to be done again.

    Attributes:
        connected: whether what the task reads answers; None of one that reads nothing, or has not asked yet.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[WatchedTask], None],
        meter: Meter,
        patience: float,
        *,
        finishes: bool = False,
    ) -> None:
        self.name = name
        self.ending = threading.Event()
        self.connected: bool | None = None
        self._work = work
        self._patience = patience
        self._finishes = finishes
        self._ends = meter.task_ends.labels(name)
        self._since = self._last_well = time.time()
        self._reason: str | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        meter.task_running.labels(name).set_function(lambda: self.state().state == RUNNING)

    def start(self) -> None:
        """Starts the thread; once."""
        self._since = self._last_well = time.time()
        self._thread.start()

    def stop(self) -> None:
        """Returns when a task that finishes its work has done so."""
        self.ending.set()
        if self._finishes and self._thread.is_alive():
            self._thread.join()

    @property
    def failing(self) -> bool:
        """Whether the last round ended by an error and none has succeeded since."""
        return self._reason is not None

    def well(self) -> None:
        """Something has succeeded."""
        self._last_well = time.time()
        if self._reason is not None:
            logger.info("%s works again", self.name)
            self._since, self._reason = self._last_well, None

    def trouble(self, reason: object) -> None:
        """Something has failed; the first failure after a success is the one since which the task fails."""
        if self._reason is None:
            self._since = time.time()
        self._reason = one_line(reason)

    def state(self) -> TaskState:
        """What /readyz tells of it."""
        state, since, reason = RUNNING, self._since, self._reason
        if reason is not None:
            state = FAILING
        elif time.time() - self._last_well > self._patience:
            state, since, reason = STALLED, self._last_well, "no progress since then"
        return TaskState(name=self.name, state=state, since=iso(since), reason=reason, connected=self.connected)

    def _run(self) -> None:
        pause = FIRST_PAUSE / 2
        while not self.ending.is_set():
            begun = self._last_well
            try:
                self._work(self)
                reason = "it returned"
            except BaseException as error:  # extension modules raise some that are no Exception
                reason = one_line(error)
            if self.ending.is_set():
                return
            pause = FIRST_PAUSE if self._last_well > begun else min(2 * pause, LONGEST_PAUSE)
            self._ends.inc()
            self.trouble(reason)
            logger.error("%s ended: %s; it is started again in %.1f s", self.name, reason, pause)
            self.ending.wait(pause)


def one_line(reason: object) -> str:
    """The first line of a message without credentials, or the class of an error that has none."""
    text = without_credentials(reason).strip()
    return text.splitlines()[0][:LONGEST_REASON] if text else type(reason).__name__


def iso(seconds: float) -> str:
    """Seconds since 1970 in UTC, e.g. `2026-11-29T14:38:00Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
