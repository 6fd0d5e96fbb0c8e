"""Servers that the tests and benchmarks of docs/scale.md run against: a Milvus server and NATS, without installing either.

    python -m benchmarks.events.event_engines        # fetches both, once: about 60 and 4 MB

They go to `~/.cache/croquis/engines`, or to the folder that CROQUIS_ENGINES names. Milvus 2.3.5, the last server on PyPI,
gets an environment of its own; `nats-server` is Debian's package, unpacked (apt and dpkg are needed). Both are started on
free ports and end with the block that started them. NATS listens on 127.0.0.1 only; Milvus cannot be kept from listening on
every address, so run it on a machine that nobody else reaches.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ENGINES = Path(os.environ.get("CROQUIS_ENGINES", Path.home() / ".cache/croquis/engines"))
MILVUS = ENGINES / "milvus-venv"
UNPACKED = ENGINES / "milvus-unpacked"
NATS = ENGINES / "nats/usr/sbin/nats-server"
ETCD_PORT = 2380  # of the etcd within Milvus 2.3.5; no setting of its starter changes it
PATIENCE = 240  # seconds until a server answers, on a busy machine


def main(arguments: Sequence[str] | None = None) -> None:
    argparse.ArgumentParser(
        prog="python -m benchmarks.events.event_engines",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args(arguments)
    fetch_milvus()
    fetch_nats()
    print(f"{ENGINES}: Milvus 2.3.5 and {subprocess.check_output([NATS, '--version'], text=True).strip()}")


def fetch_milvus() -> None:
    if (UNPACKED / "bin/milvus").is_file():
        return
    subprocess.run([sys.executable, "-m", "venv", MILVUS], check=True)
    subprocess.run([MILVUS / "bin/pip", "install", "-q", "milvus==2.3.5", "setuptools<81"], check=True)
    unpack = (
        "import milvus, sys; milvus._initialize_data_files(sys.argv[1])"  # a minute: else every start would take it
    )
    partial = UNPACKED.with_name(".milvus-unpacked.partial")
    shutil.rmtree(partial, ignore_errors=True)
    subprocess.run([MILVUS / "bin/python", "-c", unpack, partial], check=True)
    partial.rename(UNPACKED)


def fetch_nats() -> None:
    if NATS.is_file():
        return
    folder = ENGINES / "deb"
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["apt-get", "download", "nats-server"], cwd=folder, check=True)
    (package,) = folder.glob("nats-server_*.deb")
    subprocess.run(["dpkg", "-x", package, ENGINES / "nats"], check=True)


def missing() -> dict[str, str]:
    """Why an engine cannot be started, by name; nothing for one that can."""
    reasons = {
        "milvus": None if (UNPACKED / "bin/milvus").is_file() and MILVUS.is_dir() else UNPACKED,
        "nats": None if NATS.is_file() else NATS,
    }
    absent = {
        name: f"{path} is not there: python -m benchmarks.events.event_engines"
        for name, path in reasons.items()
        if path
    }
    if "milvus" not in absent and _listens(ETCD_PORT):
        absent["milvus"] = f"port {ETCD_PORT} is taken, by another Milvus or etcd: one runs on a machine at a time"
    return absent


@dataclass
class Server:
    """A server process that can be killed and started again on the same port and data.

    Attributes:
        command: of the process.
        port: where it answers.
        log: file that its output goes to.
        ready: whether it answers.
        folder: where it runs.
        environment: what it gets beside that of this process.
    """

    command: Sequence[str | Path]
    port: int
    log: Path
    ready: Callable[[], bool]
    folder: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        with self.log.open("ab") as log:
            told = {**os.environ, **self.environment}
            self._process = subprocess.Popen(
                self.command, stdout=log, stderr=log, cwd=self.folder, env=told, start_new_session=True
            )
        deadline = time.monotonic() + PATIENCE
        while not self.ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.command[0]} does not answer: {self.log.read_text()[-2000:]}")
            time.sleep(0.1)

    def kill(self) -> None:
        """kill -9 of the process and of those that it started."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    try:
        server.start()
        yield server
    finally:
        server.kill()


def milvus_server(folder: Path) -> Server:
    """A Milvus server with its data below `folder`, not started yet.

    Its starter only writes the settings: started again by it, the server would move to another port, as the old one still
    has connections that the system has not forgotten.
    """
    data, port = folder / "milvus", free_port()
    shutil.copytree(UNPACKED, data, copy_function=os.link)
    settle = "import milvus, sys; milvus.MilvusServerConfig(data_dir=sys.argv[1], proxy_port=sys.argv[2]).resolve()"
    subprocess.run([MILVUS / "bin/python", "-c", settle, data, str(port)], check=True)
    (data / "run").mkdir(exist_ok=True)
    environment = {
        "DEPLOY_MODE": "STANDALONE",
        "METRICS_PORT": str(free_port()),
        "MILVUS_RUN_DIR": str(data / "run"),
        "LD_LIBRARY_PATH": str(data / "bin"),
    }
    command: list[str | Path] = [data / "bin/milvus", "run", "standalone"]
    return Server(command, port, folder / "milvus.log", lambda: _answers_milvus(port), data, environment)


def nats_server(folder: Path) -> Server:
    """A NATS server whose streams are kept below `folder`, not started yet."""
    port = free_port()
    settings = folder / "nats.conf"
    settings.write_text(
        f'host: "127.0.0.1"\nport: {port}\njetstream {{ store_dir: "{folder / "nats"}" }}\n', encoding="utf-8"
    )
    return Server([NATS, "-c", settings], port, folder / "nats.log", lambda: _listens(port))


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as asked:
        asked.settimeout(1)
        return asked.connect_ex(("127.0.0.1", port)) == 0


def _answers_milvus(port: int) -> bool:
    if not _listens(port):
        return False
    from pymilvus import MilvusClient
    from pymilvus.exceptions import MilvusException

    try:
        client = MilvusClient(uri=f"http://127.0.0.1:{port}", timeout=5)
        client.list_collections()
        client.close()
    except MilvusException:
        return False
    return True


if __name__ == "__main__":
    main()
