"""Bodies that are promised, come slowly or end in the middle cost others nothing; slow phones are served."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from croquis.serving.app import create_app
from croquis.serving.models.bundle_sources import BundleSource
from croquis.serving.requests import request_body
from croquis.serving.server_settings import Limits, Settings
from tests.support.serving.hostile_bodies import FORM, form
from tests.support.serving.live_server import listening, wait_for
from tests.support.serving.raw_connections import all_of, asked, connected, drip, next_status, status_of
from tests.support.tiny_retriever import photo

HEAD = f"POST /search HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM}\r\n".encode()
Start = Callable[..., str]


def whole() -> bytes:
    body = form(photo())
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(body), body)


LONG = b"Content-Length: 90000\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
BEGUN = b'--frontier\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
PROMISES = {
    "nothing": HEAD + LONG,
    "a beginning": HEAD + LONG + BEGUN,
    "half": HEAD + LONG + BEGUN + b"a" * 40_000,
    "chunks": HEAD + CHUNKED + chunked(BEGUN),
    "half a chunk": HEAD + CHUNKED + b"fff\r\n" + BEGUN,
    "to continue": HEAD + b"Expect: 100-continue\r\n" + LONG,
    "JSON": HEAD.replace(FORM.encode(), b"application/json") + LONG + b'{"image": "',
}


@pytest.fixture
def start(bundle: Path) -> Iterator[Start]:
    """Starts a server with these limits of bodies."""
    with contextlib.ExitStack() as stack:

        def started(**limits: float) -> str:
            settings = Settings(threads=1, limits=Limits(**limits))  # type: ignore[arg-type]
            app = create_app({"champion": BundleSource(bundle)}, settings)
            return stack.enter_context(listening(app))

        yield started


@pytest.mark.slow
@pytest.mark.parametrize("promise", [sent for name, sent in PROMISES.items() if name != "half"])
def test_what_is_only_promised_takes_no_place(start: Start, promise: bytes) -> None:
    address = start(waiting_bytes=100_000)
    held = [connected(address, promise) for _ in range(30)]
    if b"100-continue" in promise:
        assert held[-1].recv(100).startswith(b"HTTP/1.1 100 ")
    assert status_of(asked(address, whole())) == 200
    for connection in held:
        connection.close()


def test_what_has_come_takes_its_place(start: Start) -> None:
    address = start(waiting_bytes=100_000)
    held = [connected(address, HEAD + LONG + BEGUN + b"a" * 40_000) for _ in range(3)]
    wait_for(lambda: status_of(asked(address, HEAD + LONG + BEGUN + b"a" * 30_000)) == 429)
    for connection in held:
        connection.close()
    wait_for(lambda: status_of(asked(address, whole())) == 200)


@pytest.mark.parametrize("promise", PROMISES.values(), ids=PROMISES.keys())
def test_a_body_that_does_not_go_on_is_refused(start: Start, monkeypatch: pytest.MonkeyPatch, promise: bytes) -> None:
    monkeypatch.setattr(request_body, "BODY_WINDOW", 0.2)
    connection = connected(start(), promise)
    if b"100-continue" in promise:
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
    answer = all_of(connection)
    assert status_of(answer) == 408
    assert b'"type": "urn:croquis:problem:too-slow"' in answer
    assert b"8000 bytes per second, in 120 s" in answer


@pytest.mark.parametrize(
    ("limits", "sent"),
    [
        ({}, b"a"),
        ({"body_rate": 100}, b"a"),
        ({"body_rate": 1, "body_seconds": 0.4}, b"a" * 500),  # fast enough, and too long
    ],
)
def test_a_body_that_comes_byte_by_byte_is_refused(
    start: Start, monkeypatch: pytest.MonkeyPatch, limits: dict[str, float], sent: bytes
) -> None:
    monkeypatch.setattr(request_body, "BODY_WINDOW", 0.3)
    connection = connected(start(**limits), HEAD + b"Content-Length: 9000000\r\n\r\n" + BEGUN)
    assert status_of(drip(connection, sent)) == 408


def test_a_slow_phone_is_served(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes several windows, and brings enough in each."""
    monkeypatch.setattr(request_body, "BODY_WINDOW", 1.5)
    data = whole()
    head, body = data[: -len(form(photo()))], form(photo())
    connection = connected(start(body_rate=len(body) // 20), head)
    connection.settimeout(0.3)
    for place in range(0, len(body), len(body) // 6):
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.sendall(body[place : place + len(body) // 6])
    connection.settimeout(20)
    assert next_status(connection) == 200
    connection.close()


@pytest.mark.slow
@pytest.mark.parametrize("promise", PROMISES.values(), ids=PROMISES.keys())
def test_a_client_that_goes_away_is_one_line(
    start: Start, promise: bytes, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    address = start()
    with caplog.at_level(logging.INFO):
        connected(address, promise).close()
        wait_for(lambda: any("croquis.serving.access" in record.name for record in caplog.records))
        assert status_of(asked(address)) == 200
    first, _ = (json.loads(each.getMessage()) for each in caplog.records if each.name == "croquis.serving.access")
    assert (first["path"], first["status"]) == ("/search", 499)
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert "Traceback" not in capfd.readouterr().err
