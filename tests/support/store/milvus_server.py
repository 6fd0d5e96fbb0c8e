"""A Milvus server for tests and benchmarks: 2.3.5, the last one on PyPI. Without it Milvus Lite stands for Milvus.

    python -m tests.support.store.milvus_server        # fetches it, once: about 60 MB

It goes to `~/.cache/croquis/engines`, or to the folder that CROQUIS_ENGINES names, into an environment of its own. It cannot
be kept from listening on every address, so run it on a machine that nobody else reaches.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.engine_servers import Server, free_port, listens

ENGINES = Path(os.environ.get("CROQUIS_ENGINES", Path.home() / ".cache/croquis/engines"))
MILVUS = ENGINES / "milvus-venv"
UNPACKED = ENGINES / "milvus-unpacked"
ETCD_PORT = 2380  # of the etcd within Milvus 2.3.5; no setting of its starter changes it
ABSENT = "no Milvus server here, Milvus Lite stands for it: python -m tests.support.store.milvus_server"
TAKEN = f"port {ETCD_PORT} is taken, by another Milvus or etcd: one runs on a machine at a time"


def fetched() -> bool:
    return (UNPACKED / "bin/milvus").is_file() and MILVUS.is_dir()


def fetch() -> None:
    if fetched():
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


def why_not() -> str | None:
    """Why it cannot be started; None when it can."""
    if not fetched():
        return ABSENT
    return TAKEN if listens(ETCD_PORT) else None


def milvus_server(folder: Path) -> Server:
    """A Milvus server with its data below `folder`, not started yet.

    Its starter only writes the settings: started again by it, the server would move to another port, as the old one still
    has connections that the system has not forgotten.
    """
    data, port = folder / "milvus", free_port()
    shutil.copytree(UNPACKED, data, copy_function=linked)
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
    uri = f"milvus:http://127.0.0.1:{port}"
    return Server(command, port, folder / "milvus.log", lambda: answers(port), uri, data, environment)


def linked(source: str, target: str) -> None:
    """A second name of a file where both lie on one file system, else a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def answers(port: int) -> bool:
    if not listens(port):
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
    argparse.ArgumentParser(
        prog="python -m tests.support.store.milvus_server",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    fetch()
    print(f"{UNPACKED}: Milvus 2.3.5")
