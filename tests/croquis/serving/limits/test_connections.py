"""Connections are few enough and none is waited for for ever, whatever is sent over them and however slowly."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import re
import resource
import socket
import threading
from typing import Any

import pytest
from starlette.testclient import TestClient

from croquis.refusals import RefusedError
from croquis.serving.limits import connections
from croquis.serving.limits.connections import room_for
from croquis.serving.server_settings import ConnectionLimits
from tests.support.serving.live_server import listening, samples, wait_for
from tests.support.serving.raw_connections import (
    HALF,
    UNSENT_BODY,
    WHOLE,
    all_of,
    asked,
    connected,
    drip,
    next_status,
    status_of,
)

HASTY = ConnectionLimits(head_seconds=0.3)
FEW = ConnectionLimits(most=8)
COUNTED = 'croquis_requests_total{method="GET",route="/docs/{name}",status="200"}'
SCRIPT = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "answers"),
    [(b"", 0), (b"G", 0), (HALF, 0), (WHOLE, 1), (WHOLE + HALF, 1), (WHOLE * 3 + HALF, 3), (UNSENT_BODY, 1)],
)
def test_what_does_not_go_on_is_closed(client: TestClient, sent: bytes, answers: int) -> None:
    with listening(client.app, limits=HASTY) as address:
        assert all_of(connected(address, sent)).count(b"HTTP/1.1 ") == answers


@pytest.mark.parametrize("begun", [b"", HALF, WHOLE + HALF, UNSENT_BODY])
def test_what_goes_on_byte_by_byte_is_closed(client: TestClient, begun: bytes) -> None:
    with listening(client.app, limits=HASTY) as address:
        connection = connected(address, begun)
        if begun not in (b"", HALF):
            assert next_status(connection)
        drip(connection)


@pytest.mark.parametrize("sent", [SCRIPT, SCRIPT * 50, SCRIPT[:-2] + b"Connection: close\r\n\r\n"])
def test_an_answer_that_is_not_taken_ends_the_connection(client: TestClient, sent: bytes) -> None:
    with listening(client.app, limits=HASTY) as address:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", int(address.rpartition(":")[2])))
        before = samples(client).get(COUNTED, 0)
        connection.sendall(sent)
        wait_for(lambda: samples(client).get(COUNTED, 0) > before)
        wait_for(lambda: samples(client)["croquis_connections"] == 0)
        connection.close()


@pytest.mark.parametrize("sent", [b"", HALF, WHOLE, UNSENT_BODY])
def test_others_are_answered_while_idle_connections_stand(client: TestClient, sent: bytes) -> None:
    with listening(client.app, limits=FEW) as address:
        held = [connected(address, sent) for _ in range(40)]
        assert status_of(asked(address)) == 200
        assert samples(client)["croquis_connections"] <= FEW.most
        assert samples(client)["croquis_dropped_connections_total" + '{reason="room"}'] > 0
        for connection in held:
            connection.close()


@pytest.mark.parametrize(("source", "kept"), [("127.0.0.2", True), ("127.0.0.1", False)])
def test_one_address_has_half_of_the_connections(client: TestClient, source: str, kept: bool) -> None:
    """Of two that are idle the older one is closed, unless only the address of the younger one has too many."""
    with listening(client.app, limits=FEW) as address:
        first = connected(address, WHOLE)
        assert next_status(first) == 200
        held = [connected(address, HALF, source=source) for _ in range(20)]
        assert status_of(asked(address, source=source)) == 200
        with contextlib.suppress(ConnectionError):
            first.sendall(WHOLE)
        assert (next_status(first) == 200) == kept
        for connection in (first, *held):
            connection.close()


def test_a_named_proxy_may_have_them_all(client: TestClient) -> None:
    with listening(client.app, limits=FEW, proxies=("127.0.0.0/30",)) as address:
        held = [connected(address, WHOLE, source="127.0.0.2") for _ in range(FEW.most)]
        assert all(next_status(connection) == 200 for connection in held)
        for connection in held:
            connection.sendall(WHOLE)
            assert next_status(connection) == 200
            connection.close()


class Gate:
    """An ASGI app that answers when it is opened, and reads bodies to their end."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.begun = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            message = await receive()
            while message.get("more_body"):
                message = await receive()
            if message["type"] == "http.disconnect":
                return
            self.begun += 1
            while not self.opened.is_set():
                await asyncio.sleep(0.01)
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body"})


def test_what_is_worked_on_goes_on_and_who_comes_too_late_is_told() -> None:
    gate = Gate()
    with listening(gate, limits=ConnectionLimits(most=3, per_address=2)) as address:
        held = [connected(address, WHOLE) for _ in range(2)]
        wait_for(lambda: gate.begun == 2)
        refused = [connected(address, WHOLE) for _ in range(3)]
        for connection in refused:
            answer = all_of(connection)
            assert status_of(answer) == 429
            assert b"retry-after: 1\r\n" in answer
            assert b'"type": "urn:croquis:problem:busy"' in answer
        gate.opened.set()
        assert [next_status(connection) for connection in held] == [200, 200]
        for connection in held:
            connection.close()


@pytest.mark.parametrize(
    "body", [b"Content-Length: 9\r\n\r\na", b"Transfer-Encoding: chunked\r\n\r\n5\r\na", b"Content-Length: 900\r\n\r\n"]
)
def test_bodies_that_do_not_come_make_room(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "YOUNG_BODY", 0.0)
    gate = Gate()
    gate.opened.set()
    with listening(gate, limits=ConnectionLimits(most=4)) as address:
        held = [connected(address, b"POST / HTTP/1.1\r\nHost: x\r\n" + body) for _ in range(9)]
        assert status_of(asked(address)) == 200
        for connection in held:
            connection.close()


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        (b"POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n", [400]),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nconnection: upgrade\r\n\r\n\0\0", [200, 400]),
        (WHOLE + b"\xff\xfe / HTTP/9.9\r\n\r\n", [200, 400]),
        (b"GET / HTTP/1.1\r\n\r\n", [400]),
        (HALF + b"a" * 100_000, [400]),
    ],
)
def test_what_is_no_http_leaves_no_traceback(
    client: TestClient, sent: bytes, statuses: list[int], capfd: pytest.CaptureFixture[str]
) -> None:
    with listening(client.app, limits=HASTY) as address:
        answer = all_of(connected(address, sent))
        assert [int(line.split()[1]) for line in re.findall(rb"HTTP/1\.1 \d+", answer)] == statuses
        assert status_of(asked(address)) == 200
    assert "Traceback" not in capfd.readouterr().err


def in_chunks(size: int, count: int, path: bytes = b"/search") -> bytes:
    """A request whose body comes in `count` chunks of `size` bytes."""
    head = (
        b"POST "
        + path
        + b" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    return head + (b"%x\r\n%s\r\n" % (size, b" " * size)) * count


@pytest.mark.parametrize("sent", [in_chunks(1, 40_000), in_chunks(16, 20_000), in_chunks(1, 201)])
def test_a_body_in_tiny_chunks_is_refused(client: TestClient, sent: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with listening(client.app) as address:
        assert status_of(all_of(connected(address, sent))) == 400
        assert status_of(asked(address)) == 200
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("path", [b"/healthz", b"/nowhere"])
def test_tiny_chunks_behind_an_answer_end_the_connection(client: TestClient, path: bytes) -> None:
    with listening(client.app, limits=ConnectionLimits(head_seconds=600)) as address:
        connection = connected(address, in_chunks(1, 1, path))
        assert next_status(connection) in (404, 405)
        assert drip(connection, b"1\r\na\r\n" * 50) == b""


@pytest.mark.parametrize(
    "sent", [in_chunks(1, 200), in_chunks(256, 2000), in_chunks(1, 150) + b"10000\r\n" + b" " * 65536]
)
def test_other_chunks_are_read(client: TestClient, sent: bytes) -> None:
    with listening(client.app) as address:
        connection = connected(address, sent if sent.endswith(b"\r\n") else sent + b"\r\n", b"0\r\n\r\n")
        assert next_status(connection) == 422  # blanks are no JSON
        connection.sendall(sent if sent.endswith(b"\r\n") else sent + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        assert next_status(connection) == 422


def test_when_files_run_out_idle_connections_are_closed_and_the_log_stays_small(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with listening(client.app, limits=ConnectionLimits(head_seconds=60)) as address:
        idle = [connected(address) for _ in range(30)]
        wait_for(lambda: samples(client)["croquis_connections"] == len(idle))
        late = [socket.socket() for _ in range(20)]
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(each.fileno() for each in late), hard))
        try:
            for connection in late:
                connection.settimeout(20)
                connection.connect(("127.0.0.1", int(address.rpartition(":")[2])))
                connection.sendall(WHOLE)
            assert [next_status(connection) for connection in late] == [200] * len(late)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for connection in (*idle, *late):
            connection.close()
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(told) == 1, told
    assert "Too many open files (ulimit -n)" in told[0]


def test_other_errors_of_the_loop_reach_its_default_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    guard = connections.ConnectionGuard(ConnectionLimits(), 8, (), connections.Meter())
    loop = asyncio.new_event_loop()
    handled: list[dict[str, Any]] = []
    monkeypatch.setattr(loop, "default_exception_handler", handled.append)
    contexts = [
        {"message": str(error), "exception": error} for error in (ValueError("odd"), OSError(errno.EPIPE, "pipe"))
    ]
    for context in contexts:
        guard.on_loop_error(loop, context)
    loop.close()
    assert handled == contexts


def test_ulimit_leaves_room_for_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    def allowed(files: int) -> None:
        monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))

    allowed(100_000)
    assert room_for(ConnectionLimits(most=700)) == 700
    allowed(resource.RLIM_INFINITY)
    assert room_for(ConnectionLimits(most=700)) == 700
    allowed(500)
    assert 0 < room_for(ConnectionLimits(most=700)) < 500
    allowed(connections.SPARE_FILES)
    with pytest.raises(RefusedError, match="ulimit -n is 48: the server needs"):
        room_for(ConnectionLimits())
