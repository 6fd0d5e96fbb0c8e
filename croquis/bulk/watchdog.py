"""An end for calls that never return: no timeout of the caller's loop helps where a library waits for ever."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Self


class Watchdog:
    """Ends the process with exit code 1 when nobody has said for `seconds` that the loop still turns.

    Args:
        seconds: of silence that are too many.
        message: to stderr, when it comes to that.
    """

    def __init__(self, seconds: float, message: str) -> None:
        self._seconds = seconds
        self._message = message
        self._last = time.monotonic()
        self._over = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def turn(self) -> None:
        """The loop still turns."""
        self._last = time.monotonic()

    def _watch(self) -> None:
        while not self._over.wait(max(0.0, self._last + self._seconds - time.monotonic())):
            if time.monotonic() - self._last >= self._seconds:
                print(self._message, file=sys.stderr, flush=True)
                os._exit(1)
