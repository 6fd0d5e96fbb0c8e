"""Events that the server itself takes into the store that it searches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from benchmarks.events.ingest_latency import found_after
from croquis.bundle import Bundle
from croquis.catalog.images import decode_image
from croquis.events.event import ProductEvent, event_body
from croquis.events.stream import open_stream
from croquis.registry.bundle_options import ModelSourceError
from croquis.serving.app import create_app
from croquis.serving.client import Client
from croquis.serving.models.bundle_sources import BundleSource
from croquis.serving.server_settings import IngestSettings, Settings, SettingsError
from croquis.store.fill import fill
from croquis.store.versions import open_stores
from tests.support.engine_servers import broker_server, running
from tests.support.serving.live_server import Serve, samples, wait_for
from tests.support.serving.server_process import HEAVY, server_process
from tests.support.serving.store_answers import filled
from tests.support.store.product_events import upsert
from tests.support.tiny_retriever import photo

pytestmark = [pytest.mark.scale, pytest.mark.slow]
PATIENCE = 120  # seconds


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"faiss:{tmp_path / 'store'}"


@pytest.fixture(params=["nats", "tansu"])
def stream(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with running(broker_server(request.param, tmp_path)) as server:
        yield server.uri


def first(client: TestClient, name: str) -> str:
    response = client.post("/search", files={"image": photo(name)}, data={"k": 1})
    assert response.status_code == 200, response.text
    return str(response.json()["results"][0]["item_id"])


def test_events_are_searched_and_follow_to_the_next_version(serve: Serve, uri: str, bundle: Path, stream: str) -> None:
    filled(uri, bundle)
    client = serve(Settings(threads=2, store=uri, watch_seconds=0.2, ingest=IngestSettings(stream)))
    sent = open_stream(stream)
    sent.send(
        [
            ("new", event_body(upsert("new", 1, "blue-13"))),
            ("bad", b"{"),
            ("item-red-0", event_body(ProductEvent("item-red-0", 1, None))),
        ]
    )
    wait_for(lambda: first(client, "blue-13") == "new", PATIENCE)
    wait_for(lambda: client.get("/items/item-red-0").status_code == 404, PATIENCE)
    counted = 'croquis_ingest_events_total{outcome="%s"}'
    wait_for(lambda: samples(client)[counted % "applied"] == 2, PATIENCE)
    assert samples(client)[counted % "rejected"] == 1
    assert decode_image(client.get("/items/new/image").content).shape == (32, 32, 3)

    others = open_stores(uri)
    version = fill(others, Bundle.load(bundle)).name  # as the bundle was: it has seen no event
    others.close()
    others.publish(version)
    wait_for(lambda: client.get("/readyz").json()["stores"] == {"champion": version}, PATIENCE)
    wait_for(lambda: first(client, "blue-13") == "new", PATIENCE)
    wait_for(lambda: client.get("/items/item-red-0").status_code == 404, PATIENCE)
    sent.send([("new", event_body(upsert("new", 2, "green-14")))])
    wait_for(lambda: first(client, "green-14") == "new", PATIENCE)
    assert first(client, "blue-13") != "new"
    sent.close()


def test_a_server_process_takes_events_without_torch(uri: str, bundle: Path, stream: str, tmp_path: Path) -> None:
    """Event to first hit, as `python -m benchmarks.events.ingest_latency` measures it."""
    filled(uri, bundle)
    options = ["--bundle", str(bundle), "--store", uri, "--ingest", stream]
    with server_process(tmp_path, *options) as server:
        sent = open_stream(stream)
        with Client(server.address) as client:
            for number in range(3):
                _, searches = found_after(sent, client, f"new-{number}", number)
                assert searches > 0
                assert decode_image(client.item_image(f"new-{number}")).shape == (32, 32, 3)
        sent.close()
        server.end()
        broker = "nats" if stream.startswith("nats") else "confluent_kafka"
        assert {"faiss", broker, "ruamel"} <= server.modules
        assert not (HEAVY | {"great_expectations", "mlflow", "pymilvus"}) & server.modules  # pyarrow may import pandas
    stores = open_stores(uri)  # its lock is given up
    assert stores.open(Bundle.load(bundle).hash).count() == 36 + 3
    stores.close()


def test_a_stream_or_rules_that_cannot_be_used_are_refused(
    uri: str, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(uri, bundle)
    sources = {"champion": BundleSource(bundle)}
    with pytest.raises(ModelSourceError, match="is no stream: give nats://HOST:PORT/STREAM"):
        create_app(sources, Settings(store=uri, ingest=IngestSettings("redis://127.0.0.1/products")))
    absent = IngestSettings("nats://127.0.0.1:1/products", params=tmp_path / "none.yaml")
    with pytest.raises(SettingsError, match=r"none\.yaml"):
        create_app(sources, Settings(store=uri, ingest=absent))
    with pytest.raises(SettingsError, match="ingest_batch = 0, must be at least 1"):
        IngestSettings("nats://127.0.0.1:1/products", batch=0)
    monkeypatch.setattr("croquis.serving.app.RULES_NEED", ("ruamel", "no_such_package"))
    with pytest.raises(SettingsError, match=r"--ingest needs no_such_package: pip install '\.\[scale\]'"):
        create_app(sources, Settings(store=uri, ingest=IngestSettings("nats://127.0.0.1:1/products")))


@pytest.mark.parametrize("scheme", ["nats", "kafka"])
def test_a_server_listens_without_its_broker_and_tells(
    serve: Serve, uri: str, bundle: Path, scheme: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("croquis.events.nats_stream.CONNECTING", 0.3)
    monkeypatch.setattr("croquis.events.kafka_stream.ANSWERING", 0.3)
    monkeypatch.setattr("croquis.serving.background.watched_task.FIRST_PAUSE", 0.1)
    filled(uri, bundle)
    user = "shop:hunter2@" if scheme == "nats" else ""
    client = serve(Settings(threads=2, store=uri, ingest=IngestSettings(f"{scheme}://{user}127.0.0.1:9/products")))
    assert first(client, "blue-03")
    failures = 'croquis_ingest_failures_total{of="stream"}'
    wait_for(lambda: samples(client).get(failures, 0) >= 2, PATIENCE)
    assert samples(client)["croquis_ingest_connected"] == 0
    (task,) = client.get("/readyz").json()["tasks"]
    assert (task["name"], task["state"], task["connected"]) == ("ingest", "failing", False)
    assert task["reason"].startswith(f"{scheme}://127.0.0.1:9/products: ")
    told = [record for record in caplog.records if "it is started again in" in record.message]
    assert told[0].message.startswith(f"ingest ended: {scheme}://127.0.0.1:9/products: ")
    assert not any(record.exc_info for record in told)
    assert "hunter2" not in caplog.text + str(task)
