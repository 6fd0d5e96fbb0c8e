"""The queue is bounded in jobs and in bytes, and says when to come back."""

from __future__ import annotations

import asyncio
import threading

import pytest

from croquis.serving.answers.problems import Problem
from croquis.serving.limits.http_meter import Meter
from croquis.serving.limits.work_queue import WorkQueue


def test_what_does_not_fit_is_refused_and_the_rest_is_done() -> None:
    gate, running, most = threading.Event(), [0], [0]
    lock = threading.Lock()

    def job() -> str:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        gate.wait(30)
        with lock:
            running[0] -= 1
        return "done"

    async def main() -> list[str | BaseException]:
        queue = WorkQueue(workers=2, waiting=3, waiting_bytes=10, meter=Meter())
        asked = [asyncio.create_task(queue.run(job)) for _ in range(9)]
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.2, gate.set)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert await queue.run(lambda: "after") == "after"
        queue.close()
        return answers

    answers = asyncio.run(main())
    assert answers[:5] == ["done"] * 5
    assert most[0] == 2
    for refused in answers[5:]:
        assert isinstance(refused, Problem)
        assert refused.status == 429
        assert int((refused.headers or {})["Retry-After"]) >= 1


def test_a_job_that_fails_frees_its_place() -> None:
    async def main() -> None:
        queue = WorkQueue(workers=1, waiting=0, waiting_bytes=10, meter=Meter())
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await queue.run(lambda: 1 / 0)
        assert await queue.run(lambda: 5) == 5
        queue.close()

    asyncio.run(main())


def test_bodies_are_bounded_together_by_what_has_come() -> None:
    queue = WorkQueue(workers=1, waiting=1, waiting_bytes=10, meter=Meter())
    with queue.hold() as take, queue.hold() as other:
        take(4)
        other(2)
        with pytest.raises(Problem, match="10 bytes of pictures are held already"):
            other(5)
        take(4)
    with queue.hold() as take:
        take(10)
    queue.close()
