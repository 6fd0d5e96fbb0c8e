"""From a stream into a store: the same consumer on Kafka's protocol, which Tansu speaks, and on NATS."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from croquis.events.consumer import EventConsumer
from croquis.events.event import ProductEvent, event_body
from croquis.events.event_command import store_of
from croquis.events.event_meter import OUTCOMES, IngestMeter
from croquis.events.feed import catalogue_events
from croquis.events.handler import BatchOutcome, Handler
from croquis.events.nats_stream import NatsStream
from croquis.events.stream import Message, Stream, StreamError, open_stream
from croquis.params import load_params
from croquis.search.local_retriever import LocalRetriever
from croquis.store.vector_store import StoreError
from croquis.store.versions import open_stores
from tests.support.engine_servers import broker_server, running
from tests.support.store.product_events import upsert
from tests.support.tiny_retriever import write_tiny_bundle

pytestmark = [pytest.mark.scale, pytest.mark.slow]
PATIENCE = 120  # seconds
BODIES = [
    ("a", event_body(upsert("a", 1, "red-00"))),
    ("bad", b"{"),
    ("b", event_body(upsert("b", 1, "blue-03", "blue-04"))),
    ("a", event_body(upsert("a", 3, "red-01"))),
    ("a", event_body(upsert("a", 2, "red-02"))),
    ("c", event_body(upsert("c", 1, "green-01"))),
    ("c", event_body(ProductEvent("c", 2, None))),
]


@pytest.fixture(params=["tansu", "nats"])
def open_it(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Stream]]:
    """Opens the stream, the same one every time."""
    with running(broker_server(request.param, tmp_path)) as server:
        yield lambda: open_stream(server.uri, redeliver=1.0)


@pytest.fixture(scope="module")
def retriever(tmp_path_factory: pytest.TempPathFactory) -> LocalRetriever:
    return LocalRetriever.load(write_tiny_bundle(tmp_path_factory.mktemp("ingest") / "bundle"))


def fetched(stream: Stream, count: int) -> set[bytes]:
    """So many different messages, fetched and not committed; on a slow machine some come twice."""
    bodies: set[bytes] = set()
    for _ in range(240):
        bodies |= {message.body for message in stream.fetch(count, 0.5)}
        if len(bodies) >= count:
            break
    return bodies


def run_until(ingest: EventConsumer, meter: IngestMeter, events: int) -> None:
    """Lets a consumer work until so many events are done, and drain."""
    stop, deadline = threading.Event(), time.monotonic() + PATIENCE

    def watch() -> None:
        while done_events(meter) < events and time.monotonic() < deadline:
            time.sleep(0.05)
        stop.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    ingest.run(stop)
    watcher.join()
    assert done_events(meter) == events


def done_events(meter: IngestMeter) -> float:
    return sum(
        meter.registry.get_sample_value("croquis_ingest_events_total", {"outcome": name}) or 0 for name in OUTCOMES
    )


def test_what_was_not_committed_comes_again(open_it: Callable[[], Stream]) -> None:
    stream = open_it()
    stream.send(BODIES)
    assert fetched(stream, len(BODIES)) == {body for _, body in BODIES}
    stream.close()
    again = open_it()
    assert fetched(again, len(BODIES)) == {body for _, body in BODIES}
    again.close()


def test_what_comes_late_makes_no_batch_larger(tmp_path: Path) -> None:
    """Answers to a request whose time was up come with those of the next one: nats-py hands out all that is there."""
    with running(broker_server("nats", tmp_path)) as server:
        stream = open_stream(server.uri, redeliver=PATIENCE)
        assert isinstance(stream, NatsStream)
        assert stream.fetch(2, 0.1) == []
        stream.send(BODIES)
        request = {"batch": len(BODIES), "expires": 10**9}
        stream._run(stream._connection.publish(stream._pull._nms, json.dumps(request).encode(), stream._pull._deliver))
        deadline = time.monotonic() + PATIENCE
        while stream._pull.pending_msgs < len(BODIES) and time.monotonic() < deadline:
            time.sleep(0.05)
        batches = [[message.body for message in stream.fetch(2, 0.5)] for _ in range(4)]
        assert batches == [[body for _, body in BODIES[first : first + 2]] for first in (0, 2, 4, 6)]
        stream.close()


def test_a_batch_that_was_given_up_is_not_passed_over(
    open_it: Callable[[], Stream], retriever: LocalRetriever, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dead-letter topic takes nothing for as long as a batch is tried: its bad event is not lost to the next commit."""
    monkeypatch.setattr("croquis.events.consumer.TRIES", 2)
    stream, meter, asked, dead = open_it(), IngestMeter(), [], []
    stream.send([("bad", b"{"), ("b", event_body(upsert("b", 1, "blue-03")))])
    keep = stream.reject

    def reject(message: Message, reason: str) -> None:
        asked.append(message.body)
        if len(asked) <= 2:
            raise StreamError("the dead-letter topic is not there")
        keep(message, reason)
        dead.append(message.body)

    stream.reject = reject  # type: ignore[method-assign]
    stores = open_stores(f"faiss:{tmp_path / 'store'}")
    handler = Handler(retriever, store_of(stores, retriever, None, True, "flat"), load_params().validate_)
    run_until(EventConsumer(stream, handler, meter, batch=1), meter, 2)
    assert asked == [b"{"] * 3
    assert dead == [b"{"]
    stream.close()
    stores.close()


def test_events_go_into_the_store(open_it: Callable[[], Stream], retriever: LocalRetriever, tmp_path: Path) -> None:
    stream, meter, rejected = open_it(), IngestMeter(), []
    stream.send(BODIES)
    stores = open_stores(f"faiss:{tmp_path / 'store'}")
    store = store_of(stores, retriever, None, True, "flat")
    handler = Handler(retriever, store, load_params().validate_)
    keep = stream.reject

    def reject(message, reason):
        rejected.append((message.body, reason))
        keep(message, reason)

    stream.reject = reject  # type: ignore[method-assign]
    run_until(EventConsumer(stream, handler, meter, batch=3), meter, len(BODIES))
    kept = {image.item_id: image.version for images, _ in store.scan() for image in images}
    assert (kept, store.count(), store.deletions()) == ({"a": 3, "b": 1}, 3, {"c": 2})
    assert [body for body, _ in rejected] == [b"{"]
    value = meter.registry.get_sample_value
    assert value("croquis_ingest_events_total", {"outcome": "rejected"}) == 1
    assert value("croquis_ingest_step_seconds_count", {"step": "store"}) >= 3
    assert stream.lag() == 0
    stream.close()
    again = open_it()
    assert again.fetch(10, 2.0) == []  # everything was committed
    again.close()
    stores.close()


def test_a_store_that_fails_holds_the_stream_up(open_it: Callable[[], Stream]) -> None:
    class Failing:
        calls = 0

        def handle(self, bodies: list[bytes]) -> BatchOutcome:
            self.calls += 1
            if self.calls < 3:
                raise StoreError("the store is away")
            done = BatchOutcome()
            done.counts["applied"] = len(bodies)
            return done

    stream, meter, handler = open_it(), IngestMeter(), Failing()
    stream.send(BODIES[:1])
    run_until(EventConsumer(stream, handler, meter), meter, 1)  # type: ignore[arg-type]
    assert handler.calls == 3
    assert meter.registry.get_sample_value("croquis_ingest_failures_total", {"of": "store"}) == 2
    assert stream.lag() == 0
    stream.close()


def test_a_stream_that_is_none_is_refused() -> None:
    for uri in ("redis://127.0.0.1/products", "nats://127.0.0.1:1", "kafka:///products", "nats://127.0.0.1:1/a b"):
        with pytest.raises(StreamError, match="is no stream: give nats://HOST:PORT/STREAM or kafka"):
            open_stream(uri)


def test_a_catalogue_becomes_one_event_per_product() -> None:
    params = load_params()
    small = params.ingest.rendered.model_copy(update={"items": 20})
    params = params.model_copy(update={"ingest": params.ingest.model_copy(update={"rendered": small})})
    events = list(catalogue_events(params, 7))
    assert len({event.item_id for event in events}) == len(events) == 20
    assert {event.version for event in events} == {7}
    assert all(event.product is not None and len(event.product.pictures) > 1 for event in events)
