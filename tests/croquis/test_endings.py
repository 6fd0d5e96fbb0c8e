"""A process that is to end ends, whatever hangs in it."""

from __future__ import annotations

import subprocess
import sys

import pytest

HANGS = """import logging, threading, time
from croquis.endings import end_within
logging.basicConfig()
def write():
    while True:
        logging.error("a line that fills the pipe" * 1000)
threading.Thread(target={hangs}).start()
end_within(0.2, 7)
time.sleep(1000)"""


@pytest.mark.parametrize("hangs", ["time.sleep, args=(1000,)", "write"])
def test_a_process_ends_while_a_thread_hangs_and_nobody_reads_what_it_says(hangs: str) -> None:
    with subprocess.Popen([sys.executable, "-c", HANGS.format(hangs=hangs)], stderr=subprocess.PIPE) as process:
        try:
            assert process.wait(timeout=60) == 7
        finally:
            process.kill()
