"""A real PostgreSQL server of the test's own: Debian's binaries, a temporary folder, a free loopback port, a password."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.engine_servers import free_port
from tests.support.engines import postgresql

USER, PASSWORD = "croquis", "paper-doll"
ACCOUNT = "postgres"  # the server refuses to run as root
RUNUSER = shutil.which("runuser", path=f"{os.defpath}:/usr/sbin:/sbin") or "runuser"  # of root, whose PATH may lack it


def binaries() -> Path:
    """The folder of the newest installed server; skips the test where there is none."""
    pytest.importorskip("psycopg", reason="the driver psycopg is not installed: pip install 'croquis[team]'")
    found = postgresql()
    if found is None:
        pytest.skip("no PostgreSQL here: make engines")
    return found


@contextmanager
def postgres(*databases: str) -> Iterator[str]:
    """Yields the URL of the server, to which a database's name is to be added; ends the server afterwards."""
    programs, port = binaries(), free_port()
    folder = Path(tempfile.mkdtemp(prefix="croquis-postgres-"))
    (folder / "password").write_text(PASSWORD)
    if os.getuid() == 0:
        account = pwd.getpwnam(ACCOUNT)
        for path in (folder, folder / "password"):
            os.chown(path, account.pw_uid, account.pw_gid)
    data, listen = str(folder / "data"), f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    try:
        _run(programs / "initdb", "-D", data, "-U", USER, "-A", "scram-sha-256", "--pwfile", str(folder / "password"))
        _run(programs / "pg_ctl", "-D", data, "-l", str(folder / "log"), "-o", listen, "-w", "start")
        try:
            for name in databases:
                _run(programs / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", USER, name)
            yield f"postgresql+psycopg://{USER}:{PASSWORD}@127.0.0.1:{port}/"
        finally:
            _run(programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(*command: str | Path) -> None:
    as_account = [RUNUSER, "-u", ACCOUNT, "--"] if os.getuid() == 0 else []
    environment = {**os.environ, "PGPASSWORD": PASSWORD}
    # pg_ctl leaves a server behind that would hold a pipe open.
    done = subprocess.run(
        [*as_account, *command], cwd="/", env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}"
