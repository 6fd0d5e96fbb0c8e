"""Open connections: how many there may be, and how long one may keep the server waiting.

uvicorn closes a connection that is idle after an answer. It waits for ever for the head of a request and for a client that
does not take its answer, and it counts connections only when a request is complete. What is missing is added here.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import logging
import resource
import socket
import time
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, h11  # type: ignore[attr-defined]  # as uvicorn has it

from croquis.refusals import RefusedError
from croquis.serving.answers.problems import Problem
from croquis.serving.limits.client_addresses import client_group, is_among
from croquis.serving.limits.http_meter import Meter
from croquis.serving.server_settings import ConnectionLimits

logger = logging.getLogger(__name__)

SPARE_FILES = 48  # beside what is open when a server is ready: models, stores, and connections about to be closed
ACCEPTED_AT_ONCE = 8  # before one of them is looked at
YOUNG_BODY = 3.0  # seconds; a body that has just begun does not make room for others
LINGER = 1.0  # seconds that a refused connection has to read why
MOST_LINGERING = 16
OUT_OF_FILES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
BEFORE_AN_ANSWER = {"IDLE", "SEND_RESPONSE"}  # states of h11
HEAD_BYTES = 16_384  # of a request's head, of a chunk's, and of what follows the last chunk
FREE_CHUNKS = 200  # of a body, of any size; for each further one:
CHUNK_BYTES = 256  # of the body must have come, as a chunk takes h11 some 30 us
LOG_PAUSE = 60.0  # seconds between two lines about the same lack

Waiting = Literal["head", "body", "reader"]
"""What the server waits for: the head of a request, its body, or that the client takes the answer."""


def room_for(limits: ConnectionLimits) -> int:
    """How many connections there may be: `limits.most`, or what `ulimit -n` leaves when a server is ready.

    Raises:
        RefusedError: when it leaves none.
    """
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return limits.most
    opened = sum(1 for _ in Path("/dev/fd").iterdir())
    left = allowed - opened - SPARE_FILES
    if left < 1:
        needed = opened + SPARE_FILES
        raise RefusedError(f"ulimit -n is {allowed}: the server needs {needed} files and one more for each connection")
    if left < limits.most:
        logger.warning("ulimit -n is %d: at most %d connections instead of %d", allowed, left, limits.most)
    return min(limits.most, left)


class ConnectionGuard:
    """Knows the open connections. Where one more is too many, the one that the server waits for longest is closed.

    Args:
        limits: of connections.
        most: of them at a time, see `room_for`.
        proxies: addresses and networks that many clients come from, which the limit per address does not count.
        meter: counts open, closed and refused ones.
    """

    def __init__(self, limits: ConnectionLimits, most: int, proxies: tuple[str, ...], meter: Meter) -> None:
        self.limits = limits
        self._most = most
        self._most_of_one = max(1, most // 2) if limits.per_address is None else limits.per_address
        self._proxies = proxies
        self._meter = meter
        self._open: dict[GuardedProtocol, str] = {}
        self._of_address: Counter[str] = Counter()
        self._waiting: dict[GuardedProtocol, tuple[Waiting, float]] = {}  # the longest first
        self._lingering: set[GuardedProtocol] = set()
        self._told = -LOG_PAUSE

    def admit(self, connection: GuardedProtocol) -> bool:
        """Whether a new connection may stay; others may be closed for it."""
        host = connection.client[0] if connection.client else None
        address = client_group(host)
        crowded = self._of_address[address] >= self._most_of_one and not is_among(host, self._proxies)
        full = len(self._open) >= self._most
        if (crowded or full) and not self._make_room(address if crowded else None):
            self._meter.refused.labels("connections").inc()
            return False
        self._open[connection] = address
        self._of_address[address] += 1
        self._show()
        return True

    def forget(self, connection: GuardedProtocol) -> None:
        """Counts a connection no longer."""
        self._lingering.discard(connection)
        self._waiting.pop(connection, None)
        address = self._open.pop(connection, None)
        if address is not None:
            self._of_address[address] -= 1
            if not self._of_address[address]:
                del self._of_address[address]
            self._show()

    def waits(self, connection: GuardedProtocol, what: Waiting | None) -> None:
        """Is told what the server waits for from now on; None while it works."""
        self._waiting.pop(connection, None)
        if what is not None and connection in self._open:
            self._waiting[connection] = what, time.monotonic()

    def may_linger(self, connection: GuardedProtocol) -> bool:
        """Whether a refused connection may stay open until it has read why."""
        if len(self._lingering) < MOST_LINGERING:
            self._lingering.add(connection)
        return connection in self._lingering

    def on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Says in one line a minute that files have run out; asyncio says so for each connection that it cannot accept."""
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in OUT_OF_FILES and "socket" in context):
            loop.default_exception_handler(context)
            return
        self._make_room(None)
        if time.monotonic() >= self._told + LOG_PAUSE:
            self._told = time.monotonic()
            logger.error("no connection can be accepted: %s (ulimit -n); trying again each second", error.strerror)

    def _make_room(self, address: str | None) -> bool:
        """Closes the connection that was waited for longest, of one address or of any; whether there was one."""
        begun = time.monotonic() - YOUNG_BODY
        mine = [
            (connection, *waiting)
            for connection, waiting in self._waiting.items()
            if address is None or self._open[connection] == address
        ]
        found = next((each for each, what, _ in mine if what != "body"), None)
        found = found or next((each for each, _, since in mine if since < begun), None)
        if found is None:
            return False
        self.forget(found)
        self.drop(found, "room")
        return True

    def drop(self, connection: GuardedProtocol, reason: str) -> None:
        """Closes a connection now, whatever it has not read yet."""
        self._meter.dropped.labels(reason).inc()
        connection.transport.abort()

    def _show(self) -> None:
        self._meter.connections.set(len(self._open))


class ChunkCounter(h11.Connection):
    """HTTP/1.1 of a server; a body in more chunks than its size asks for is no valid request, as each takes its time."""

    _chunks = _came = 0

    def next_event(self) -> Any:
        """As h11 has it.

        Raises:
            h11.RemoteProtocolError: for what is no HTTP, and for a body in tiny chunks.
        """
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._chunks = self._came = 0
        elif isinstance(event, h11.Data):
            self._chunks += event.chunk_start
            self._came += len(event.data)
            if self._chunks > FREE_CHUNKS + self._came // CHUNK_BYTES:
                raise h11.RemoteProtocolError("the body comes in chunks that are too small")
        return event


class GuardedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, which tells a guard what it waits for, and waits for `head_seconds` at most.

    How long a body may take is checked where it is read (`request_body.py`), as that depends on the route.
    """

    def __init__(self, guard: ConnectionGuard, **given: Any) -> None:
        super().__init__(**given)
        self.conn = ChunkCounter(h11.SERVER, HEAD_BYTES)
        self._guard = guard
        self._waits: Waiting | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._refused = False
        self._unsent = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._refused = not self._guard.admit(self)
        if self._refused:
            self._refuse()
        else:
            self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        self._guard.forget(self)
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._refused:
            super().data_received(data)

    def handle_events(self) -> None:
        super().handle_events()
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._look()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._look()

    def send_400_response(self, msg: str) -> None:
        if repr(self.conn.our_state) in BEFORE_AN_ANSWER:
            super().send_400_response(msg)
        else:  # the answer has begun, or is given: only what follows makes no sense
            self.transport.close()
        if self.cycle is not None:
            self.cycle.disconnected = True  # what works on a request that fails here has no client to answer

    def _should_upgrade(self) -> bool:
        return False  # there is nothing to change to, and uvicorn would log two lines to say so

    def _look(self) -> None:
        """Tells the guard when something else is waited for than before."""
        cycle = self.cycle
        waits: Waiting | None = None
        if cycle is None or cycle.response_complete:
            waits = "head"
        elif self.flow.write_paused:
            waits = "reader"
        elif cycle.more_body:
            waits = "body"
        if waits == self._waits:
            return
        self._waits = waits
        self._guard.waits(self, waits)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if waits in ("head", "reader"):
            self._wait()

    def _wait(self) -> None:
        self._unsent = self.transport.get_write_buffer_size()
        self._timer = self.loop.call_later(self._guard.limits.head_seconds, self._waited)

    def _waited(self) -> None:
        if 0 < self.transport.get_write_buffer_size() < self._unsent:
            self._wait()  # it takes the answer, slowly
        else:
            self._guard.drop(self, self._waits or "head")

    def _refuse(self) -> None:
        """Answers before anything was asked, and stays a moment: closed at once, a connection may lose what was sent."""
        if not self._guard.may_linger(self):
            self.transport.abort()
            return
        self.transport.write(too_many_connections())
        self.transport.write_eof()
        self._timer = self.loop.call_later(LINGER, self.transport.abort)


class GuardedServer(uvicorn.Server):
    """uvicorn's server over guarded connections.

    Args:
        config: of uvicorn; its protocol and its backlog are replaced.
        guard: of the connections.
    """

    def __init__(self, config: uvicorn.Config, guard: ConnectionGuard) -> None:
        config.http = functools.partial(GuardedProtocol, guard)  # type: ignore[assignment]
        config.backlog = ACCEPTED_AT_ONCE  # asyncio accepts as many in a row
        config.timeout_keep_alive = guard.limits.keep_alive_seconds
        super().__init__(config)
        self._guard = guard

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(self._guard.on_loop_error)
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(self._guard.limits.backlog)


@functools.cache
def too_many_connections() -> bytes:
    """An answer as it goes over the wire."""
    detail = "too many connections are open; try again in 1 s"
    answer = Problem(429, "busy", detail, headers={"Retry-After": "1", "Connection": "close"}).response()
    head = b"".join(b"%s: %s\r\n" % header for header in answer.raw_headers)
    return b"HTTP/1.1 429 Too Many Requests\r\n" + head + b"\r\n" + bytes(answer.body)
