"""Where a server listens: its socket, and the URL that clients open."""

from __future__ import annotations

import socket

from croquis.refusals import RefusedError


def url(host: str, port: int) -> str:
    """`http://HOST:PORT`; an IPv6 address stands in brackets (RFC 3986, section 3.2.2)."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def bound_socket(host: str, port: int) -> socket.socket:
    """A place for a server that does not listen yet.

    Args:
        port: 0 for a free one.

    Raises:
        RefusedError: when the address is in use, is not of this machine, or must not be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        reason = (error.strerror or str(error)).partition(" (")[0]
        raise RefusedError(
            f"cannot listen at {url(host, port)}: {reason}; choose another --port or --host, or end what uses it"
        ) from error
    # Connections inherit it. asyncio sets it only where a socket was made with TCP's number, which this is not; without it
    # each answer on a kept connection waits 40 ms for an acknowledgement.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    bound.set_inheritable(True)
    return bound


def listening_socket(host: str, port: int, backlog: int) -> socket.socket:
    """Where clients may connect from now on; they are answered as soon as a server runs. Arguments and errors as above."""
    listener = bound_socket(host, port)
    listener.listen(backlog)
    return listener
