"""A lock between workspaces that share one MLflow server, which has no locks of its own.

It is made of what every such server has: the versions of a registered model, here `MODEL.lock`. Their numbers only grow and
are never given twice, so that a version is a ticket, and the lowest that still waits holds the lock. Who waits or holds
changes a tag of the own ticket every few seconds; a ticket that stands still for the whole of `LEASE` is given up by the one
behind it, by that one's own clock. So the lock of a killed process is free after `LEASE`, and no clocks need to agree.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from croquis.tracking.tracking_store import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

logger = logging.getLogger(__name__)

LEASE = 30.0  # seconds after which a silent ticket is given up
PATIENCE = 300.0  # seconds that a process waits for its turn
BEAT, LOOK = 5.0, 0.2  # seconds between two signs of life, and between two looks at the queue
STATE, WAITING, DONE, GIVEN_UP = "state", "waiting", "done", "given up"
HOLDER, SIGN = "holder", "beat"
SOURCE = "croquis://lock/ticket"  # a version must have one
ABOUT = "Tickets of the processes that change the registry, one at a time. Made by Croquis; nothing is stored here."

Held = Callable[[], None]
"""Raises when the lock may be somebody else's by now: to be called before each change."""


class LockError(TrackingError):
    """The lock could not be had, or was lost."""


@contextmanager
def server_lock(
    client: MlflowClient, model: str, lease: float = LEASE, patience: float = PATIENCE, beat: float = BEAT
) -> Iterator[Held]:
    """Holds the lock of a registered model for the length of the block.

    Args:
        lease: the same for all who share the lock.

    Raises:
        LockError: when it is not this process's turn within `patience` seconds; names who holds it.
    """
    queue = _Queue(client, f"{model}.lock")
    ticket = _Ticket(queue, lease, beat)
    try:
        ticket.wait(patience)
        yield ticket.held
    finally:
        ticket.give_back()


class _Queue:
    """The tickets of one lock."""

    def __init__(self, client: MlflowClient, name: str) -> None:
        self._client = client
        self.name = name

    def draw(self) -> int:
        """A new ticket's number."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(self.name, description=ABOUT)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        tags = {STATE: WAITING, HOLDER: f"process {os.getpid()} on {socket.gethostname()}"}
        return int(self._client.create_model_version(self.name, SOURCE, tags=tags).version)

    def first(self) -> ModelVersion:
        """The ticket whose turn it is."""
        waiting = self._client.search_model_versions(f"name = '{self.name}' and tags.{STATE} = '{WAITING}'")
        if not waiting:
            raise LockError(f"somebody gave up all tickets of {self.name}: try again")
        return min(waiting, key=lambda version: int(version.version))

    def tag(self, number: int, name: str, value: str) -> None:
        self._client.set_model_version_tag(self.name, str(number), name, value)


class _Ticket:
    """This process's place in the queue; a thread gives the signs of life."""

    def __init__(self, queue: _Queue, lease: float, beat: float) -> None:
        self._queue, self._lease = queue, lease
        self._alive_at = time.monotonic()  # before the request: the others see it later
        self.number = queue.draw()
        self._ended = threading.Event()
        self._signs = threading.Thread(target=self._give_signs, args=(beat,), daemon=True)
        self._signs.start()

    def wait(self, patience: float) -> None:
        """Until it is this ticket's turn; gives up the one before that stands still."""
        start = time.monotonic()
        seen: tuple[str, str | None] | None = None
        since = start
        while int((first := self._queue.first()).version) < self.number:
            now, sign = time.monotonic(), (str(first.version), first.tags.get(SIGN))
            if sign != seen:
                seen, since = sign, now
            elif now - since > self._lease:
                logger.warning("%s is gone, its lock of %s is given up", first.tags[HOLDER], self._queue.name)
                self._queue.tag(int(first.version), STATE, GIVEN_UP)
            if now - start > patience:
                raise LockError(
                    f"{first.tags[HOLDER]} has held {self._queue.name} for {patience:.0f} s: wait until it has ended"
                )
            time.sleep(LOOK)
        if int(first.version) > self.number:
            raise LockError(f"this process was silent for {self._lease:.0f} s and lost its turn: try again")

    def held(self) -> None:
        """Raises LockError when the last sign of life is so old that another process may hold the lock."""
        if time.monotonic() - self._alive_at > self._lease / 2:
            raise LockError(
                f"this process was silent for {self._lease / 2:.0f} s, so that its lock may be lost: try again"
            )

    def give_back(self) -> None:
        self._ended.set()
        self._signs.join()
        try:
            self._queue.tag(self.number, STATE, DONE)
        except Exception as error:  # the server is gone: whoever is next waits for the lease
            logger.warning("%s was not given back: %s", self._queue.name, error)

    def _give_signs(self, beat: float) -> None:
        count = 0
        while not self._ended.wait(beat):
            count += 1
            sent = time.monotonic()
            try:
                self._queue.tag(self.number, SIGN, str(count))
            except Exception as error:  # seen by `held` when it lasts
                logger.debug("no sign of life for %s: %s", self._queue.name, error)
            else:
                self._alive_at = sent
