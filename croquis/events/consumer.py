"""The loop: a batch is fetched, handled, its bad events put aside, and only then committed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from croquis.events.dead_letters import put_aside
from croquis.events.event_meter import IngestMeter
from croquis.events.stream import Message, Stream, StreamError
from croquis.store.vector_store import StoreError

if TYPE_CHECKING:
    from croquis.events.handler import BatchOutcome, Handler

logger = logging.getLogger(__name__)
T = TypeVar("T")

LONGEST_PAUSE = 30.0  # seconds between two tries
TRIES = 5  # of a commit; then the batch is left to come again
LAG_SECONDS = 2.0  # how often the lag is asked for


class EventConsumer:
    """Takes a stream's events into a store, one batch after another.

    The next batch is fetched when the one before is committed, so that a slow store slows the reading and nothing piles up
    here. A store that fails is tried again with the same batch; a stream that fails is asked again.

    Args:
        batch: events in one batch, at most.
        wait: seconds that a fetch waits for the first event.
        told: is given the error of a call that failed and is tried again, and None when one has succeeded.
    """

    def __init__(
        self,
        stream: Stream,
        handler: Handler,
        meter: IngestMeter,
        batch: int = 64,
        wait: float = 0.5,
        told: Callable[[Exception | None], None] = lambda _: None,
    ) -> None:
        self._stream = stream
        self._handler = handler
        self._meter = meter
        self._batch = batch
        self._wait = wait
        self._told = told
        self._lag_asked = 0.0

    def run(self, stop: threading.Event, idle: float | None = None) -> None:
        """Until `stop` is set, when the batch under way is finished first, or nothing has come for `idle` seconds."""
        last = time.monotonic()
        while not stop.is_set():
            messages = self._again("stream", lambda: self._stream.fetch(self._batch, self._wait), stop)
            if messages:
                self._finish(messages, stop)
                last = time.monotonic()
            elif idle is not None and time.monotonic() - last >= idle:
                return
            if messages is not None:
                self._ask_lag()

    def _finish(self, messages: Sequence[Message], stop: threading.Event) -> None:
        self._meter.under_way.set(len(messages))
        bodies = [message.body for message in messages]
        done = self._again("store", lambda: self._handler.handle(bodies), stop)
        if done is not None and self._again("stream", lambda: self._settle(messages, done), stop, TRIES):
            self._meter.add(done)
        elif not stop.is_set():  # else a later commit would pass over these
            self._again("stream", lambda: self._stream.give_back(messages), stop)
        self._meter.under_way.set(0)

    def _settle(self, messages: Sequence[Message], done: BatchOutcome) -> bool:
        """Bad events first, so that none is committed that is not kept somewhere."""
        for place, reason in done.rejected.items():
            put_aside(self._stream, messages[place], reason)
        self._stream.commit(messages)
        return True

    def _again(self, of: str, work: Callable[[], T], stop: threading.Event, tries: int | None = None) -> T | None:
        """The result of `work`, which is tried again while it fails; None when it was given up."""
        pause, failed = 0.25, 0
        while True:
            try:
                done = work()
                self._meter.connected.set(1)
                self._told(None)
                return done
            except (StoreError, StreamError) as error:
                self._told(error)
                self._meter.failures.labels(of).inc()
                if isinstance(error, StreamError):
                    self._meter.connected.set(0)
                logger.warning("%s, tried again in %.1f s", error, pause)
            failed += 1
            if failed == tries or stop.wait(pause):
                return None
            pause = min(2 * pause, LONGEST_PAUSE)

    def _ask_lag(self) -> None:
        if time.monotonic() - self._lag_asked < LAG_SECONDS:
            return
        self._lag_asked = time.monotonic()
        try:
            self._meter.lag.set(self._stream.lag())
        except StreamError as error:
            logger.warning("the lag is not known: %s", error)
