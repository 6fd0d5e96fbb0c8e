"""Closed-loop load over HTTP/1.1: each client waits for its answer and asks again, on one connection."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Load:
    """What a load brought about.

    Attributes:
        seconds: of every answer, from the first byte sent to the last received.
        statuses: how often each came.
        wall: seconds from the first request to the last answer.
    """

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    wall: float = 0.0

    def summary(self) -> dict[str, Any]:
        """Milliseconds and requests per second, JSON-able."""
        p50, p95, p99 = (float(value) for value in np.percentile(np.array(self.seconds) * 1000, (50, 95, 99)))
        return {
            "requests": len(self.seconds),
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "per_second": round(len(self.seconds) / self.wall, 1),
            "p50_ms": round(p50, 2),
            "p95_ms": round(p95, 2),
            "p99_ms": round(p99, 2),
        }


def post_bytes(host: str, path: str, media: str, body: bytes) -> bytes:
    """A whole request that keeps its connection open."""
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {media}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def run_load(
    port: int,
    requests: Sequence[bytes],
    clients: int,
    seconds: float,
    meanwhile: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> Load:
    """Asks `127.0.0.1:port` for so many seconds.

    Args:
        requests: whole requests, asked in turn.
        meanwhile: runs beside the load.

    Raises:
        OSError, asyncio.IncompleteReadError: when a connection breaks: a failed request.
    """
    return asyncio.run(_run(port, requests, clients, seconds, meanwhile))


async def _run(
    port: int,
    requests: Sequence[bytes],
    clients: int,
    seconds: float,
    meanwhile: Callable[[], Coroutine[Any, Any, None]] | None,
) -> Load:
    load, queue = Load(), itertools.cycle(requests)
    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(_client(port, queue, begun + seconds, load))
        if meanwhile is not None:
            group.create_task(meanwhile())
    load.wall = time.perf_counter() - begun
    return load


async def _client(port: int, requests: Iterator[bytes], end: float, load: Load) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < end:
        begun = time.perf_counter()
        writer.write(next(requests))
        await writer.drain()
        status = await _answer(reader)
        load.seconds.append(time.perf_counter() - begun)
        load.statuses[status] += 1
    writer.close()
    await writer.wait_closed()


async def _answer(reader: asyncio.StreamReader) -> int:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status_line, *lines = head.split("\r\n")
    lengths = [int(line.partition(":")[2]) for line in lines if line.startswith("content-length:")]
    await reader.readexactly(lengths[0])
    return int(status_line.split()[1])
