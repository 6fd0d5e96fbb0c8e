"""The server as a process of its own, as a person starts it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.environment import REPOSITORY

HEAVY = {"torch", "torchvision", "pytorch_lightning", "lightning", "dvc"}
# What a server has imported is written down as it ends.
STARTER = """
import atexit, json, signal, sys
from pathlib import Path
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
named = lambda: sorted({'.'.join(name.split('.')[:n]) for name in sys.modules for n in (1, 2)})
atexit.register(lambda: Path(sys.argv[1]).write_text(json.dumps(named())))
from croquis.cli import main
sys.exit(main(["serve", *sys.argv[2:]]))
"""


@dataclass
class ServerProcess:
    """A server that listens.

    Attributes:
        address: e.g. `http://127.0.0.1:40123`.
        process: its process.
        modules_file: where the names of its imported packages are after its end.
    """

    address: str
    process: subprocess.Popen[str]
    modules_file: Path

    def end(self) -> int:
        """Sends SIGTERM and gives the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    @property
    def modules(self) -> set[str]:
        """Top-level packages that it had imported when it ended."""
        return set(json.loads(self.modules_file.read_text()))

    @property
    def peak_bytes(self) -> int:
        """The most memory that it has held so far."""
        return self._bytes("VmHWM")

    @property
    def held_bytes(self) -> int:
        """The memory that it holds now."""
        return self._bytes("VmRSS")

    def _bytes(self, name: str) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(rf"{name}:\s+(\d+) kB", status)[0]) * 1024


@contextlib.contextmanager
def server_process(
    tmp_path: Path, *arguments: str, cwd: Path = REPOSITORY, **variables: str
) -> Iterator[ServerProcess]:
    """Starts `croquis serve` with `arguments` on a free port and waits until it listens."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_WAIT_POLICY": "passive", **variables}
    modules_file = tmp_path / "modules.json"
    one = [] if "--workers" in arguments else ["--workers", "1"]
    command = [sys.executable, "-c", STARTER, str(modules_file), *arguments, *one, "--port", "0"]
    log = (tmp_path / "server.log").open("w")
    process = subprocess.Popen(command, cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=log)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert found, line + (tmp_path / "server.log").read_text()
        yield ServerProcess(found[0], process, modules_file)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=60)
        process.stdout.close()
        log.close()
