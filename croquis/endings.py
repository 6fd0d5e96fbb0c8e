"""The end of a process within its time, whatever hangs."""

from __future__ import annotations

import logging
import os
import sys
import threading

logger = logging.getLogger(__name__)

FORCED = 1  # exit code: something was left undone
TELLING = 1.0  # seconds for the line that says so: who should read it may hang, too


def end_within(seconds: float, code: int = FORCED) -> None:
    """Ends this process after `seconds` with that exit code, unless it has ended by itself: it is being ended, and what
    still runs may hang.

    Threads cannot be ended one by one, and Python waits for those that are no daemons.
    """
    timer = threading.Timer(seconds, _end, (seconds, code))
    timer.daemon = True
    timer.start()


def _end(seconds: float, code: int) -> None:
    names = sorted(thread.name for thread in threading.enumerate() if thread is not threading.current_thread())
    telling = threading.Thread(target=_tell, args=(seconds, names), daemon=True)
    telling.start()
    telling.join(TELLING)
    os._exit(code)


def _tell(seconds: float, names: list[str]) -> None:
    logger.error("ended by force: not done %.0f s after the signal: %s", seconds, ", ".join(names))
    sys.stdout.flush()
    sys.stderr.flush()
