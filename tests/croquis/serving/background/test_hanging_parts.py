"""The server in this process while its source of models or its store hangs, fails and comes back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from croquis.registry.bundle_options import ModelSourceError
from croquis.serving.app import create_app
from croquis.serving.background import readiness, watched_task
from croquis.serving.models import served_models
from croquis.serving.models.bundle_sources import BundleSource
from croquis.serving.models.loaded_model import LoadedModel
from croquis.serving.server_settings import Access, Settings
from croquis.store.vector_store import StoreError
from tests.support.serving.live_server import ADMIN, TOKEN, Serve, picture, samples, wait_for
from tests.support.serving.store_answers import filled
from tests.support.tiny_retriever import photo

KEPT = Access(admin_token=TOKEN)


class Source:
    """A bundle folder whose look-ups and loads do what a test says; by default what they should."""

    def __init__(self, folder: Path) -> None:
        self._bundle = BundleSource(folder)
        self.free = threading.Event()
        self.error: Exception | None = None
        self.hangs = ""
        self.name = "one"

    def current(self) -> str:
        self._act("current")
        return self.name

    def load(self) -> tuple[str, LoadedModel]:
        self._act("load")
        return self.name, self._bundle.load()[1]

    def _act(self, step: str) -> None:
        if self.hangs == step:
            self.free.wait()
        if self.error is not None:
            raise self.error


@pytest.fixture
def source(bundle: Path) -> Iterator[Source]:
    made = Source(bundle)
    yield made
    made.free.set()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a test can wait for."""
    monkeypatch.setattr(served_models, "LOOK_UP_SECONDS", 0.2)
    monkeypatch.setattr(served_models, "TURN_SECONDS", 0.05)
    monkeypatch.setattr(readiness, "PROBE_SECONDS", 0.2)
    monkeypatch.setattr(watched_task, "LONGEST_PAUSE", 0.05)


@pytest.fixture
def start(source: Source) -> Iterator[Any]:
    """Makes a client of a started app over `source`."""
    clients: list[TestClient] = []

    def started(**settings: Any) -> TestClient:
        app = create_app({"champion": source}, Settings(workers=2, access=KEPT, **settings))
        clients.append(TestClient(app, raise_server_exceptions=False).__enter__())
        return clients[-1]

    yield started
    source.free.set()
    for client in clients:
        client.__exit__(None, None, None)


def reloaded(client: TestClient) -> tuple[int, str]:
    answer = client.post("/admin/reload", headers=ADMIN)
    return answer.status_code, answer.json().get("detail", "") if answer.status_code != 200 else ""


@pytest.mark.parametrize("step", ["current", "load"])
def test_a_source_that_hangs_stops_neither_searches_nor_changes_nor_readyz(
    step: str, source: Source, start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = start(changes=tmp_path / "changes", load_seconds=1)
    monkeypatch.setattr(client.app.state.fleet, "_load_seconds", 0.2)
    source.hangs, source.name = step, "two"
    for _ in range(served_models.CALLS):
        status, detail = reloaded(client)
        assert (status, "no answer within 0.2 s (registry)" in detail) == (503, True)
    assert "4 calls (registry) have not ended yet" in reloaded(client)[1]
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    assert "does not answer" in ready.json()["stale"]["reason"]
    assert client.post("/search", files={"image": photo()}).status_code == 200
    put = client.put("/items/new", headers=ADMIN, data={"category": "coat"}, files={"image": picture(1)})
    assert put.status_code == 201
    assert client.delete("/items/new", headers=ADMIN).status_code == 200
    source.hangs = ""
    source.free.set()
    wait_for(lambda: reloaded(client)[0] == 200)
    assert "stale" not in client.get("/readyz").json()


def test_a_second_reload_is_told_that_one_is_under_way(
    source: Source, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served_models, "LOOK_UP_SECONDS", 30)
    client = start()
    source.hangs = "current"
    first: list[int] = []
    waiting = threading.Thread(target=lambda: first.append(reloaded(client)[0]))
    waiting.start()
    wait_for(lambda: client.app.state.fleet._turn.locked())
    for _ in range(3):
        answer = client.post("/admin/reload", headers=ADMIN)
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:croquis:problem:reload-under-way")
        assert answer.headers["retry-after"] == "5"
    source.free.set()
    waiting.join()
    assert first == [200]


@pytest.mark.parametrize(
    "error",
    [
        ModelSourceError("fashion-retriever has no alias champion"),
        RuntimeError("API request to http://keeper:secret@mlflow:5000 failed"),
        KeyError("model_version"),
        RecursionError("too deep"),
    ],
)
def test_watch_outlives_whatever_a_source_raises(error: Exception, source: Source, start: Any) -> None:
    client = start(watch_seconds=0.02)
    assert client.get("/readyz").json() == {"status": "ready"}
    source.error = error
    wait_for(lambda: samples(client).get('croquis_task_ends_total{task="watch"}', 0) >= 2)
    ready = client.get("/readyz").json()
    (task,) = ready["tasks"]
    assert (task["name"], task["state"], task["reason"]) == ("watch", "failing", ready["stale"]["reason"])
    assert "secret" not in str(ready)
    assert samples(client)['croquis_task_running{task="watch"}'] == 0
    source.error, source.name = None, "two"
    wait_for(lambda: client.get("/readyz").json() == {"status": "ready"})
    found = samples(client)
    assert found['croquis_task_running{task="watch"}'] == found['croquis_reloads_total{outcome="swapped"}'] == 1
    assert found["croquis_models_checked_seconds"] > 0


@pytest.mark.parametrize("error", [None, StoreError("the engine is away"), RuntimeError("of an engine")])
def test_readyz_is_true_to_a_store_that_hangs_or_fails(
    error: Exception | None, serve: Serve, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"faiss:{tmp_path / 'store'}"
    (version,) = filled(uri, bundle)
    client = serve(Settings(store=uri, watch_seconds=0))
    kept, free, asked = client.app.state.fleet.get().retriever.gallery.kept, threading.Event(), []  # type: ignore[attr-defined]

    def away(*_: Any) -> None:
        asked.append(1)
        if error is not None:
            raise error
        free.wait()

    monkeypatch.setattr(kept, "get", away)
    begun = time.time()
    details = []
    for _ in range(3):
        answer = client.get("/readyz")
        assert answer.status_code == 503
        details.append(answer.json()["detail"])
    assert len(set(details)) == 1, "since when it does not answer must not move"
    assert details[0].startswith(f"the store {version} of champion does not answer since ")
    assert details[0].endswith(str(error or "no answer within 0.2 s"))
    assert watched_task.iso(begun)[:13] in details[0]
    assert len(asked) == (1 if error is None else 3), "one question at a time"
    assert client.get("/healthz").status_code == 200
    free.set()
    monkeypatch.undo()
    wait_for(lambda: client.get("/readyz").status_code == 200)
    assert client.get("/readyz").json() == {"status": "ready", "stores": {"champion": version}}


def test_reads_of_a_store_that_hangs_are_given_up(
    serve: Serve, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("croquis.serving.routes.catalogue_routes.SECONDS", 0.05)
    uri = f"faiss:{tmp_path / 'store'}"
    filled(uri, bundle)
    client, free = serve(Settings(store=uri)), threading.Event()
    kept = client.app.state.fleet.get().retriever.gallery.kept  # type: ignore[attr-defined]
    for name in ("words", "images_of", "thumbnails"):
        monkeypatch.setattr(kept, name, lambda *_: free.wait())
    for path in ("/catalogue/filters", "/items/item-red-0", "/items/item-red-0/image", "/similar/item-red-0"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:croquis:problem:store-unavailable"), path
    free.set()


def test_a_source_that_hangs_at_the_start_is_told(source: Source) -> None:
    source.hangs = "load"
    with pytest.raises(ModelSourceError, match=r"the source of champion does not answer: no answer within 1 s"):
        create_app({"champion": source}, Settings(load_seconds=1))
