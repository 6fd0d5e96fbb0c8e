"""The programs beside Python that some tests drive, servers of PostgreSQL and NATS and a Chromium: where they are found, and
`python -m tests.support.engines` (`make engines`), which installs from Debian's packages what is missing.

Tansu, Milvus Lite and the linters are Python packages of locks/dev.txt."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from croquis.events.local_brokers import nats_server

SERVERS = Path("/usr/lib/postgresql")
PROGRAMS = ("initdb", "pg_ctl", "createdb")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAY_MISS = "ENGINES_MAY_MISS"
APT = (
    "env",
    "DEBIAN_FRONTEND=noninteractive",
    "apt-get",
    "-qq",
    "-o",
    "Dpkg::Use-Pty=0",
    "-o",
    "DPkg::Lock::Timeout=120",
)
INSTALL = (*APT, "-y", "--no-install-recommends", "install")
TRIES = 2


def postgresql() -> Path | None:
    """The folder of the newest installed server's programs."""
    found = [path for path in SERVERS.glob("*/bin") if all((path / name).is_file() for name in PROGRAMS)]
    return max(found, key=lambda path: int(path.parts[-2]), default=None)


def chromium() -> Path | None:
    """The first browser of the Chromium family on the PATH."""
    return next((Path(path) for path in map(shutil.which, BROWSERS) if path), None)


class Engine(NamedTuple):
    package: str
    find: Callable[[], Path | None]


ENGINES = {
    "postgresql": Engine("postgresql", postgresql),
    "nats-server": Engine("nats-server", nats_server),
    "chromium": Engine("chromium", chromium),
}


def as_root() -> list[str]:
    """What to put before a command that only root may run; raises RuntimeError where packages cannot be installed."""
    if shutil.which("apt-get") is None:
        raise RuntimeError("apt-get is not here")
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
        return ["sudo", "-n"]
    raise RuntimeError("neither root nor sudo without a password")


def install(package: str, prefix: list[str]) -> None:
    """Installs a package, quietly; raises RuntimeError with what apt-get wrote when the last try failed too."""
    for attempt in range(TRIES):
        update = run([*prefix, *APT, "update"])  # its failure may not matter, and if it does the next command fails
        done = run([*prefix, *INSTALL, package])
        if done.returncode == 0:
            return
        print(f"apt-get install {package} ended with {done.returncode}, try {attempt + 1} of {TRIES}", flush=True)
    raise RuntimeError(f"apt-get wrote:\n{update.stdout}{done.stdout}")


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    pipe = subprocess.PIPE
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=subprocess.STDOUT, text=True)


def provide(name: str, engine: Engine) -> str:
    """Installs the engine unless it is there; returns why it is missing all the same, or nothing."""
    if engine.find() is None:
        try:
            install(engine.package, as_root())
        except RuntimeError as error:
            return str(error)
    path = engine.find()
    if path is None:
        return f"it was not found after apt-get install {engine.package}"
    print(f"{name}: {path}")
    return ""


def main(environ: Mapping[str, str] = os.environ) -> int:
    """0: all engines are there, or those that are not may be missing; 1: the others are named."""
    may_miss = environ.get(MAY_MISS, "").split()
    if unknown := sorted(set(may_miss) - set(ENGINES)):
        print(f"{MAY_MISS} names {', '.join(unknown)}; it may name {', '.join(ENGINES)}", file=sys.stderr)
        return 1
    missing = 0
    for name, engine in ENGINES.items():
        if not (reason := provide(name, engine)):
            continue
        if name in may_miss:
            print(f"{name} is missing, its tests are skipped ({MAY_MISS}): {reason}", flush=True)
        else:
            missing += 1
            print(
                f"{name} is missing: {reason}\nInstall it, or skip its tests by {MAY_MISS}={name}",
                file=sys.stderr, flush=True,
            )  # fmt: skip
    return min(missing, 1)


if __name__ == "__main__":
    argparse.ArgumentParser(
        prog="python -m tests.support.engines",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    sys.exit(main())
