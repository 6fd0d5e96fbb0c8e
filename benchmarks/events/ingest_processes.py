"""The processes of `benchmarks.events.ingest_latency`: a server over a store, and what brings events into the store."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from croquis.events.event_command import ConsumeOptions
from croquis.serving.server_settings import IngestSettings
from tests.support.engine_servers import free_port

PROJECT = Path(__file__).resolve().parents[2]
PATIENCE = 120  # seconds until a process answers
APPLIED = re.compile(rb'croquis_ingest_events_total\{outcome="applied"\} ([0-9.e+]+)')


@dataclass(frozen=True)
class LatencySetting:
    """What is measured, and with what.

    Attributes:
        products: published one by one.
        burst: published at once.
        batch: events that the consumer embeds together; None for its default.
    """

    bundle: Path
    params: Path
    products: int
    burst: int
    batch: int | None
    seed: int

    def batch_of(self, own_ingest: bool) -> int:
        return self.batch or (IngestSettings("").batch if own_ingest else ConsumeOptions.batch)


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


@contextlib.contextmanager
def serving(setting: LatencySetting, store: str, own_ingest: bool, stream: str) -> Iterator[Running]:
    common = ["--bundle", str(setting.bundle), "--params", str(setting.params)]
    batch = str(setting.batch_of(own_ingest))
    own = ["--ingest", stream, "--ingest-batch", batch] if own_ingest else []
    with (
        process(["serve", *common, "--store", store, "--port", "0", *own], r"http://127\.0\.0\.1:\d+") as address,
        contextlib.ExitStack() as beside,
    ):
        metrics = f"{address}/metrics"
        if not own_ingest:
            port = free_port()
            options = ["--from", stream, "--to", store, "--batch", batch, "--metrics-port", str(port)]
            beside.enter_context(process(["events", "consume", *common, *options], "->"))
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
