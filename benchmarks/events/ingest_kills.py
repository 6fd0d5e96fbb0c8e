"""Kill campaign: events in, consumers killed with -9, the broker restarted; then the store is held against the plan.

    python -m benchmarks.events.ingest_kills --bundle models/bundles/siamese --events 10000

1 % of the events are bad and 5 % come out of order. NATS is fetched by `python -m benchmarks.events.event_engines`. The
result is printed and written to reports/benchmarks/ingest_kills.json; the command fails when an item is not at its newest
version, is there twice, or a bad event is missing in the dead-letter stream or present in the store.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from benchmarks.events.event_engines import missing, nats_server, running
from benchmarks.events.ingest_plan import EventPlan, compare, faultless, plan
from croquis.cli import main as croquis
from croquis.events.nats_stream import NatsStream
from croquis.events.stream import StreamError, open_stream
from croquis.files import write_json
from croquis.search.local_retriever import LocalRetriever
from croquis.store.versions import open_stores

REPORT = Path("reports/benchmarks/ingest_kills.json")
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["croquis.cli.commands.event_commands"])
STREAM = "products"
IN_BATCH = 256
IDLE = 1.5  # times --redeliver without an event end the last consumer


@dataclass(frozen=True)
class Campaign:
    """How often what is killed.

    Attributes:
        kills: of consumers, at moments drawn up to `longest` seconds after they began to work.
        restarts: of the broker, kill -9 too, while a consumer works.
        redeliver: seconds after which a message that was not done comes again; longer than a batch takes.
    """

    bundle: Path
    params: Path
    kills: int
    restarts: int
    longest: float
    redeliver: float
    seed: int

    def run(self, made: EventPlan, folder: Path, uri: str) -> dict[str, Any]:
        """Sends, kills, lets one consumer finish, and compares; returns the figures."""
        moments = random.Random(self.seed + 1)
        restarts = set(moments.sample(range(self.kills), self.restarts))
        with running(nats_server(folder)) as broker:
            stream = f"nats://127.0.0.1:{broker.port}/{STREAM}"
            send(stream, made.bodies)
            start = time.monotonic()
            for kill in range(self.kills):
                with self.consumer(stream, uri, folder) as consumer:
                    time.sleep(moments.uniform(0, self.longest))
                    if kill in restarts:
                        broker.kill()
                        broker.start()
                        time.sleep(moments.uniform(0, self.longest))
            with self.consumer(stream, uri, folder, "--until-idle", str(IDLE * self.redeliver)) as consumer:
                consumer.finish()
            seconds = time.monotonic() - start
            dead = dead_letters(stream)
        stores, retriever = open_stores(uri), LocalRetriever.load(self.bundle)
        faults = compare(made, stores.open(retriever.bundle.hash), dead, retriever)
        stores.close()
        figures = {
            "events": len(made.bodies),
            "items": len(made.newest),
            "bad": len(made.bad),
            "dead_letters": len(dead),
        }
        times = {"kills": self.kills, "restarts": self.restarts, "seconds": round(seconds)}
        return {**figures, **times, "last_consumer": consumer.told.splitlines()[-1], **faults}

    def consumer(self, stream: str, uri: str, folder: Path, *more: str) -> Consumer:
        options = [
            "--from",
            stream,
            "--to",
            uri,
            "--bundle",
            str(self.bundle),
            "--params",
            str(self.params),
            "--create",
        ]
        options += ["--metrics-port", "0", "--redeliver", str(self.redeliver), *more]
        return Consumer(folder / f"consumer-{time.monotonic_ns()}.log", options)


class Consumer:
    """`croquis events consume` in a process that has its imports already; killed with -9 at the end of the block."""

    def __init__(self, log: Path, options: Sequence[str]) -> None:
        self._log = log
        self._process = FORKS.Process(target=consume, args=(str(log), list(options)))

    def __enter__(self) -> Self:
        """Waits until it has begun to work."""
        self._log.touch()
        self._process.start()
        while "->" not in self.told:
            if self._process.exitcode is not None:
                raise RuntimeError(f"the consumer does not start: {self.told[-3000:]}")
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()

    @property
    def told(self) -> str:
        return self._log.read_text()

    def finish(self) -> None:
        self._process.join()
        if self._process.exitcode:
            raise RuntimeError(f"the consumer ended with {self._process.exitcode}: {self.told[-3000:]}")


def consume(log: str, options: list[str]) -> None:
    with Path(log).open("ab", buffering=0) as stream:
        for number in (1, 2):
            os.dup2(stream.fileno(), number)
        croquis(["events", "consume", *options])
        sys.stdout.flush()


def send(uri: str, bodies: Sequence[tuple[str, bytes]]) -> None:
    stream = open_stream(uri)
    for start in range(0, len(bodies), IN_BATCH):
        stream.send(bodies[start : start + IN_BATCH])
    stream.close()


def dead_letters(uri: str) -> list[tuple[bytes, str]]:
    stream = open_stream(uri)
    if not isinstance(stream, NatsStream):
        raise StreamError(f"{uri} is not of NATS")
    found = stream.dead()
    stream.close()
    return found


def main() -> None:
    asked = argparse.ArgumentParser(prog="python -m benchmarks.events.ingest_kills", description=__doc__)
    asked.add_argument("--bundle", type=Path, default=Path("models/bundles/siamese"))
    asked.add_argument("--params", type=Path, default=Path("params.yaml"))
    asked.add_argument("--events", type=int, default=10_000)
    asked.add_argument("--bad", type=float, default=0.01)
    asked.add_argument("--disorder", type=float, default=0.05)
    asked.add_argument("--kills", type=int, default=20)
    asked.add_argument("--restarts", type=int, default=2)
    asked.add_argument("--longest", type=float, default=4.0, help="seconds that a consumer works before it is killed")
    asked.add_argument("--redeliver", type=float, default=8.0, help="seconds; longer than a batch of 64 takes")
    asked.add_argument("--store", help="URI of the store; FAISS in a new folder by default")
    asked.add_argument("--seed", type=int, default=0)
    options = asked.parse_args()
    if "nats" in missing():
        sys.exit(f"error: {missing()['nats']}")
    with tempfile.TemporaryDirectory() as name:
        made = plan(options.events, options.bad, options.disorder, options.seed)
        how = {
            name: getattr(options, name)
            for name in ("bundle", "params", "kills", "restarts", "longest", "redeliver", "seed")
        }
        campaign = Campaign(**how)
        figures = campaign.run(made, Path(name), options.store or f"faiss:{name}/store")
    write_json(REPORT, figures)
    print(json.dumps(figures, indent=2))
    if not faultless(figures):
        sys.exit("error: the store is not as it must be")


if __name__ == "__main__":
    main()
