"""Several processes that answer on one port: started, watched and ended by the process that a person started.

They are forked before anything is loaded, so that imported code is shared; each opens the models itself, whose index is
memory-mapped. A connection belongs to the process that accepted it. Counters are kept in files that all of them write, so
that each one shows the sums of all (`prometheus_client`'s multiprocess mode).
"""

from __future__ import annotations

import contextlib
import gc
import logging
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Self

from prometheus_client import values

from croquis.refusals import RefusedError

logger = logging.getLogger(__name__)

METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
PAUSE = 1.0  # seconds until another process is tried again
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

Ready = Callable[[str], None]
"""Is told, once, what is served."""


def several() -> bool:
    """Whether this is one of several processes."""
    return METRICS_VARIABLE in os.environ


def reload_all() -> None:
    """Tells every process to look its models up again."""
    os.kill(os.getppid(), signal.SIGHUP)


def run_workers(count: int, work: Callable[[Ready], None], ready: Ready) -> int:
    """Runs `work` in so many processes until a signal ends them; the first one loads before the others start.

    SIGTERM and SIGINT end them, SIGHUP reaches each of them.

    Args:
        work: calls what it is given when it has loaded, and serves then.
        ready: is called when all have loaded, with what the first one said.

    Returns:
        0, or 1 when one of them ended by force.

    Raises:
        whatever `work` raises in the first process before it is ready.
    """
    gc.freeze()  # a collection would write to memory that the processes share
    with _shared_metrics(), _Workers(work) as workers:
        said = [workers.start() for _ in range(count)]
        ready(said[0])
        return workers.watch()


@contextlib.contextmanager
def _shared_metrics() -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="croquis-metrics-") as folder:
        os.environ[METRICS_VARIABLE] = folder
        values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]
        try:
            yield
        finally:
            del os.environ[METRICS_VARIABLE]
            values.ValueClass = values.MutexValue


class _Workers:
    def __init__(self, work: Callable[[Ready], None]) -> None:
        self._work = work
        self._fork = multiprocessing.get_context("fork")
        self._running: list[BaseProcess] = []
        self._ending = False

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._pass_on) for number in PASSED_ON}
        return self

    def __exit__(self, *_: object) -> None:
        self._pass_on(signal.SIGTERM)
        for process in self._running:
            process.join()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def start(self) -> str:
        """Starts one more and waits until it has loaded; gives what it said, or raises what kept it from that."""
        ours, theirs = self._fork.Pipe(duplex=False)
        process = self._fork.Process(target=_run, args=(self._work, theirs))
        process.start()
        self._running.append(process)
        theirs.close()
        try:
            said = ours.recv()
        except EOFError:
            if self._ending:
                raise SystemExit(128 + signal.SIGTERM) from None
            raise RefusedError("a process of the server ended while it was loading; its log says why") from None
        if isinstance(said, BaseException):
            raise said
        return str(said)

    def watch(self) -> int:
        """Until all have ended; one that ends unasked is followed by another. 1 when one ended by force, else 0."""
        count, forced = len(self._running), False
        while self._running:
            wait([process.sentinel for process in self._running], None if len(self._running) == count else PAUSE)
            for process in [each for each in self._running if not each.is_alive()]:
                self._running.remove(process)
                if self._ending:
                    forced |= process.exitcode != 0
                else:
                    logger.error("the process %d ended with %s: another is started", process.pid, process.exitcode)
            if not self._ending and len(self._running) < count:
                self._start_again()
        return int(forced or not self._ending)

    def _start_again(self) -> None:
        try:
            self.start()
        except Exception as error:  # of whatever it loads; the others go on
            logger.error("no other process: %s", error)

    def _pass_on(self, number: int, _frame: object = None) -> None:
        self._ending |= number != signal.SIGHUP
        for process in self._running:
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, signal.SIGTERM if number == signal.SIGINT else number)


def _run(work: Callable[[Ready], None], pipe: Connection) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it is loading what there is
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the first process passes it on
    try:
        work(pipe.send)
    except Exception as error:
        with contextlib.suppress(OSError):
            pipe.send(error)
        raise SystemExit(1) from None
