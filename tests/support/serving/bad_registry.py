"""A registry that does not answer as MLflow's server does: it hangs, drips, redirects, answers nonsense, or resets."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
ANSWERS = {
    "hangs": None,
    "drips": None,
    "resets": None,
    "500": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
    "asks to wait": b"HTTP/1.1 503 Busy\r\nRetry-After: 3600\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "garbage": b"\x00\xff\xfe not HTTP at all\r\n\r\n",
    "html": OK + b"Content-Length: 33\r\n\r\n<html><body>a proxy</body></html>",
    "json of another kind": OK + b"Content-Length: 7\r\n\r\n[1,2,3]",
    "redirects": b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
}


class BadRegistry:
    """Listens on a free port of this machine until the block that opened it ends.

    Attributes:
        manner: a name of `ANSWERS`; it may change between two connections.
        asked: connections on which something has come.
        address: e.g. `http://127.0.0.1:40123`.
    """

    def __init__(self, manner: str) -> None:
        self.manner, self.asked = manner, 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._ended = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._ended.set()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.recv(65536)
            self.asked += 1
            told = ANSWERS[self.manner]
            if told is not None:
                connection.sendall(told)
            elif self.manner == "resets":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif self.manner == "drips":
                connection.sendall(OK + b"Content-Length: 100000\r\n\r\n")
                while not self._ended.wait(0.2):
                    connection.sendall(b" ")
            else:
                self._ended.wait()


@contextlib.contextmanager
def bad_registry(manner: str) -> Iterator[BadRegistry]:
    found = BadRegistry(manner)
    try:
        yield found
    finally:
        found.close()
