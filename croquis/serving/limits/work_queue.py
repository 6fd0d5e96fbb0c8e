"""A bounded queue before a fixed number of workers: what does not fit is refused at once, and told when to come back."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from croquis.serving.answers.problems import Problem
from croquis.serving.limits.http_meter import Meter

T = TypeVar("T")

SMOOTHING = 0.1  # weight of the newest job in the mean duration
FIRST_GUESS = 0.02  # seconds


class WorkQueue:
    """Runs jobs in threads; use it from one event loop. ONNX Runtime, FAISS and Pillow leave Python's lock while they work.

    Args:
        workers: jobs that run at a time.
        waiting: jobs that may wait.
        waiting_bytes: bodies that may be held for jobs, together.
        meter: is told of waiting, running and refused jobs.
    """

    def __init__(self, workers: int, waiting: int, waiting_bytes: int, meter: Meter) -> None:
        self._workers = workers
        self._most = workers + waiting
        self._most_bytes = waiting_bytes
        self._meter = meter
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="search")
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

        Raises:
            Problem: 429 with Retry-After when the queue is full.
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
            result, waited, worked = await asyncio.get_running_loop().run_in_executor(self._pool, timed)
        finally:
            self._pending -= 1
            self._show()
        self._mean_seconds += SMOOTHING * (worked - self._mean_seconds)
        self._meter.add_steps({"queue": waited})
        return result

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
