"""Where a server listens, as a client writes it, and why it cannot."""

from __future__ import annotations

import socket
import urllib.request

import pytest
from starlette.types import Receive, Scope, Send

from croquis.refusals import RefusedError
from croquis.serving.addresses import listening_socket, url
from tests.support.serving.live_server import listening


def test_an_ipv6_address_stands_in_brackets() -> None:
    assert url("::1", 80) == "http://[::1]:80"
    assert url("fe80::1%eth0", 80) == "http://[fe80::1%eth0]:80"
    assert url("127.0.0.1", 80) == "http://127.0.0.1:80"
    assert url("localhost", 80) == "http://localhost:80"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_url_opens_the_server(host: str) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"here"})

    try:
        with listening(app, host) as address, urllib.request.urlopen(address, timeout=30) as answer:
            assert answer.read() == b"here"
    except RefusedError as error:
        pytest.skip(f"no IPv6 here: {error}")


def test_answers_are_sent_at_once() -> None:
    with (
        listening_socket("127.0.0.1", 0, 5) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as connection,
    ):
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_an_address_that_cannot_be_used_is_named_with_the_reason() -> None:
    with listening_socket("127.0.0.1", 0, 5) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            RefusedError, match=rf"listen at http://127\.0\.0\.1:{port}: .*in use; choose another --port"
        ):
            listening_socket("127.0.0.1", port, 5)
    for host in ("192.0.2.1", "no-such-host.invalid"):
        with pytest.raises(RefusedError, match=rf"cannot listen at http://{host}:0: "):
            listening_socket(host, 0, 5)
