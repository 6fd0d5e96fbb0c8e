"""The engine `ray`: actors that hold the ONNX session each, and a shard at a time for each of them.

Plain actors, not Ray Data. A shard is the unit here in any case: it is resumed by, and written whole or not at all. What
Ray Data would add, streaming blocks between operators, is what hangs without an error when its read and write tasks find no
CPU that is free of actors (ray#44687); nothing is moved between actors here, they read and write their shards themselves.
The loop that hands shards out, tries again and gives up is this file, and an engine's silence has an end in it.

- An actor that ends (killed, out of memory, its node gone) is replaced, and its shard goes to one that works. A shard is
  tried `retries` times more; then the run stops and names it.
- Shards go only to actors that have opened the bundle. One for which the cluster has no room holds nothing up.
- When no shard is finished for `patience` seconds, the run stops and says what to do. A watchdog outside the loop ends the
  process when a call of Ray does not return at all.
- A Ray of our own has two CPUs more than actors. Its dashboard is off, and its token authentication on: Ray listens on
  every address of the machine.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from croquis.bulk.places import EmbedError, open_place
from croquis.bulk.shard_embedder import ShardEmbedder, ShardJob
from croquis.bulk.shard_file import ShardRecord
from croquis.bulk.shards import Shard
from croquis.bulk.watchdog import Watchdog
from croquis.bundle import BundleError

logger = logging.getLogger(__name__)

SPARE_CPUS = 2
OBJECT_STORE_BYTES = 100_000_000  # nothing but records of shards goes through it
POLL = 1.0  # seconds
REACH = 10.0  # seconds to connect to a head
GRACE = 120.0  # seconds beyond the patience for one call of Ray, its start included
ADVICE = "the finished shards are kept, and the same command goes on; --engine local needs no Ray"


class ShardActor:
    """A process of Ray's with a bundle's encoder."""

    def open(self, job: ShardJob) -> None:
        self._embedder = ShardEmbedder(job)

    def embed(self, shard: Shard) -> ShardRecord:
        return self._embedder.embed(shard)


class RayEngine:
    """Embeds shards by actors.

    Args:
        actors: processes, one CPU each.
        patience: seconds within which a shard is finished somewhere: longer than the largest takes.
        retries: further tries of a shard whose actor ended.
        address: HOST:PORT of a cluster's head; None for a Ray on this machine that ends with the run. Bundle and
            folders are at the same place on each of its nodes, and this project is installed there.

    Raises:
        EmbedError: when Ray is not installed or not reached, the folders are this process's own, or the run gave up.
    """

    def __init__(self, actors: int, patience: float = 900.0, retries: int = 3, address: str | None = None) -> None:
        if actors < 1 or patience <= 0 or retries < 0:
            raise EmbedError(
                f"{actors} actors, patience {patience}, {retries} retries: at least 1, above 0, at least 0"
            )
        self._actors = actors
        self._patience = patience
        self._retries = retries
        self._address = address

    def __call__(self, job: ShardJob, shards: Sequence[Shard]) -> Iterator[ShardRecord]:
        for uri in (job.source, job.to):
            if open_place(uri).private:
                raise EmbedError(
                    f"{uri} is in the memory of one process, and Ray's actors are others: use --engine local"
                )
        message = f"error: Ray does not answer for {self._patience + GRACE:.0f} s: {ADVICE}"
        with (
            Watchdog(self._patience + GRACE, message) as watchdog,
            ray_session(self._actors, self._address) as ray,
            WorkerPool(ray, job, shards, self._retries) as crew,
        ):
            crew.start_workers(min(self._actors, len(shards)))
            last = time.monotonic()
            while not crew.done:
                watchdog.turn()
                record = crew.turn()
                if record is not None:
                    last = time.monotonic()
                    yield record
                elif time.monotonic() - last > self._patience:
                    raise EmbedError(f"no shard was finished for {self._patience:.0f} s: {crew.state()}; {ADVICE}")


class WorkerPool:
    """The actors of a run, what they are at, and the shards that nobody is at; its actors end with the block.

    Args:
        ray: the module, connected.
    """

    def __init__(self, ray: Any, job: ShardJob, shards: Sequence[Shard], retries: int) -> None:
        self._ray = ray
        self._job = job
        self._retries = retries
        self._kind = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(ShardActor)
        self._waiting = deque(shards)
        self._idle: list[Any] = []
        self._calls: dict[Any, tuple[Any, Shard | None]] = {}  # None: the bundle is being opened
        self._losses: Counter[str] = Counter()  # by what the actor was at

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        for actor in [*self._idle, *(actor for actor, _ in self._calls.values())]:
            self._ray.kill(actor)

    @property
    def done(self) -> bool:
        return not self._waiting and not any(shard for _, shard in self._calls.values())

    def start_workers(self, count: int) -> None:
        for _ in range(count):
            actor = self._kind.remote()
            self._calls[actor.open.remote(self._job)] = (actor, None)

    def turn(self) -> ShardRecord | None:
        """Waits a little for one call to end, and gives its actor the next shard; the record of a shard that was finished.

        Raises:
            EmbedError: when a shard cannot be embedded, or has ended too many actors.
        """
        ended, _ = self._ray.wait(list(self._calls), num_returns=1, timeout=POLL)
        if not ended:
            return None
        actor, shard = self._calls.pop(ended[0])
        try:
            record: ShardRecord | None = self._ray.get(ended[0])
        except self._ray.exceptions.RayTaskError as error:
            raise _plain(error.cause) from error
        except self._ray.exceptions.RayError as error:
            self._lose(actor, shard, error)
            return None
        self._losses[name_of(shard)] = 0  # so that only starts that fail one after another add up
        self._idle.append(actor)
        self._assign()
        return record

    def state(self) -> str:
        """Who is at what, and which CPUs there are, for an error."""
        at = [shard.name for _, shard in self._calls.values() if shard]
        opening = len(self._calls) - len(at)
        cpus = self._ray.cluster_resources().get("CPU", 0)
        return (
            f"{len(at)} actors are at work ({', '.join(at) or 'none'}), {opening} have not started; the cluster has "
            f"{cpus:g} CPUs, and each actor needs one: give it more, or raise --patience where a shard takes so long"
        )

    def _assign(self) -> None:
        while self._waiting and self._idle:
            actor, shard = self._idle.pop(), self._waiting.popleft()
            self._calls[actor.embed.remote(shard)] = (actor, shard)

    def _lose(self, actor: Any, shard: Shard | None, error: Exception) -> None:
        name = name_of(shard)
        self._losses[name] += 1
        reason = " ".join(str(error).split())
        if self._losses[name] > self._retries:
            raise EmbedError(f"{self._losses[name]} actors ended at {name}, the last one so: {reason}; {ADVICE}")
        logger.warning("an actor ended at %s, which is tried again: %.300s", name, reason)
        self._ray.kill(actor)
        if shard is not None:
            self._waiting.appendleft(shard)
        self._assign()
        if self._waiting:
            self.start_workers(1)


@contextmanager
def ray_session(actors: int, address: str | None) -> Iterator[Any]:
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
    own: dict[str, Any] = {"num_cpus": actors + SPARE_CPUS, "object_store_memory": OBJECT_STORE_BYTES}
    try:
        ray.init(
            address=address or "local",
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.WARNING,
            **{} if address else own,
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
    """Ray itself tries an address where nobody answers for minutes on end.

    Raises:
        EmbedError: when nobody does.
    """
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), REACH).close()
    except (OSError, ValueError, OverflowError) as error:
        raise EmbedError(
            f"no Ray answers at {address!r} ({error}): give HOST:PORT of a head (ray start --head), or leave --address out"
        ) from error


def name_of(shard: Shard | None) -> str:
    """What an actor is at."""
    return "its start" if shard is None else shard.name


def _plain(cause: BaseException) -> Exception:
    """An error of an actor as the caller knows it."""
    if isinstance(cause, EmbedError | BundleError | OSError):
        return cause
    return EmbedError(f"an actor failed: {type(cause).__name__}: {cause}")
