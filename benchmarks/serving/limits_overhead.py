"""What the server's limits cost a search: CPU time with all of them beside CPU time with none, in one process, in turns.

    python -m benchmarks.serving.limits_overhead --bundle models/bundles/siamese

With: guarded connections, a named proxy with X-Forwarded-For, a key, a rate, and bodies that must come fast enough.
Without: uvicorn's own connections and none of these. The client's work is in both: a search has a little less of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import uvicorn
from starlette.requests import Request

from croquis.search.local_retriever import LocalRetriever
from croquis.serving.addresses import listening_socket
from croquis.serving.app import create_app
from croquis.serving.limits.connections import ConnectionGuard, GuardedServer
from croquis.serving.models.bundle_sources import BundleSource
from croquis.serving.requests import request_body
from croquis.serving.server_settings import Access, Settings

KEY = "a-key-of-this-benchmark"
PROXY = "127.0.0.1"
LIMITED = Settings(workers=1, access=Access({"shop": KEY}, rate=1e6, burst=1_000_000, proxies=(PROXY,)))
FREE = Settings(workers=1)
HEADERS = {"X-API-Key": KEY, "X-Forwarded-For": f"192.0.2.1, {PROXY}"}
BOUNDARY = "frontier"


def main(arguments: Sequence[str] | None = None) -> None:
    asked = argparse.ArgumentParser(
        prog="python -m benchmarks.serving.limits_overhead",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    asked.add_argument("--bundle", type=Path, required=True)
    asked.add_argument("--rounds", type=int, default=30, help="of each (default %(default)s)")
    asked.add_argument("--searches", type=int, default=20, help="in a round (default %(default)s)")
    options = asked.parse_args(arguments)
    print(json.dumps(measure(options.bundle, options.rounds, options.searches), indent=2))


def measure(bundle: Path, rounds: int, searches: int) -> dict[str, float]:
    """Medians of the CPU time of a search in milliseconds, and what the limits add in percent."""
    body = form(LocalRetriever.load(bundle).bundle.items.thumbnail(0))
    found: dict[str, list[float]] = {"without": [], "with": []}
    with serving(bundle, FREE) as free, serving(bundle, LIMITED) as limited:
        ask(free, body, searches)
        ask(limited, body, searches)
        for _ in range(rounds):
            with mock.patch.object(request_body, "body_chunks", unlimited):
                found["without"].append(ask(free, body, searches))
            found["with"].append(ask(limited, body, searches))
    without, limited_ms = (float(np.median(found[name])) * 1000 / searches for name in ("without", "with"))
    percent = (limited_ms / without - 1) * 100
    return {"without_ms": round(without, 3), "with_ms": round(limited_ms, 3), "added_percent": round(percent, 2)}


def unlimited(request: Request, *_: object) -> object:
    return request.stream()


def ask(connection: http.client.HTTPConnection, body: bytes, searches: int) -> float:
    """CPU seconds of this process for so many searches."""
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", **HEADERS}
    begun = time.process_time()
    for _ in range(searches):
        connection.request("POST", "/search", body, headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"a search was answered {answer.status}")
    return time.process_time() - begun


def form(image: bytes) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    return head.encode() + image + f"\r\n--{BOUNDARY}--\r\n".encode()


@contextlib.contextmanager
def serving(bundle: Path, settings: Settings) -> Iterator[http.client.HTTPConnection]:
    """A connection to a server in a thread, with guarded connections where there are keys."""
    app = create_app({"champion": BundleSource(bundle)}, settings)
    config = uvicorn.Config(app, log_level="error", access_log=False, proxy_headers=False)
    guard = ConnectionGuard(settings.connections, settings.connections.most, settings.access.proxies, app.state.meter)
    server = GuardedServer(config, guard) if settings.access.keys else uvicorn.Server(config)
    listener = listening_socket("127.0.0.1", 0, 100)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    connection = http.client.HTTPConnection(*listener.getsockname()[:2])
    try:
        yield connection
    finally:
        connection.close()
        server.should_exit = True
        thread.join()


if __name__ == "__main__":
    main()
