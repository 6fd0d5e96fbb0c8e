"""`--engine ray`: the same bytes as one process, whoever is killed; and an end to waiting."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from croquis.bulk import ray_engine
from croquis.bulk.local_engine import embed_local
from croquis.bulk.places import EmbedError, open_place
from croquis.bulk.ray_engine import RayEngine, ray_session
from croquis.bulk.run import embed
from croquis.bulk.shard_embedder import ShardJob, embed_shard
from croquis.bulk.shard_file import ShardRecord
from croquis.bulk.shards import Shard, find_shards
from croquis.bundle import Bundle
from tests.support.catalogues.sharded_catalogue import SHARDS, contents, write_catalogue, write_tiny_bundle

pytestmark = [pytest.mark.scale, pytest.mark.slow, pytest.mark.usefixtures("cluster")]
PATIENCE = 120  # seconds
World = tuple[Path, Bundle]  # the folder of a catalogue, and a bundle


class Ray:
    """A Ray of one CPU, to which nodes are added that can be killed; all on this machine."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        sooner = {"health_check_period_ms": 1000, "health_check_failure_threshold": 2}
        settings = {"num_cpus": 1, "include_dashboard": False, "_system_config": sooner}
        self._cluster = Cluster(initialize_head=True, head_node_args=settings)
        self.head = self._cluster.head_node
        self.address = str(self._cluster.address)

    def add_node(self) -> Any:
        return self._cluster.add_node(num_cpus=1)

    def kill_node(self, node: Any) -> None:
        """kill -9 of its raylet and of its task, which would outlive it by a second or two; then of what is left of it."""
        for pid in (task_of(node), raylet_of(node)):
            os.kill(pid, signal.SIGKILL)
        self._cluster.remove_node(node, allow_graceful=False)

    def stop(self) -> None:
        self._cluster.shutdown()


def raylet_of(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)


def task_of(node: Any) -> int:
    """The process of a node's task, which may be starting still."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := tasks_of(node):
            return found[0]
        time.sleep(0.02)
    raise AssertionError(f"no task starts on {node}")


def tasks_of(node: Any) -> list[int]:
    """Among the children of its raylet."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                title = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if parent == raylet_of(node) and b"ray::slow" in title:
                found.append(int(entry.name))
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("ray-embed")
    catalog = write_catalogue(folder / "catalog")
    return catalog.folder, write_tiny_bundle(folder / "bundle", catalog, "pq")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Ray]:
    """Connected, so that the engines of all tests use the same connection."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed: pip install '.[scale]'")
    with pytest.MonkeyPatch.context() as patch:  # before Ray is imported, which is when it reads them
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", os.urandom(32).hex())
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # 15 by default, which on a busy machine is for ever
        started = Ray()
        try:
            with ray_session(1, started.address):
                yield started
        finally:
            started.stop()


def slow(job: ShardJob, shard: Shard) -> ShardRecord:
    """Lasts long enough to be killed, and leaves a file for each try."""
    (job.bundle.parent / f"try-{shard.name}-{os.getpid()}-{time.monotonic_ns()}").touch()
    time.sleep(1)
    return embed_shard(job, shard)


def hanging(_job: ShardJob, _shard: Shard) -> ShardRecord:
    time.sleep(600)
    raise AssertionError


def dying(job: ShardJob, shard: Shard) -> ShardRecord:
    """A certain shard ends the process."""
    if shard.name == "part-00002.parquet":
        os._exit(9)
    return embed_shard(job, shard)


def test_killed_processes_and_nodes_change_no_byte(
    world: World, cluster: Ray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task on each of two nodes; the one is killed after a shard, and the other with its node after two more."""
    folder, bundle = world
    monkeypatch.setattr(ray_engine, "embed_shard", slow)
    node = cluster.add_node()
    records: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        records.append((done, total))
        if len(records) == 2:
            os.kill(task_of(cluster.head), signal.SIGKILL)
        if len(records) == 4:
            cluster.kill_node(node)

    # Four at a time, so that some wait for a CPU and a node that is free takes the next.
    killed = embed(bundle, str(folder), str(tmp_path / "ray"), RayEngine(4), progress=progress)
    alone = embed(bundle, str(folder), str(tmp_path / "local"), embed_local)
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")
    assert killed.records == alone.records
    assert len(records) == SHARDS + 1
    assert len(list(bundle.folder.parent.glob("try-*"))) >= SHARDS + 2


def test_a_shard_that_ends_every_process_is_named(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, bundle = world
    monkeypatch.setattr(ray_engine, "embed_shard", dying)
    with pytest.raises(EmbedError, match=r"every process ended at part-00002\.parquet.*the same command goes on"):
        embed(bundle, str(folder), str(tmp_path / "out"), RayEngine(1, retries=0))
    assert sorted(path.name for path in (tmp_path / "out").glob("part*")) == [
        "part-00000.parquet",
        "part-00001.parquet",
    ]


def test_what_a_task_finds_wrong_is_said_as_it_is(world: World, tmp_path: Path) -> None:
    folder, bundle = world
    other = ShardJob(bundle.folder, "f" * 64, f"file://{folder}", f"file://{tmp_path}", {})
    shards = find_shards(open_place(str(folder)), {})
    with pytest.raises(EmbedError, match=rf"is the bundle {bundle.hash[:12]} here, not ffffffffffff: copy it again"):
        list(RayEngine(1)(other, shards))


def test_where_no_shard_is_finished_the_run_ends_and_says_why(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One has the only CPU and hangs, two have none: Ray itself would wait for ever."""
    folder, bundle = world
    monkeypatch.setattr(ray_engine, "embed_shard", hanging)
    with pytest.raises(
        EmbedError,
        match=r"no shard was finished for 1 s, .* are part-00000.*part-00002\.parquet; the cluster has 1 CPU",
    ):
        embed(bundle, str(folder), str(tmp_path / "out"), RayEngine(3, patience=1.0))


def test_a_ray_of_our_own_asks_for_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    asked: dict[str, Any] = {}
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **options: asked.update(options))
    monkeypatch.setattr(ray, "shutdown", lambda: asked.update(ended=True))
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with ray_session(3, None):
        assert (asked["address"], asked["num_cpus"], asked["include_dashboard"]) == ("local", 3, False)
        assert (os.environ["RAY_AUTH_MODE"], os.environ["RAY_USAGE_STATS_ENABLED"]) == ("token", "0")
    assert asked["ended"]


@pytest.mark.parametrize("address", ["127.0.0.1:{}", "nowhere", "127.0.0.1:port", "127.0.0.1:99999"])
def test_where_no_ray_answers_nobody_waits_for_one(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    with (
        pytest.raises(EmbedError, match=r"no Ray answers at .* leave --address out"),
        ray_session(1, address.format(free)),
    ):
        pass
