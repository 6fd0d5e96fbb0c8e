"""Broker, search server and ingest on hosts of their own, each cut off from the network for a while, and back."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from croquis.events.event import event_body
from croquis.events.stream import StreamError, open_stream
from croquis.serving.client import Client
from tests.support.engine_servers import broker_server, running
from tests.support.environment import REPOSITORY
from tests.support.events.network_hosts import Host, hosts
from tests.support.serving.live_server import wait_for
from tests.support.serving.store_answers import filled
from tests.support.store.product_events import upsert
from tests.support.tiny_retriever import photo, write_tiny_bundle

pytestmark = [pytest.mark.scale, pytest.mark.slow]
PATIENCE = 120  # seconds
PORT = 8000  # every host has its own ports
APPLIED = re.compile(r'croquis_ingest_events_total\{outcome="applied"\} (\d+)')


@contextlib.contextmanager
def on(host: Host, folder: Path, *words: str) -> Iterator[None]:
    """`croquis WORDS` on a host, for the time of the block."""
    command = [*host.prefix, sys.executable, "-m", "croquis", *words]
    with (folder / f"{words[0]}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=REPOSITORY, env=dict(os.environ), stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


def text(address: str, path: str) -> str:
    """Nothing while it does not answer."""
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"http://{address}:{PORT}/{path}", timeout=2, trust_env=False).text
    return ""


@pytest.mark.parametrize("kind", ["nats", "tansu"])
def test_a_host_that_is_cut_off_catches_up(kind: str, tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle")
    filled(f"faiss:{tmp_path / 'searched'}", bundle)
    with (
        hosts(3) as (broker_host, server, ingest),
        running(broker_server(kind, tmp_path, broker_host.address, broker_host.prefix)) as broker,
        contextlib.ExitStack() as stack,
    ):
        stream = open_stream(broker.uri)
        stack.callback(stream.close)
        stream.send([("first", event_body(upsert("first", 1, "blue-13")))])
        ours = ["--bundle", str(bundle), "--store", f"faiss:{tmp_path / 'searched'}", "--ingest", broker.uri]
        theirs = ["--bundle", str(bundle), "--to", f"faiss:{tmp_path / 'other'}", "--from", broker.uri, "--create"]
        there = ["--group", "other", "--metrics-host", ingest.address, "--metrics-port", str(PORT), "--redeliver", "5"]
        stack.enter_context(on(server, tmp_path, "serve", *ours, "--host", server.address, "--port", str(PORT)))
        stack.enter_context(on(ingest, tmp_path, "events", "consume", *theirs, *there))

        def found(name: str) -> str:
            """The product that the search server answers with first."""
            with Client(f"http://{server.address}:{PORT}", timeout=10) as client:
                return client.search(photo(name), k=1, describe=False).results[0].item_id

        def taken(count: int) -> Callable[[], bool]:
            """At least so many: what was sent again after a timeout may come, and be applied, twice."""
            return lambda: sum(map(int, APPLIED.findall(text(ingest.address, "metrics")))) >= count

        wait_for(lambda: '"ready"' in text(server.address, "readyz"), PATIENCE)
        wait_for(lambda: found("blue-13") == "first", PATIENCE)
        wait_for(taken(1), PATIENCE)

        server.cut_off()
        stream.send([("second", event_body(upsert("second", 1, "green-14")))])
        wait_for(taken(2), PATIENCE)  # the others go on
        assert text(server.address, "readyz") == ""
        server.join()
        wait_for(lambda: found("green-14") == "second", PATIENCE)

        ingest.cut_off()
        stream.send([("third", event_body(upsert("third", 1, "red-12")))])
        wait_for(lambda: found("red-12") == "third", PATIENCE)
        ingest.join()
        wait_for(taken(3), PATIENCE)

        broker_host.cut_off()
        body = event_body(upsert("fourth", 1, "blue-15"))
        with pytest.raises(StreamError):
            stream.send([("fourth", body)])
        assert found("red-12") == "third"  # searches need no broker
        broker_host.join()
        stream.send([("fourth", body)])
        wait_for(lambda: found("blue-15") == "fourth", PATIENCE)
        wait_for(taken(4), PATIENCE)
