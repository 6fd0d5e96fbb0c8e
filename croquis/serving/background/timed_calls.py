"""Calls that may hang: each in a thread of its own, waited for within a limit, a number of them at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


class CallTimeoutError(RuntimeError):
    """A call has not ended within its time; the message names its kind and the limit."""


class CallLimitError(RuntimeError):
    """No further call of a kind is begun, as earlier ones have not ended."""


class TimedCalls:
    """Threads for calls of one kind. They are daemons, so that a call that hangs does not hold up the end of the process.

    A thread cannot be ended from outside: a call without a waiting client counts until it ends by itself.

    Args:
        kind: named in errors, and the threads' name.
        most: calls at a time.
    """

    def __init__(self, kind: str, most: int) -> None:
        self.kind = kind
        self._most = most
        self._running = 0
        self._lock = threading.Lock()

    def start(self, call: Callable[[], T]) -> Future[T]:
        """Begins a call.

        Raises:
            CallLimitError: when as many are running as may.
        """
        with self._lock:
            if self._running >= self._most:
                raise CallLimitError(f"{self._running} calls ({self.kind}) have not ended yet")
            self._running += 1
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # a caller that stops waiting does not cancel it
        threading.Thread(target=self._run, args=(call, future), name=self.kind, daemon=True).start()
        return future

    def wait(self, call: Callable[[], T], seconds: float) -> T:
        """What `call()` returns or raises.

        Raises:
            CallTimeoutError: when it has not ended within `seconds`.
            CallLimitError: as `start`.
        """
        future = self.start(call)
        try:
            return future.result(seconds)
        except TimeoutError:
            if future.done():  # the call's own
                raise
            raise self._late(seconds) from None

    async def run(self, call: Callable[[], T], seconds: float | None) -> T:
        """As `wait`, for an event loop; None waits for as long as it takes."""
        future = self.start(call)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), seconds)
        except TimeoutError:
            if future.done() or seconds is None:
                raise
            raise self._late(seconds) from None

    def _late(self, seconds: float) -> CallTimeoutError:
        return CallTimeoutError(f"no answer within {seconds:g} s ({self.kind})")

    def _run(self, call: Callable[[], T], future: Future[T]) -> None:
        try:
            outcome = call()
        except BaseException as error:
            self._ended()
            future.set_exception(error)
        else:
            self._ended()
            future.set_result(outcome)

    def _ended(self) -> None:
        with self._lock:
            self._running -= 1
