"""Where Prometheus reads what an ingest process counts: few connections, none of them for long."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from croquis.refusals import RefusedError

MOST_CONNECTIONS = 16  # at a time; for one more the oldest is closed
CONNECTION_SECONDS = 10.0  # that a connection may last
PAUSE = 0.5  # seconds between two tries to accept a connection when there are no files left


class MetricsListener(ThreadingWSGIServer):
    """A thread for each connection, of which there are few; each is closed in time, whatever it sends or does not read."""

    request_queue_size = 64
    seconds = CONNECTION_SECONDS

    def __init__(self, *given: Any) -> None:
        self._begun: dict[socket.socket, float] = {}  # the oldest first
        self._lock = threading.Lock()
        super().__init__(*given)

    def get_request(self) -> tuple[socket.socket, Any]:
        """The next connection; a lack of files is waited out, as the caller asks again at once."""
        try:
            return super().get_request()
        except OSError:
            time.sleep(PAUSE)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answers in a thread; where there are too many, the oldest one is closed."""
        with self._lock:
            self._begun[request] = time.monotonic()
            if len(self._begun) > MOST_CONNECTIONS:
                _end(self._begun, next(iter(self._begun)))
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """Closes connections that last too long; called every half second."""
        with self._lock:
            for request, begun in list(self._begun.items()):
                if time.monotonic() - begun > self.seconds:
                    _end(self._begun, request)

    def shutdown_request(self, request: Any) -> None:
        """Ends a connection that was answered or given up."""
        with self._lock:
            self._begun.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing: who asks for metrics and goes away, or sends what is no HTTP, is of no interest."""


class _Handler(WSGIRequestHandler):
    """Logs nothing: a scrape comes every few seconds."""

    def log_message(self, format: str, *given: Any) -> None:
        pass

    def get_stderr(self) -> Any:
        return _Nowhere()


class _Nowhere:
    def write(self, _: str) -> None:
        pass

    def flush(self) -> None:
        pass


def _end(begun: dict[socket.socket, float], request: socket.socket) -> None:
    """Both ways at once, so that the thread that reads or writes gives up; it closes the file."""
    del begun[request]
    with contextlib.suppress(OSError):  # it is closed already
        request.shutdown(socket.SHUT_RDWR)


def listen_for_metrics(port: int, host: str, registry: CollectorRegistry) -> MetricsListener:
    """Answers with the metrics of `registry` from now on, in daemon threads.

    Args:
        port: 0 for any free one.
        host: of this machine.

    Raises:
        RefusedError: when it cannot listen there.
    """

    class Listener(MetricsListener):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    try:
        server = make_server(host, port, make_wsgi_app(registry), Listener, _Handler)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RefusedError(
            f"cannot listen for metrics at {host} port {port}: {reason}; choose another --metrics-port or --metrics-host"
        ) from error
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
