"""Servers that tests and benchmarks start on free ports and may kill, freeze and start again: brokers and Milvus."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from croquis.events.local_brokers import find_broker
from croquis.events.stream import StreamError

PATIENCE = 240  # seconds until a server answers, on a busy machine
CLIENTS = {"nats": "nats", "tansu": "confluent_kafka"}
LOOPBACK = "127.0.0.1"


@dataclass
class Server:
    """A server process that can be killed and started again on the same port and data.

    Attributes:
        command: of the process.
        port: where it answers.
        log: file that its output goes to.
        ready: whether it answers.
        uri: of what it serves, where that has one.
        folder: where it runs.
        environment: what it gets beside that of this process.
    """

    command: Sequence[str | Path]
    port: int
    log: Path
    ready: Callable[[], bool]
    uri: str = ""
    folder: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        with self.log.open("ab") as log:
            told = {**os.environ, **self.environment}
            self._process = subprocess.Popen(
                self.command, stdout=log, stderr=log, cwd=self.folder, env=told, start_new_session=True
            )
        deadline = time.monotonic() + PATIENCE
        while not self.ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.command[0]} does not answer: {self.log.read_text()[-2000:]}")
            time.sleep(0.1)

    def kill(self) -> None:
        """kill -9 of the process and of those that it started."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def freeze(self, seconds: float) -> None:
        """The server does nothing for so long, and keeps what it has in memory."""
        with self.frozen():
            time.sleep(seconds)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    try:
        server.start()
        yield server
    finally:
        server.kill()


def broker_server(
    kind: str, folder: Path, host: str = LOOPBACK, prefix: Sequence[str] = (), topic: str = "products"
) -> Server:
    """A broker, not started yet; skips the test where it or its client is not installed.

    Args:
        kind: `nats`, or `tansu` for Kafka.
        prefix: words before its command, as those that run it in a network of its own.
        topic: of `uri`.
    """
    pytest.importorskip(CLIENTS[kind], reason="pip install '.[scale]'")
    try:
        broker = find_broker(kind)
    except StreamError as error:
        pytest.skip(str(error))
    port = free_port()
    command = [*prefix, *broker.command(host, port, folder)]
    return Server(command, port, folder / f"{kind}.log", lambda: listens(port, host), uri=broker.uri(host, port, topic))


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        return int(taken.getsockname()[1])


def listens(port: int, host: str = LOOPBACK) -> bool:
    with socket.socket() as asked:
        asked.settimeout(1)
        return asked.connect_ex((host, port)) == 0
