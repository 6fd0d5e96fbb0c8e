"""Servers that start in a fraction of a second: one process imports everything once, each server is a fork of it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

from tests.support.environment import REPOSITORY

STARTER = """
import json, os, signal, sys
import croquis.cli, croquis.cli.commands.serve, croquis.serving.command
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        os._exit(croquis.cli.main(["serve", *json.loads(line)]))
    print("pid", pid, flush=True)
"""


class ForkedServers:
    """Use it as a context manager; the servers end with it.

    Args:
        log: where the servers' stderr goes.
        variables: of their environment.
    """

    def __init__(self, log: Path, **variables: str) -> None:
        self._log = log.open("w")
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_WAIT_POLICY": "passive", **variables}
        self._process = subprocess.Popen(
            [sys.executable, "-c", STARTER],
            cwd=REPOSITORY,
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        self._pid = 0

    def start(self, *arguments: str) -> str:
        """Starts a server on a free port and gives its address once it listens."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([*arguments, "--port", "0"]) + "\n")
        self._process.stdin.flush()
        said = self._process.stdout.readline() + self._process.stdout.readline()  # either may come first
        pid, address = re.search(r"pid (\d+)", said), re.search(r"http://127\.0\.0\.1:\d+", said)
        assert pid is not None, said
        assert address is not None, said + Path(self._log.name).read_text()
        self._pid = int(pid[1])
        return address[0]

    def kill(self) -> None:
        """Ends the server that was started last, as nothing can prevent."""
        os.kill(self._pid, signal.SIGKILL)
        self._pid = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pid:
            self.kill()
        self._process.kill()
        self._process.communicate()
        self._log.close()
