"""One process that stages are forks of, for the tests of all workers: to import what it imports takes ten seconds."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.environment import REPOSITORY
from tests.support.pipeline.small_project import environment

# Ends when no worker holds the shared lock any more; a killed one has lost it. Until it has ended, none can take it again.
HOLDER = """
import fcntl, sys
from croquis.cli.forked_stages import forked_stages

with open(sys.argv[1]) as users, forked_stages(wait=True) as programs:
    print(programs, flush=True)
    fcntl.flock(users, fcntl.LOCK_EX)
"""


@contextmanager
def shared_programs(base: Path) -> Iterator[Path]:
    """The folder of `croquis.cli.forked_stages`, of a process that was started here or by another worker.

    Args:
        base: a folder that all workers of this run of pytest share.

    Raises:
        RuntimeError: when the process did not start, with what it said.
    """
    known = base / "forked-programs"
    with (base / "forked-users").open("a") as users:
        with (base / "forked-start").open("a") as start:
            fcntl.flock(start, fcntl.LOCK_EX)
            fcntl.flock(users, fcntl.LOCK_SH)
            if not known.is_file() or not Path(known.read_text()).is_dir():
                known.write_text(_started(Path(users.name)))
        yield Path(known.read_text())


def _started(users: Path) -> str:
    log = users.with_name("forked-log")
    with log.open("wb") as errors:
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(users)],
            cwd=REPOSITORY,
            env=environment(),
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    assert holder.stdout is not None
    folder = holder.stdout.readline().strip()
    if not folder:
        raise RuntimeError(f"the process that stages are forks of did not start: {log.read_text()[-3000:]}")
    _holders.append(holder)
    return folder


_holders: list[subprocess.Popen[str]] = []
