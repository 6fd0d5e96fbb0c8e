"""A bounded queue before a fixed number of workers: what does not fit is refused at once, and told when to come back."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from croquis.serving.answers.problems import Problem
from croquis.serving.limits.http_meter import Meter
from croquis.serving.server_settings import Limits

T = TypeVar("T")

SPARE = 8  # for each worker: threads of jobs that were given up and hang; more of them keep their worker
SMOOTHING = 0.1  # weight of the newest job in the mean duration
FIRST_GUESS = 0.02  # seconds


class WorkQueue:
    """Runs jobs in threads; use it from one event loop. ONNX Runtime, FAISS and Pillow leave Python's lock while they work.

    Args:
        workers: jobs that run at a time.
        waiting: jobs that may wait.
        waiting_bytes: bodies that may be held for jobs, together.
        meter: counts waiting, running and refused jobs.
        seconds: that a job may wait for a worker, and then take.
    """

    def __init__(
        self, workers: int, waiting: int, waiting_bytes: int, meter: Meter, seconds: float = Limits.work_seconds
    ) -> None:
        self._workers = workers
        self._most = workers + waiting
        self._most_bytes = waiting_bytes
        self._meter = meter
        self._seconds = seconds
        self._free = asyncio.Semaphore(workers)
        self._spare = SPARE * workers
        self._given_up: set[asyncio.Future[Any]] = set()
        self._pool = ThreadPoolExecutor(workers + self._spare, thread_name_prefix="search")
        self._pending = 0
        self._held = 0
        self._mean_seconds = FIRST_GUESS

    @contextlib.contextmanager
    def hold(self) -> Iterator[Callable[[int], None]]:
        """Room for one body, for the length of the block; what is given takes it for `size` bytes more that have come.

        What a client only promises takes none. Taking more than there is raises a Problem: 429.
        """
        held = 0

        def take(size: int) -> None:
            nonlocal held
            if self._held + size > self._most_bytes:
                raise self._refusal("bytes", f"{self._most_bytes} bytes of pictures are held already")
            self._held += size
            held += size

        try:
            yield take
        finally:
            self._held -= held

    async def run(self, job: Callable[[], T]) -> T:
        """What `job()` returns or raises, from a worker.

        A job that takes too long is given up: it keeps its thread, and another one takes its place as a worker.

        Raises:
            Problem: 429 with Retry-After when the queue is full or no worker comes free in time; 503 when the job is given
                up.
        """
        if self._pending >= self._most:
            raise self._refusal("queue", f"{self._pending} queries are running or waiting already")
        self._pending += 1
        self._show()
        queued = time.perf_counter()

        def timed() -> tuple[T, float, float]:
            begun = time.perf_counter()
            return job(), begun - queued, time.perf_counter() - begun

        try:
            result, waited, worked = await self._worked(timed)
        finally:
            self._pending -= 1
            self._show()
        self._mean_seconds += SMOOTHING * (worked - self._mean_seconds)
        self._meter.add_steps({"queue": waited})
        return result

    async def _worked(self, job: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(self._seconds):
                await self._free.acquire()
        except TimeoutError:
            raise self._refusal("wait", f"no worker came free within {self._seconds:g} s") from None
        work = asyncio.get_running_loop().run_in_executor(self._pool, job)
        work.add_done_callback(self._ended)  # not before, whatever becomes of the request
        await asyncio.wait([work], timeout=self._seconds)
        if work.done():
            return work.result()
        if len(self._given_up) < self._spare:
            self._given_up.add(work)
            self._free.release()
        self._meter.refused.labels("late").inc()
        detail = f"the answer took more than {self._seconds:g} s and was given up; try again later"
        raise Problem(503, "took-too-long", detail, headers={"Retry-After": "5"})

    def _ended(self, work: asyncio.Future[Any]) -> None:
        if not work.cancelled():
            work.exception()  # asked for, as its client may be gone
        if work in self._given_up:
            self._given_up.remove(work)
        else:
            self._free.release()

    def close(self) -> None:
        """Ends the workers after their jobs."""
        self._pool.shutdown(wait=True)

    def _refusal(self, reason: str, detail: str) -> Problem:
        self._meter.refused.labels(reason).inc()
        seconds = max(1, math.ceil(self._pending * self._mean_seconds / self._workers))
        limit = f"{self._most} queries and {self._most_bytes} bytes at a time"
        headers = {"Retry-After": str(seconds)}
        return Problem(429, "busy", f"{detail}; try again in {seconds} s", limit=limit, headers=headers)

    def _show(self) -> None:
        self._meter.running.set(min(self._pending, self._workers))
        self._meter.waiting.set(max(0, self._pending - self._workers))
