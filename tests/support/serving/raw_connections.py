"""Connections to a server by bytes: what no client of HTTP would send, or not so slowly."""

from __future__ import annotations

import contextlib
import http.client
import socket
from urllib.parse import urlsplit

PATIENCE = 20.0  # seconds for what comes in a fraction of one
WHOLE = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
HALF = WHOLE[:-2] + b"X-Slow: "
UNSENT_BODY = b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\na"


def connected(address: str, *sent: bytes, source: str = "127.0.0.1") -> socket.socket:
    """A connection from `source` over which `sent` has gone."""
    parts = urlsplit(address)
    connection = socket.create_connection((parts.hostname, parts.port), PATIENCE, (source, 0))
    for data in sent:
        connection.sendall(data)
    return connection


def all_of(connection: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    came = b""
    with contextlib.suppress(ConnectionError):
        while some := connection.recv(65536):
            came += some
    connection.close()
    return came


def next_status(connection: socket.socket) -> int:
    """The status of the next answer over a connection that stays open; 0 when the server has closed it."""
    answer = http.client.HTTPResponse(connection)
    try:
        answer.begin()
        answer.read()
    except (http.client.BadStatusLine, ConnectionError):
        return 0
    return answer.status


def drip(connection: socket.socket, data: bytes = b"a", pause: float = 0.05) -> bytes:
    """Sends `data` with pauses until the server answers or closes the connection; what it answers, to the end."""
    connection.settimeout(pause)
    for _ in range(int(PATIENCE / pause)):
        try:
            some = connection.recv(65536)
        except TimeoutError:
            with contextlib.suppress(ConnectionError):
                connection.sendall(data)
        except ConnectionError:
            return b""
        else:
            connection.settimeout(PATIENCE)
            return some + all_of(connection)
    raise AssertionError("the server waits for ever")


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


def asked(address: str, request: bytes = WHOLE, source: str = "127.0.0.1") -> bytes:
    """The answer to one request, after which the server is told to close."""
    head, _, body = request.partition(b"\r\n\r\n")
    return all_of(connected(address, head + b"\r\nConnection: close\r\n\r\n" + body, source=source))
