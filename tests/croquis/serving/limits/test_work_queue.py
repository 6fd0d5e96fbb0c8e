"""The queue is bounded in jobs and in bytes, and says when to come back."""

from __future__ import annotations

import asyncio
import threading

import pytest

from croquis.serving.answers.problems import Problem
from croquis.serving.limits.http_meter import Meter
from croquis.serving.limits.work_queue import SPARE, WorkQueue


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


def test_a_job_that_hangs_is_given_up_and_holds_no_worker() -> None:
    free = threading.Event()

    async def main() -> list[str | BaseException]:
        queue = WorkQueue(workers=1, waiting=SPARE + 3, waiting_bytes=10, meter=Meter(), seconds=0.05)
        hung: list[str | BaseException] = []
        for _ in range(SPARE):
            hung += await asyncio.gather(queue.run(lambda: str(free.wait(30))), return_exceptions=True)
        assert await queue.run(lambda: "others") == "others"
        hung += await asyncio.gather(queue.run(lambda: str(free.wait(30))), return_exceptions=True)  # with the worker
        with pytest.raises(Problem, match=r"no worker came free within 0\.05 s") as refused:
            await queue.run(lambda: "others")
        assert refused.value.status == 429
        free.set()
        while queue._given_up or queue._free.locked():
            await asyncio.sleep(0.01)
        assert await queue.run(lambda: "after") == "after"
        queue.close()
        return hung

    for given_up in asyncio.run(main()):
        assert isinstance(given_up, Problem)
        assert (given_up.status, given_up.kind) == (503, "took-too-long")


def test_a_worker_is_free_when_its_job_has_ended_and_not_when_its_request_is_cancelled() -> None:
    free, ran = threading.Event(), []

    async def main() -> None:
        queue = WorkQueue(workers=1, waiting=2, waiting_bytes=10, meter=Meter())
        first = asyncio.create_task(queue.run(lambda: free.wait(30)))
        await asyncio.sleep(0.05)
        first.cancel()
        second = asyncio.create_task(queue.run(lambda: ran.append(free.is_set())))
        await asyncio.sleep(0.05)
        free.set()
        await second
        queue.close()

    asyncio.run(main())
    assert ran == [True]
