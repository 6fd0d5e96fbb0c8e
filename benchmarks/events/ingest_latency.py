"""How long it takes from an event to the first search that finds it, and how many events a second go into a store.

    python -m benchmarks.events.ingest_latency --bundle models/bundles/siamese

NATS, a server on a store that holds the bundle's gallery, and clients, all on this machine: with FAISS the server takes the
events itself (`croquis serve --ingest`), with Milvus `croquis events consume` does. Each product is published alone,
at a moment drawn at random, and searched by its own picture again and again until it is among the results. Then many are
published at once, and the time until the last of them is committed gives the rate. NATS comes by `make engines`, Milvus by
`python -m tests.support.store.milvus_server`. The result is printed and written to reports/benchmarks/ingest_latency.json.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.studies import PROJECT
from croquis.bundle import Bundle
from croquis.cli.commands.store_versions import opened
from croquis.events.event import event_body
from croquis.events.event_command import ConsumeOptions
from croquis.events.stream import Stream, open_stream
from croquis.files import write_json
from croquis.serving.client import Client
from croquis.serving.server_settings import IngestSettings
from croquis.store.fill import fill
from tests.support.engine_servers import broker_server, free_port, running
from tests.support.events.event_plan import drawn, upsert
from tests.support.events.kill_campaign import send
from tests.support.store.milvus_server import milvus_server, why_not

REPORT = Path("reports/benchmarks/ingest_latency.json")
K = 10
LONGEST_GAP = 0.5  # seconds between two products, at most
POLL = 0.005  # seconds between two searches
PATIENCE = 120  # seconds until a process answers
APPLIED = re.compile(rb'croquis_ingest_events_total\{outcome="applied"\} ([0-9.e+]+)')
WARM = 3  # products that are not counted: the first call of a net or an engine is slow


@dataclass(frozen=True)
class Running:
    """A server over a store, and where its consumer counts."""

    address: str
    metrics: str
    stream: str

    @property
    def applied(self) -> int:
        with urllib.request.urlopen(self.metrics, timeout=PATIENCE) as answer:
            found = APPLIED.search(answer.read())
        return int(float(found[1])) if found else 0


def measure(options: argparse.Namespace, store: str, own_ingest: bool, folder: Path) -> dict[str, Any]:
    """The figures of one kind of store.

    Args:
        store: URI of an empty one.
        own_ingest: whether the server takes the events itself.
        folder: where the broker keeps them.
    """
    with running(broker_server("nats", folder)) as broker:
        with opened(store) as stores:
            stores.publish(fill(stores, Bundle.load(options.bundle)).name)
        with serving(options, store, own_ingest, broker.uri) as started:
            figures = {"latency": latency(options, started)}
            if options.burst:
                figures["rate"] = {"batch": batch_of(options, own_ingest), **rate(options, started)}
    return figures


def latency(options: argparse.Namespace, started: Running) -> dict[str, Any]:
    """Seconds from before an event is published to after the first search that finds its product."""
    rng, seconds, searches = random.Random(options.seed), [], []
    stream = open_stream(started.stream)
    with Client(started.address, timeout=PATIENCE) as client:
        for number in range(WARM + options.products):
            time.sleep(rng.uniform(0, LONGEST_GAP))
            took, asked = found_after(stream, client, f"new-{number}", number)
            if number >= WARM:
                seconds.append(took)
                searches.append(asked)
    stream.close()
    quantiles = {f"p{p}": round(float(np.percentile(seconds, p)), 3) for p in (50, 95)}
    return {"products": len(seconds), **quantiles, "max": round(max(seconds), 3), "searches": sum(searches)}


def found_after(stream: Stream, client: Client, item_id: str, number: int) -> tuple[float, int]:
    """Seconds until the product of picture `number` is found, and how many searches that took.

    Raises:
        RuntimeError: when it is not found in `PATIENCE` seconds.
    """
    picture, begun, searches = drawn(number), time.perf_counter(), 0
    stream.send([(item_id, event_body(upsert(item_id, 1, number)))])
    while time.perf_counter() - begun < PATIENCE:
        results = client.search(picture, k=K, describe=False, rerank=False).results
        searches += 1
        if any(result.item_id == item_id for result in results):
            return time.perf_counter() - begun, searches
        time.sleep(POLL)
    raise RuntimeError(f"{item_id} was not found in {PATIENCE} s")


def rate(options: argparse.Namespace, started: Running) -> dict[str, Any]:
    """Events a second from the first one published to the last one committed, one small picture each."""
    bodies = [
        (f"many-{n}", event_body(upsert(f"many-{n}", 1, options.products + WARM + n))) for n in range(options.burst)
    ]
    before, begun = started.applied, time.perf_counter()
    send(started.stream, bodies)
    while (done := started.applied - before) < options.burst:
        if time.perf_counter() - begun > PATIENCE + options.burst:
            raise RuntimeError(f"{done} of {options.burst} events were applied")
        time.sleep(0.05)
    seconds = time.perf_counter() - begun
    return {"events": options.burst, "events_per_second": round(options.burst / seconds, 1)}


def batch_of(options: argparse.Namespace, own_ingest: bool) -> int:
    """Events that the consumer embeds together."""
    usual: int = IngestSettings("").batch if own_ingest else ConsumeOptions.batch
    return options.batch or usual


@contextlib.contextmanager
def serving(options: argparse.Namespace, store: str, own_ingest: bool, stream: str) -> Iterator[Running]:
    common = ["--bundle", str(options.bundle), "--params", str(options.params)]
    batch = str(batch_of(options, own_ingest))
    own = ["--ingest", stream, "--ingest-batch", batch] if own_ingest else []
    with (
        process(["serve", *common, "--store", store, "--port", "0", *own], r"http://127\.0\.0\.1:\d+") as address,
        contextlib.ExitStack() as beside,
    ):
        metrics = f"{address}/metrics"
        if not own_ingest:
            port = free_port()
            ends = ["--from", stream, "--to", store, "--batch", batch, "--metrics-port", str(port)]
            beside.enter_context(process(["events", "consume", *common, *ends], "->"))
            metrics = f"http://127.0.0.1:{port}/metrics"
        yield Running(address, metrics, stream)


@contextlib.contextmanager
def process(arguments: Sequence[str], says: str) -> Iterator[str]:
    """`croquis ARGUMENTS` from its first line that matches `says`, which is given, to the end of the block."""
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", "croquis", *arguments]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True) as started,
    ):
        found = next((hit for line in started.stdout or () if (hit := re.search(says, line))), None)
        try:
            if found is None:
                log.seek(0)
                raise RuntimeError(f"croquis {arguments[0]} did not say {says!r}: {log.read()[-2000:]}")
            yield found[0]
        finally:
            started.terminate()


def main() -> None:
    asked = argparse.ArgumentParser(
        prog="python -m benchmarks.events.ingest_latency",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    asked.add_argument("--bundle", type=Path, default=Path("models/bundles/siamese"))
    asked.add_argument("--params", type=Path, default=Path("params.yaml"))
    asked.add_argument("--products", type=int, default=60)
    asked.add_argument("--burst", type=int, default=2000, help="events of the rate; 0: it is not measured")
    asked.add_argument(
        "--batch", type=int, help="events that the consumer embeds together (default: that of each command)"
    )
    asked.add_argument("--stores", default="faiss,milvus", help="comma-separated (default %(default)s)")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--report", type=Path, default=REPORT)
    options = asked.parse_args()
    wanted = options.stores.split(",")
    if "milvus" in wanted and (reason := why_not()):
        sys.exit(f"error: {reason}")
    report: dict[str, Any] = {"machine": {"cpus": os.cpu_count(), "nice": os.nice(0), "load": os.getloadavg()[0]}}
    with tempfile.TemporaryDirectory() as name:
        if "faiss" in wanted:
            (Path(name) / "faiss").mkdir()
            report["faiss"] = measure(options, f"faiss:{name}/store", True, Path(name) / "faiss")
        if "milvus" in wanted:
            with running(milvus_server(Path(name))) as server:
                report["milvus"] = measure(options, server.uri, False, Path(name))
    write_json(options.report, report)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
