"""Processes that decode pictures and may be killed: what a hostile file does there ends with the process."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from queue import Empty, LifoQueue
from typing import IO

from croquis.arrays import Uint8Image
from croquis.catalog import decode_process
from croquis.catalog.image_errors import CostlyImageError, DamagedImageError
from croquis.catalog.images import DecodeLimits

START_SECONDS = 60.0
# What is decoded at once, in the thread that asks: some 30 ms and 60 MB at most. All else goes to a worker.
SMALL_BYTES = 2_000_000
SMALL_PIXELS = 2_000_000
SMALL_WORK = 12_000_000  # pixels times scans
WORKER_MEMORY = 1_000_000_000  # bytes, and for each pixel that is allowed:
MEMORY_PER_PIXEL = 64
SMALL = DecodeLimits(SMALL_BYTES, SMALL_PIXELS, SMALL_WORK)
KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "LANG")  # no key or token is in the environment of a worker


def memory_for(pixels: int) -> int:
    """Bytes that a worker may take where pictures have at most so many pixels."""
    return WORKER_MEMORY + MEMORY_PER_PIXEL * pixels


class DecodeWorkers:
    """A few processes, started by `start` or when they are first needed; safe to use from several threads.

    Args:
        count: pictures that are decoded at a time; more wait.
        seconds: time that one picture may take; then its process is killed.
        memory: bytes that a process may take beside those that it starts with.
    """

    def __init__(self, count: int, seconds: float, memory: int) -> None:
        self._count = count
        self._seconds = seconds
        self._free: LifoQueue[_Worker] = LifoQueue()
        for _ in range(count):
            self._free.put(_Worker(memory, seconds))

    @contextlib.contextmanager
    def decoded(
        self, data: bytes, limits: DecodeLimits, bbox: Sequence[int] | None = None, draft: int = 0
    ) -> Iterator[Uint8Image]:
        """What is inside the box of the picture, uint8 (H, W, 3); its worker takes no other one within the block, so that
        memory is bounded.

        Args:
            data, limits, bbox, draft: as `croquis.catalog.images.decode_inside` has them.

        Raises:
            ImageError: as `decode_inside`, and when the picture takes too long or ends its process.
        """
        worker = self._free.get()
        try:
            yield worker.decode(data, limits, bbox, draft)
        finally:
            self._free.put(worker)

    def start(self) -> None:
        """Starts the processes that are not running before they are needed; what decodes a picture is left to it.

        Raises:
            RuntimeError, OSError: when one does not start.
        """
        looked_at: list[_Worker] = []
        try:
            with contextlib.suppress(Empty):
                for _ in range(self._count):
                    looked_at.append(self._free.get_nowait())
                    looked_at[-1].start()
        finally:
            for worker in looked_at:
                self._free.put(worker)

    def close(self) -> None:
        """Ends the processes, each after the picture that it decodes; a picture that comes later starts one again."""
        for worker in [self._free.get() for _ in range(self._count)]:
            worker.end()
            self._free.put(worker)


class _Worker:
    """One process at a time: when it has ended, the next picture starts another."""

    def __init__(self, memory: int, seconds: float) -> None:
        self._memory, self._seconds = memory, seconds
        self._process: subprocess.Popen[bytes] | None = None

    def decode(self, data: bytes, limits: DecodeLimits, bbox: Sequence[int] | None, draft: int) -> Uint8Image:
        process, late, seconds = self.start(), threading.Event(), self._seconds
        try:
            with _killed_after(process, seconds, late):
                return decode_process.ask(_pipes(process), data, limits, bbox, draft)
        except (EOFError, OSError):
            if late.is_set():
                raise CostlyImageError(f"the image takes more than {seconds:g} s to decode; save it again") from None
            self.end()
            raise DamagedImageError("the image is damaged: the process that decoded it ended") from None
        finally:
            if late.is_set():
                self.end()

    def start(self) -> subprocess.Popen[bytes]:
        """The process that runs, or a new one where it has ended."""
        if self._process is not None and self._process.poll() is not None:
            self.end()
        if self._process is None:
            self._process = _started(self._memory, self._seconds)
        return self._process

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            for pipe in _pipes(self._process):
                with contextlib.suppress(OSError):  # what was not written yet cannot be
                    pipe.close()
            self._process.wait()
            self._process = None


def _started(memory: int, seconds: float) -> subprocess.Popen[bytes]:
    environment = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    environment |= {"PYTHONPATH": os.pathsep.join(path or "." for path in sys.path), "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            f"from {decode_process.__name__} import main; main({memory}, {seconds})",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        start_new_session=True,  # Ctrl-C is for the server, which ends its workers itself
    )
    try:
        with _killed_after(process, START_SECONDS, threading.Event()):
            decode_process.read(_pipes(process)[0], len(decode_process.READY))
    except EOFError:
        process.kill()
        raise RuntimeError("the process that decodes large pictures does not start") from None
    return process


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert process.stdout is not None
    assert process.stdin is not None
    return process.stdout, process.stdin


@contextlib.contextmanager
def _killed_after(process: subprocess.Popen[bytes], seconds: float, late: threading.Event) -> Iterator[None]:
    """Kills the process, and says so by `late`, when the block takes longer."""

    def kill() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(seconds, kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
