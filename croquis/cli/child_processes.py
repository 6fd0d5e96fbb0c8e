"""Processes that one command starts, watches and ends together: none of them outlives the block that started it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from croquis.refusals import RefusedError

PAUSE = 0.1  # seconds between two looks
PATIENCE = 300.0  # seconds until a program answers, on a busy machine
GRACE, LEAST_GRACE = 60.0, 3.0  # seconds for the end: of all programs together, and of each
CONNECTING = 1.0  # seconds until something has taken a connection
SHOWN = 2000  # characters of a log


@dataclass(frozen=True)
class Program:
    """What is started.

    Attributes:
        name: of it and of its log.
        command: its words.
        ready: whether it answers.
        folder: where it runs.
    """

    name: str
    command: Sequence[str]
    ready: Callable[[], bool]
    folder: Path


class Children:
    """Running programs, in the order in which they were started; each is the leader of a group of its own.

    Args:
        logs: folder of NAME.log; it exists.
        stop: set when everything is to end.
    """

    def __init__(self, logs: Path, stop: threading.Event) -> None:
        self._logs = logs
        self._stop = stop
        self._started: list[tuple[Program, subprocess.Popen[bytes]]] = []

    @property
    def ending(self) -> bool:
        """Whether everything is to end."""
        return self._stop.is_set()

    def log_of(self, name: str) -> Path:
        """The log file of the program of that name."""
        return self._logs / f"{name}.log"

    def start(self, program: Program) -> None:
        """Returns when it answers, or when everything is to end.

        Raises:
            RefusedError: with the end of its log, when it ended or does not answer.
        """
        with self.log_of(program.name).open("wb") as log:
            process = subprocess.Popen(
                program.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=program.folder, process_group=0
            )
        self._started.append((program, process))
        deadline = time.monotonic() + PATIENCE
        while not program.ready():
            self._check()
            if time.monotonic() > deadline:
                raise RefusedError(f"{program.name} does not answer: {self._said(program.name)}")
            if self._stop.wait(PAUSE):
                return

    def watch(self) -> None:
        """Until everything is to end.

        Raises:
            RefusedError: when one ended by itself.
        """
        while not self._stop.wait(PAUSE):
            self._check()

    def end(self) -> None:
        """The last that was started ends first; what is left after `GRACE` seconds, or of a group, is killed."""
        deadline = time.monotonic() + GRACE
        for _, process in reversed(self._started):
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(LEAST_GRACE, deadline - time.monotonic()))
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _check(self) -> None:
        for program, process in self._started:
            if process.poll() is not None:
                raise RefusedError(f"{program.name} ended with {process.returncode}: {self._said(program.name)}")

    def _said(self, name: str) -> str:
        log = self.log_of(name)
        return f"{log}\n{log.read_text(encoding='utf-8', errors='replace')[-SHOWN:].rstrip()}"


@contextlib.contextmanager
def children(logs: Path) -> Iterator[Children]:
    """Ends all of them at the end of the block; SIGTERM, SIGHUP and Ctrl-C ask for that end."""
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    for number in before:
        signal.signal(number, lambda *_: stop.set())
    started = Children(logs, stop)
    try:
        yield started
    finally:
        started.end()
        for number, handler in before.items():
            signal.signal(number, handler)


def listens(host: str, port: int) -> bool:
    """Whether something takes connections there."""
    try:
        with socket.create_connection((host, port), timeout=CONNECTING):
            return True
    except OSError:
        return False
