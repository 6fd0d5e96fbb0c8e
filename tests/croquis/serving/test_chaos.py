"""Two servers among strangers, while the registry and the broker that they follow hang, die and come back."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from croquis.serving.client import Client
from tests.support.engine_servers import Server, broker_server, free_port, running
from tests.support.environment import OUTSIDE
from tests.support.registry.evaluated_project import MODEL, begun_project
from tests.support.serving.live_server import TOKEN, wait_for
from tests.support.serving.server_process import ServerProcess, server_process
from tests.support.serving.store_answers import filled
from tests.support.serving.strangers import NO_PICTURES, Strangers, is_kept
from tests.support.tiny_retriever import photo

pytestmark = [pytest.mark.slow, pytest.mark.scale]

PATIENCE = 240  # seconds until something shows
WARM_UP = 5.0  # seconds of load
GRACE = 5  # seconds
GROWTH = 150_000_000  # bytes that a server may hold more at the end than after the warm-up
REFUSALS = {
    "search": {200, 429},
    "change": {200, 404, 429},  # what is not there cannot be deleted
    "hostile": {413, 415, 422, 429},
}


@dataclass
class Watched:
    """/readyz of a server, asked all the time: it must answer 200 at every moment.

    Attributes:
        server: its process.
        wrong: answers that were none, or not 200.
        trouble: parts that do not work by the newest answer, with their entries.
    """

    server: ServerProcess
    wrong: list[str] = field(default_factory=list)
    trouble: dict[str, Any] = field(default_factory=dict)

    def ask(self, ending: threading.Event) -> None:
        with httpx.Client(base_url=self.server.address, trust_env=False, timeout=10) as client:
            while not ending.wait(0.1):
                try:
                    answer = client.get("/readyz")
                except httpx.HTTPError as error:
                    self.wrong.append(repr(error))
                    continue
                if answer.status_code != 200:
                    self.wrong.append(answer.text)
                told = answer.json()
                tasks = {task["name"]: task for task in told.get("tasks", ())}
                self.trouble = tasks | ({"stale": told["stale"]} if "stale" in told else {})


@contextlib.contextmanager
def watched(*servers: ServerProcess) -> Iterator[list[Watched]]:
    ending, parts = threading.Event(), [Watched(server) for server in servers]
    threads = [threading.Thread(target=part.ask, args=(ending,), daemon=True) for part in parts]
    for thread in threads:
        thread.start()
    try:
        yield parts
    finally:
        ending.set()
        for thread in threads:
            thread.join(PATIENCE)


def registry_server(root: Path) -> Server:
    """MLflow's, over the project's database; not started yet."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", "sqlite:///mlruns/mlflow.db"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    address = f"http://127.0.0.1:{port}"
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    return Server(command, port, root / "registry.log", lambda: healthy(address), address, root, quiet)


def healthy(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_nobody_else_notices(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every request is answered or refused with its reason, what was acknowledged is kept, memory is bounded, and /readyz
    names at each moment what hangs."""
    project = Path(shutil.copytree(begun_project(tmp_path_factory), tmp_path / "project"))
    store = f"faiss:{tmp_path / 'store'}"
    filled(store, project / "models/bundles/siamese")
    with contextlib.ExitStack() as stack:
        registry = stack.enter_context(running(registry_server(project)))
        broker = stack.enter_context(running(broker_server("nats", tmp_path)))
        usual = ["--model", f"models:/{MODEL}@champion", "--watch", "0.5", "--grace", str(GRACE)]
        patience = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "1", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
        variables = dict.fromkeys(OUTSIDE, "") | patience | {"MLFLOW_TRACKING_URI": registry.uri}
        variables |= {"CROQUIS_ADMIN_TOKEN": TOKEN}

        def started(name: str, *more: str) -> ServerProcess:
            (tmp_path / name).mkdir()
            return stack.enter_context(server_process(tmp_path / name, *usual, *more, cwd=project, **variables))

        taking = started("taking", "--store", store, "--ingest", broker.uri)
        changing = started("changing", "--changes", str(tmp_path / "changes"))
        take, change = stack.enter_context(watched(taking, changing))

        def all_is_well() -> bool:
            return not take.trouble and not change.trouble

        with Strangers() as strangers:
            for server in (taking, changing):
                strangers.begin(strangers.searches(server.address, "search", photo("red-00"), photo("blue-03")))
                strangers.begin(strangers.searches(server.address, "hostile", *NO_PICTURES))
                strangers.begin(strangers.stands_idle(server.address))
            strangers.begin(strangers.changes(changing.address))
            strangers.begin(strangers.publishes(broker.uri))
            time.sleep(WARM_UP)
            held = {server.address: server.held_bytes for server in (taking, changing)}
            wait_for(all_is_well, PATIENCE)
            with registry.frozen():
                wait_for(lambda: {"watch", "stale"} == set(take.trouble) == set(change.trouble), PATIENCE)
                with broker.frozen():
                    wait_for(lambda: {"watch", "stale", "ingest"} == set(take.trouble), PATIENCE)
                    assert take.trouble["ingest"]["connected"] is False
                    assert set(change.trouble) == {"watch", "stale"}
            wait_for(all_is_well, PATIENCE)
            broker.kill()
            wait_for(lambda: set(take.trouble) == {"ingest"}, PATIENCE)
            registry.kill()
            wait_for(lambda: {"watch", "stale", "ingest"} == set(take.trouble), PATIENCE)
            broker.start()
            wait_for(lambda: {"watch", "stale"} == set(take.trouble) == set(change.trouble), PATIENCE)
            registry.start()
            wait_for(all_is_well, PATIENCE)
        kept(strangers, taking, changing)
        assert {server.address: server.held_bytes - held[server.address] < GROWTH for server in (taking, changing)} == {
            taking.address: True,
            changing.address: True,
        }
        assert take.wrong == change.wrong == []
        for server in (taking, changing):
            server.process.send_signal(signal.SIGTERM)
        for server in (taking, changing):
            assert server.process.wait(PATIENCE) == 0, "it was ended by force"


def kept(strangers: Strangers, taking: ServerProcess, changing: ServerProcess) -> None:
    """Finds all that was acknowledged, and no answer that a stranger should not get."""
    for (sent, status), count in strangers.answers.items():
        assert status in REFUSALS[sent], (sent, status, count)
    assert {sent for sent, _ in strangers.answers} == set(REFUSALS)
    assert len(strangers.products) > 3
    assert len(strangers.events) > 10
    with Client(changing.address) as client:
        for state in strangers.products.values():
            assert state.is_there(client), state.item_id
    with Client(taking.address) as client:
        wait_for(lambda: all(is_kept(event, client) for event in strangers.events.values()), PATIENCE)
