"""Kill campaign: events in, consumers killed with -9, the broker troubled; then the store is held against the plan.

    python -m tests.support.events.kill_campaign nats --bundle models/bundles/siamese --events 10000
    python -m tests.support.events.kill_campaign tansu --bundle models/bundles/siamese --events 10000

1 % of the events are bad and 5 % come out of order. NATS is killed with -9 and started again; Tansu has only its memory, and
is frozen for longer than a consumer may be silent. The command prints the figures, and fails when an item is not at its
newest version, is there twice, or a bad event is missing in the dead-letter stream or present in the store.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import re
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from croquis.cli import main as croquis
from croquis.events.stream import DEAD, Message, open_stream
from croquis.search.local_retriever import LocalRetriever
from croquis.store.versions import open_stores
from tests.support.engine_servers import Server, broker_server, free_port, running
from tests.support.events.event_plan import EventPlan, compare, faultless, plan

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["croquis.cli.commands.event_commands"])
IN_BATCH = 256
SILENCE = 12.0  # seconds: a Kafka consumer that is silent for 10 has left its group
IDLE = {"nats": 12.0, "tansu": 20.0}  # seconds without an event end the last consumer; longer than what was lost takes
PATIENCE = 120.0  # seconds until a consumer has done its first batch
COUNTED = re.compile(rb'^croquis_ingest_events_total\{outcome="\w+"\} ([0-9.e+]+)$', re.MULTILINE)


@dataclass(frozen=True)
class Campaign:
    """How often what is killed.

    Attributes:
        kills: of consumers, at moments drawn up to `longest` seconds after their first batch.
        troubles: of the broker, while a consumer works.
        batch: events that a consumer embeds together.
        redeliver: seconds after which NATS sends a message again that was not done; longer than a batch takes.
    """

    bundle: Path
    params: Path
    kills: int
    troubles: int
    longest: float
    batch: int
    redeliver: float
    seed: int

    def run(self, made: EventPlan, kind: str, folder: Path, uri: str) -> dict[str, Any]:
        """Sends, kills, lets one consumer finish, and compares; returns the figures.

        Args:
            kind: of the broker, `nats` or `tansu`.
            uri: of an empty store.
        """
        moments = random.Random(self.seed + 1)
        troubles = set(moments.sample(range(self.kills), self.troubles))
        with running(broker_server(kind, folder)) as broker:
            send(broker.uri, made.bodies)
            start = time.monotonic()
            for kill in range(self.kills):
                with self.consumer(broker.uri, uri, folder) as consumer:
                    consumer.wait_for_work()
                    time.sleep(moments.uniform(0, self.longest))
                    if kill in troubles:
                        trouble(kind, broker)
                        time.sleep(moments.uniform(0, self.longest))
            with self.consumer(broker.uri, uri, folder, "--until-idle", str(IDLE[kind])) as consumer:
                consumer.finish()
            seconds = time.monotonic() - start
            dead = dead_letters(broker.uri)
        stores, retriever = open_stores(uri), LocalRetriever.load(self.bundle)
        faults = compare(made, [stores.open(retriever.bundle.hash)], dead, retriever)
        stores.close()
        figures = {
            "events": len(made.bodies),
            "items": len(made.newest),
            "bad": len(made.bad),
            "dead_letters": len(dead),
        }
        times = {"kills": self.kills, "troubles": self.troubles, "seconds": round(seconds)}
        return {**figures, **times, "last_consumer": consumer.told.splitlines()[-1], **faults}

    def consumer(self, stream: str, uri: str, folder: Path, *more: str) -> Consumer:
        options = {
            "from": stream,
            "to": uri,
            "bundle": self.bundle,
            "params": self.params,
            "batch": self.batch,
            "redeliver": self.redeliver,
        }
        return Consumer(folder / f"consumer-{time.monotonic_ns()}.log", options, *more)


def trouble(kind: str, broker: Server) -> None:
    """The worst that a broker bears: NATS keeps its streams in files, Tansu in memory."""
    if kind == "nats":
        broker.kill()
        broker.start()
    else:
        broker.freeze(SILENCE)


class Consumer:
    """`croquis events consume` in a process that has its imports already; killed with -9 at the end of the block."""

    def __init__(self, log: Path, options: Mapping[str, object], *more: str) -> None:
        self._log = log
        self._port = free_port()
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        arguments = [*words, "--create", "--metrics-port", str(self._port), *more]
        self._process = FORKS.Process(target=consume, args=(str(log), arguments))

    def __enter__(self) -> Self:
        """Waits until it has begun to listen."""
        self._log.touch()
        self._process.start()
        while "->" not in self.told:
            self._check()
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()
        self._process.join()

    @property
    def told(self) -> str:
        return self._log.read_text()

    @property
    def events(self) -> int:
        """That it has done so far."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=PATIENCE) as answer:
            return int(sum(float(count) for count in COUNTED.findall(answer.read())))

    def wait_for_work(self) -> None:
        """Returns after its first batch, or when none has come for `PATIENCE` seconds."""
        deadline = time.monotonic() + PATIENCE
        while not self.events and time.monotonic() < deadline:
            self._check()
            time.sleep(0.02)

    def finish(self) -> None:
        self._process.join()
        self._check()

    def _check(self) -> None:
        if self._process.exitcode:
            raise RuntimeError(f"the consumer ended with {self._process.exitcode}: {self.told[-3000:]}")


def consume(log: str, options: list[str]) -> None:
    with Path(log).open("ab", buffering=0) as stream:
        for number in (1, 2):
            os.dup2(stream.fileno(), number)
        code = croquis(["events", "consume", *options])
        sys.stdout.flush()
        sys.exit(code)


def send(uri: str, bodies: Sequence[tuple[str, bytes]]) -> None:
    stream = open_stream(uri)
    for start in range(0, len(bodies), IN_BATCH):
        stream.send(bodies[start : start + IN_BATCH])
    stream.close()


def dead_letters(uri: str) -> list[tuple[bytes, str]]:
    """Every bad event with its reason, read as any stream is."""
    stream, found = open_stream(f"{uri}{DEAD}"), []
    deadline = time.monotonic() + IDLE["tansu"]
    while time.monotonic() < deadline:
        if messages := stream.fetch(IN_BATCH, 1.0):
            found += [(message.body, reason_of(message)) for message in messages]
            deadline = time.monotonic() + 5.0
    stream.close()
    return found


def reason_of(message: Message) -> str:
    """The header `reason`, which NATS has as text and Kafka as bytes."""
    headers = message.handle.headers
    reason = dict((headers() if callable(headers) else headers) or {}).get("reason", "")
    return reason.decode() if isinstance(reason, bytes) else reason


def main() -> None:
    asked = argparse.ArgumentParser(
        prog="python -m tests.support.events.kill_campaign",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    asked.add_argument("broker", choices=("nats", "tansu"))
    asked.add_argument("--bundle", type=Path, default=Path("models/bundles/siamese"))
    asked.add_argument("--params", type=Path, default=Path("params.yaml"))
    asked.add_argument("--events", type=int, default=10_000)
    asked.add_argument("--kills", type=int, default=20)
    asked.add_argument("--troubles", type=int, default=2)
    asked.add_argument("--longest", type=float, default=4.0, help="seconds that a consumer works before it is killed")
    asked.add_argument("--batch", type=int, default=64)
    asked.add_argument("--redeliver", type=float, default=8.0, help="seconds; longer than a batch takes")
    asked.add_argument("--seed", type=int, default=0)
    options = vars(asked.parse_args())
    kind, events = options.pop("broker"), options.pop("events")
    with tempfile.TemporaryDirectory() as name:
        made = plan(events, bad=0.01, disorder=0.05, seed=options["seed"])
        figures = Campaign(**options).run(made, kind, Path(name), f"faiss:{name}/store")
    print(json.dumps(figures, indent=2))
    if not faultless(figures):
        sys.exit("error: the store is not as it must be")


if __name__ == "__main__":
    main()
