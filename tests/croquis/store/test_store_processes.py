"""Stores and processes: kill -9 in the midst of writing, locks, and what another process sees when."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from croquis.store.milvus_store import MilvusStore
from croquis.store.vector_store import StoreError
from croquis.store.versions import open_stores
from tests.support.engine_servers import Server
from tests.support.environment import REPOSITORY
from tests.support.store.store_sample import SPEC, Engine, found, image, vectors
from tests.support.store.store_writer import TEN, written

pytestmark = [pytest.mark.scale, pytest.mark.slow]
KILLS = 2
PATIENCE = 240  # seconds


def test_a_milvus_server_is_held_to_the_suite_too(server: Server) -> None:
    """Skipped where it was not fetched: Milvus Lite then stands for Milvus in every test of this folder."""
    assert server.ready()


def test_what_was_acknowledged_survives_kill_9(engine: Engine) -> None:
    """Of the writer, which is the engine too where it runs in the process, and of the server where there is one."""
    stores = open_stores(engine.uri, "shop")
    version = stores.create(SPEC).name
    stores.close()
    done = -1
    for kill in range(KILLS):
        acknowledged = killed_writer(engine, version, done + 1, 3 + 4 * kill)
        assert acknowledged > done
        done = acknowledged
        stores = open_stores(engine.uri, "shop")
        store = stores.open(SPEC.bundle, version)
        for batch in range(done + 1):
            images, _ = written(batch)
            assert len(store.get([each.image_id for each in images])) == TEN, (
                f"batch {batch} was acknowledged and is gone"
            )
        images, last = written(done)
        assert found(store.search(last[:1], 1)[0]) == [images[0].image_id]
        assert store.count() in (TEN * (done + 1), TEN * (done + 2))  # the batch under way may be there, whole
        stores.close()


def killed_writer(engine: Engine, version: str, first: int, batches: int) -> int:
    """Starts a writer, kills it with -9 after so many batches, and returns the last that it had an answer for."""
    command = [sys.executable, "-m", "tests.support.store.store_writer", engine.uri, version, str(first)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(batches + 1)]
        if engine.server is not None:
            engine.server.kill()
        writer.kill()
        lines += writer.stdout.readlines()
    if engine.server is not None:
        engine.server.start()
    return max(int(line) for line in lines if line.strip().isdigit())


def test_closing_gives_up_the_lock(engine: Engine) -> None:
    """A file has one process at a time; a server has any number."""
    stores = open_stores(engine.uri, "locks")
    version = stores.create(SPEC).name
    opens = (
        "from croquis.store.versions import open_stores\n"
        f"open_stores({engine.uri!r}, 'locks').open({SPEC.bundle!r}, {version!r})"
    )

    def other() -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", opens], cwd=REPOSITORY, capture_output=True, text=True)

    while_open = other()
    stores.close()
    if engine.server is None:
        assert while_open.returncode != 0
        assert "another process may use it" in while_open.stderr
    else:
        assert while_open.returncode == 0, while_open.stderr
    after = other()
    assert after.returncode == 0, after.stderr


def test_consistency_says_what_another_connection_sees(engine: Engine) -> None:
    with pytest.raises(StoreError, match=r"consistency = 'exact', must be one of strong, session, bounded, eventually"):
        MilvusStore(None, "name", SPEC, "exact")  # type: ignore[arg-type]
    if engine.server is None:
        return  # one process at a time: there is no other connection
    writer = open_stores(engine.uri, "levels")
    store = writer.create(SPEC)
    readers = {level: open_stores(engine.uri, "levels", level) for level in ("strong", "bounded", "eventually")}
    for level, reader in readers.items():
        seen = reader.open(SPEC.bundle, store.name)
        new, vector = image(1, name=level), vectors(1, seed=len(level))
        store.upsert([new], vector)
        deadline = time.monotonic() + (0 if level == "strong" else PATIENCE)
        while not (answer := found(seen.search(vector, 1)[0]) == [new.image_id]) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert answer, f"{level} does not see what another connection has written"
        assert found(store.search(vector, 1)[0]) == [new.image_id]  # who wrote it sees it at once
    for opened in (writer, *readers.values()):
        opened.close()
