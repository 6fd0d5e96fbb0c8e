"""Where a server listens: its socket, and the URL that clients open."""

from __future__ import annotations

import socket

from croquis.refusals import RefusedError


def url(host: str, port: int) -> str:
    """`http://HOST:PORT`; an IPv6 address stands in brackets (RFC 3986, section 3.2.2)."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def listening_socket(host: str, port: int, backlog: int) -> socket.socket:
    """Where clients may connect from now on; they are answered as soon as a server runs.

    Args:
        port: 0 for a free one.

    Raises:
        RefusedError: when the address is in use, is not of this machine, or must not be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=backlog)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (")[0]
        raise RefusedError(
            f"cannot listen at {url(host, port)}: {reason}; choose another --port or --host, or end what uses it"
        ) from error
    # Connections inherit it. asyncio sets it only where a socket was made with TCP's number, which this is not; without it
    # each answer on a kept connection waits 40 ms for an acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.set_inheritable(True)
    return listener
