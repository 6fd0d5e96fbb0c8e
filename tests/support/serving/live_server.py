"""A server in this process that listens, its administrator, its metrics, and pictures to send to it."""

from __future__ import annotations

import contextlib
import io
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI
from PIL import Image
from starlette.testclient import TestClient

from croquis.catalog.images import encode_png
from croquis.serving.addresses import listening_socket, url
from croquis.serving.limits.connections import ConnectionGuard, GuardedServer
from croquis.serving.limits.http_meter import Meter
from croquis.serving.server_settings import ConnectionLimits

Serve = Callable[..., TestClient]


def as_file(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format=kind, **options)
    return stream.getvalue()


@contextlib.contextmanager
def listening(
    app: Any, host: str = "127.0.0.1", limits: ConnectionLimits | None = None, proxies: tuple[str, ...] = ()
) -> Iterator[str]:
    """The address of `app` on a free port of this machine, served by a thread."""
    limits = limits or ConnectionLimits()
    meter = app.state.meter if isinstance(app, FastAPI) else Meter()
    guard = ConnectionGuard(limits, limits.most, proxies, meter)
    config = uvicorn.Config(app, log_level="error", access_log=False, proxy_headers=False)
    server = GuardedServer(config, guard)
    socket = listening_socket(host, 0, limits.backlog)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]}, daemon=True)
    thread.start()
    try:
        yield url(host, socket.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(timeout=30)


TOKEN = "a-token-of-the-admin"
ADMIN = {"authorization": f"Bearer {TOKEN}"}


def samples(client: TestClient) -> dict[str, float]:
    lines = client.get("/metrics").text.splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def replace_bundle(folder: Path, other: Path) -> None:
    shutil.rmtree(folder)
    shutil.copytree(other, folder)


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def picture(number: int) -> bytes:
    """A pattern that no other number has."""
    return encode_png(
        np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    )
