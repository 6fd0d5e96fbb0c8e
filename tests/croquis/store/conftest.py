"""The three engines of a store, each behind the same URI: FAISS, Milvus Lite and a Milvus server of its own."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from croquis.store.versions import Stores, open_stores
from tests.support.engine_servers import Server, running
from tests.support.store.milvus_server import fetched, milvus_server, why_not
from tests.support.store.store_sample import ENGINES, Engine

# Where the server was not fetched, Milvus Lite stands for it, and one test of test_store_processes.py says so.
HERE = [pytest.param(name, marks=marks) for name, marks in ENGINES.items() if name != "milvus-server" or fetched()]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Of one file at a time: only one runs on a machine, and other workers of this run may want it, too."""
    with FileLock(tmp_path_factory.getbasetemp().parent / "milvus-server.lock"):
        if reason := why_not():
            pytest.skip(reason)
        with running(milvus_server(tmp_path_factory.mktemp("server"))) as started:
            yield started


@pytest.fixture(scope="module", params=HERE)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    if request.param != "faiss" and importlib.util.find_spec("pymilvus") is None:
        pytest.skip("pymilvus is not installed: pip install '.[scale]'")
    folder: Path = tmp_path_factory.mktemp(request.param)
    if request.param == "faiss":
        return Engine(request.param, f"faiss:{folder}")
    if request.param == "milvus-lite":
        return Engine(request.param, f"milvus:{folder / 'lite.db'}")
    started: Server = request.getfixturevalue("server")
    return Engine(request.param, started.uri, started)


@pytest.fixture(scope="module")
def stores(engine: Engine) -> Iterator[Stores]:
    opened = open_stores(engine.uri, "shop")
    yield opened
    opened.close()
