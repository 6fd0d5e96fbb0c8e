"""The metrics of an ingest are answered whatever else is connected, and no connection stays for long."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter

from croquis.events import metrics_listener
from croquis.events.metrics_listener import MOST_CONNECTIONS, MetricsListener, listen_for_metrics
from croquis.refusals import RefusedError
from tests.support.serving.live_server import wait_for
from tests.support.serving.raw_connections import all_of, connected, drip

pytestmark = pytest.mark.scale
ASKED = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
WAITING = [b"", b"G", b"GET /metrics HTTP/1.1\r\nX-Slow: ", b"a" * 70_000, b"\x16\x03\x01"]


@pytest.fixture
def listener() -> Iterator[MetricsListener]:
    registry = CollectorRegistry()
    Counter("tries", "Of the test.", registry=registry).inc(3)
    server = listen_for_metrics(0, "127.0.0.1", registry)
    yield server
    server.shutdown()
    server.server_close()


def address_of(server: MetricsListener) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


def threads() -> int:
    return sum("process_request_thread" in thread.name for thread in threading.enumerate())


@pytest.mark.parametrize("sent", WAITING)
def test_idle_connections_keep_no_one_from_the_metrics(listener: MetricsListener, sent: bytes) -> None:
    idle = [connected(address_of(listener), sent) for _ in range(5 * MOST_CONNECTIONS)]
    assert b"tries_total 3.0" in all_of(connected(address_of(listener), ASKED))
    wait_for(lambda: threads() <= MOST_CONNECTIONS)
    for connection in idle:
        connection.close()


@pytest.mark.parametrize("sent", WAITING[:3])
def test_a_connection_that_goes_on_for_long_is_closed(
    listener: MetricsListener, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MetricsListener, "seconds", 0.3)
    drip(connected(address_of(listener), sent))
    wait_for(lambda: threads() == 0)


@pytest.mark.parametrize("sent", [ASKED, b"GET /metrics", b"no HTTP\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"])
def test_who_goes_away_or_speaks_no_http_leaves_no_line(
    listener: MetricsListener, sent: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        connection = connected(address_of(listener), sent)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    assert b"tries_total 3.0" in all_of(connected(address_of(listener), ASKED))
    wait_for(lambda: threads() == 0)
    assert "".join(capfd.readouterr()) == ""


def test_a_lack_of_files_is_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(metrics_listener.time, "sleep", pauses.append)
    server = MetricsListener(("127.0.0.1", 0), None)
    server.socket.close()
    with pytest.raises(OSError, match=r"Bad file"):
        server.get_request()
    assert pauses == [metrics_listener.PAUSE]


@pytest.mark.parametrize(
    ("host", "port"), [("127.0.0.1", None), ("192.0.2.1", 0), ("no such host", 0), ("::1", 70_000)]
)
def test_where_it_cannot_listen_is_told(host: str, port: int | None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = taken.getsockname()[1] if port is None else port
        with pytest.raises(RefusedError, match=r"^cannot listen for metrics at .*; choose another --metrics-port"):
            listen_for_metrics(place, host, CollectorRegistry())
