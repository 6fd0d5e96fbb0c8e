"""Calls that hang, fail or are too many."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from croquis.serving.background.timed_calls import CallLimitError, CallTimeoutError, TimedCalls

LITTLE = 0.01  # seconds


@pytest.fixture
def free() -> Iterator[threading.Event]:
    """What hanging calls wait for; they end with the test."""
    event = threading.Event()
    yield event
    event.set()


def test_what_a_call_returns_or_raises_comes_back() -> None:
    calls = TimedCalls("kind", 1)

    def fail(error: BaseException) -> None:
        raise error

    assert calls.wait(lambda: 3, 10) == 3
    assert asyncio.run(calls.run(lambda: 4, 10)) == 4
    for error in (OSError("gone"), TimeoutError("its own"), SystemExit(2)):
        with pytest.raises(type(error), match=str(error)):
            calls.wait(lambda error=error: fail(error), 10)  # type: ignore[misc]
    with pytest.raises(TimeoutError, match="its own"):
        asyncio.run(calls.run(lambda: fail(TimeoutError("its own")), 10))


def test_a_call_that_hangs_is_given_up_and_counts_until_it_ends(free: threading.Event) -> None:
    calls = TimedCalls("registry", 2)
    with pytest.raises(CallTimeoutError, match=r"no answer within 0\.01 s \(registry\)"):
        calls.wait(free.wait, LITTLE)
    with pytest.raises(CallTimeoutError, match="no answer"):
        asyncio.run(calls.run(free.wait, LITTLE))
    with pytest.raises(CallLimitError, match=r"2 calls \(registry\) have not ended yet"):
        calls.wait(lambda: 1, 10)
    free.set()
    for thread in [each for each in threading.enumerate() if each.name == "registry"]:
        thread.join()
    assert calls.wait(lambda: 1, 10) == 1


def test_hanging_calls_of_one_kind_leave_others_alone_and_the_process_may_end(free: threading.Event) -> None:
    hanging, others = TimedCalls("hanging", 1), TimedCalls("others", 1)
    hanging.start(free.wait)
    assert others.wait(lambda: 1, 10) == 1
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "hanging")
