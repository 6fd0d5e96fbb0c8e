"""The engine `ray`: a task of Ray for each shard, on this machine or on a cluster.

Ray sees to what it can: a task whose process or node ends is tried again elsewhere, and its processes keep the bundle's net
open from one shard to the next. Two ends to waiting are ours: when no shard is finished for `patience` seconds the run stops
and says what to do, and where a call of Ray does not return at all the process ends with its traceback.

Not Ray Data: a shard is the unit here in any case, resumed by, and written whole or not at all, and nothing is moved between
processes. A Ray of our own has no dashboard, and its token authentication on: Ray listens on every address of the machine.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import socket
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from croquis.bulk.places import EmbedError, open_place
from croquis.bulk.shard_embedder import ShardJob, embed_shard
from croquis.bulk.shard_file import ShardRecord
from croquis.bulk.shards import Shard
from croquis.bundle import BundleError

OBJECT_STORE_BYTES = 100_000_000  # nothing but records of shards goes through it
STDERR = 2
REACH = 10.0  # seconds to connect to a head
GRACE = 120.0  # seconds beyond the patience for one call of Ray, its start included
ADVICE = "the finished shards are kept, and the same command goes on; --engine local needs no Ray"


@dataclass(frozen=True)
class RayEngine:
    """Embeds shards by tasks.

    Args:
        jobs: tasks at a time, one CPU each.
        patience: seconds within which any process must finish a shard: longer than the largest takes.
        retries: further tries of a shard whose process or node ended.
        address: HOST:PORT of a cluster's head; None for a Ray on this machine that ends with the run. Bundle and
            folders are at the same place on each of its nodes, and this project is installed there.

    Raises:
        EmbedError: when Ray is not installed or not reached, the folders are this process's own, or the run gave up.
    """

    jobs: int
    patience: float = 900.0
    retries: int = 3
    address: str | None = None

    def __call__(self, job: ShardJob, shards: Sequence[Shard]) -> Iterator[ShardRecord]:
        for uri in (job.source, job.to):
            if open_place(uri).private:
                raise EmbedError(f"{uri} is in the memory of one process, and Ray's are others: use --engine local")
        self._expect_an_answer()
        try:
            with ray_session(self.jobs, self.address) as ray:
                yield from self._embed(ray, job, shards)
        finally:
            faulthandler.cancel_dump_traceback_later()

    def _embed(self, ray: Any, job: ShardJob, shards: Sequence[Shard]) -> Iterator[ShardRecord]:
        task = ray.remote(num_cpus=1, max_retries=self.retries)(embed_shard)
        waiting = deque(shards)
        calls: dict[Any, Shard] = {}
        try:
            while waiting or calls:
                while waiting and len(calls) < self.jobs:
                    shard = waiting.popleft()
                    calls[task.remote(job, shard)] = shard
                ended, _ = ray.wait(list(calls), num_returns=1, timeout=self.patience)
                if not ended:
                    raise EmbedError(self._silence(ray, calls.values()))
                yield _record(ray, ended[0], calls.pop(ended[0]))
                self._expect_an_answer()
        finally:
            for call in calls:
                ray.cancel(call, force=True)

    def _expect_an_answer(self) -> None:
        """Ends the process with its traceback when it does not come here again in time: no timeout of ours is looked at
        while a call of Ray waits."""
        faulthandler.dump_traceback_later(self.patience + GRACE, exit=True, file=STDERR)

    def _silence(self, ray: Any, at: Iterable[Shard]) -> str:
        names = ", ".join(shard.name for shard in at)
        cpus = ray.cluster_resources().get("CPU", 0)
        return (
            f"no shard was finished for {self.patience:.0f} s, begun or waiting for a CPU are {names}; the cluster has "
            f"{cpus:g} CPUs, and each shard needs one: give it more, or raise --patience where one takes longer; {ADVICE}"
        )


def _record(ray: Any, call: Any, shard: Shard) -> ShardRecord:
    """What a task that has ended returns.

    Raises:
        EmbedError, BundleError, OSError: what it found wrong, or that its process ended too often.
    """
    try:
        record: ShardRecord = ray.get(call)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, EmbedError | BundleError | OSError):
            raise error.cause from error
        cause = f"{type(error.cause).__name__}: {error.cause}"
        raise EmbedError(f"{shard.name} cannot be embedded: {cause}") from error
    except ray.exceptions.RayError as error:
        reason = " ".join(str(error).split())
        raise EmbedError(f"every process ended at {shard.name}, the last one so: {reason:.500}; {ADVICE}") from error
    return record


@contextmanager
def ray_session(jobs: int, address: str | None) -> Iterator[Any]:
    """The module `ray`, connected; a connection that is there already is used, and kept.

    Raises:
        EmbedError: when Ray is not installed, does not start, or does not let us in.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_AUTH_MODE"] = "token"
    try:
        import ray
    except ImportError as error:
        raise EmbedError(f"--engine ray needs Ray ({error}): pip install '.[scale]', or use --engine local") from error
    if ray.is_initialized():
        yield ray
        return
    if address:
        check_reach(address)
    own: dict[str, Any] = {"num_cpus": jobs, "object_store_memory": OBJECT_STORE_BYTES, "include_dashboard": False}
    try:
        ray.init(
            address=address or "local", log_to_driver=False, logging_level=logging.WARNING, **{} if address else own
        )
    except (ray.exceptions.RayError, ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise EmbedError(
            f"Ray does not start or is not reached at {address or 'this machine'}: {error}; {ADVICE}"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def check_reach(address: str) -> None:
    """Ray itself retries an address without an answer for minutes.

    Raises:
        EmbedError: when there is no answer.
    """
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), REACH).close()
    except (OSError, ValueError, OverflowError) as error:
        raise EmbedError(
            f"no Ray answers at {address!r} ({error}): give HOST:PORT of a head (ray start --head), or leave --address out"
        ) from error
