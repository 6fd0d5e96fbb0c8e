"""Product events from a stream into a store, embedded by a bundle's encoder, until a signal ends it.

Events: croquis/events/event.py and docs/scale.md.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from croquis.credentials import without_credentials
from croquis.endings import end_within
from croquis.events.consumer import EventConsumer
from croquis.events.event_meter import OUTCOMES, IngestMeter
from croquis.events.handler import HELD_BYTES, Handler
from croquis.events.metrics_listener import listen_for_metrics
from croquis.events.stream import open_stream
from croquis.params import load_params
from croquis.registry.bundle_options import bundle_folder
from croquis.search.local_retriever import LocalRetriever
from croquis.store.fill import spec_of
from croquis.store.vector_store import VectorStore
from croquis.store.versions import Stores, open_stores

CLOSING = 5.0  # seconds for what a signal ends before there is a batch


@dataclass(frozen=True)
class ConsumeOptions:
    """What `croquis events consume` is told; of `bundle` and `model` one is given.

    Attributes:
        source: nats://HOST:PORT/STREAM or kafka://HOST:PORT/TOPIC.
        to: faiss:FOLDER, milvus:FILE.db or milvus:http://HOST:PORT.
        store_version: None for the current one.
        create: make and publish a version where none is current, of the kind `kind`.
        images: folder that paths of pictures in events are relative to.
        params: file whose `validate` block has the rules' thresholds.
        group: consumers that share the work; None for the version's name, so that each version gets every event.
        batch: events that are embedded and written together.
        held_bytes: of picture files that are held at once; a batch with more is done in parts.
        wait: seconds for the first event of a batch.
        redeliver: seconds until NATS sends an event again that was not done.
        grace: seconds for the batch under way when the process is ended.
        until_idle: end when nothing has come for so many seconds.
        metrics_port: 0 for any free one.
    """

    source: str
    to: str
    bundle: Path | None = None
    model: str | None = None
    catalogue: str = "catalogue"
    store_version: str | None = None
    create: bool = False
    kind: str = "flat"
    images: Path | None = None
    params: Path = Path("params.yaml")
    group: str | None = None
    batch: int = 64
    held_bytes: int = HELD_BYTES
    wait: float = 0.5
    redeliver: float = 120.0
    grace: float = 30.0
    until_idle: float | None = None
    metrics_port: int = 9464
    metrics_host: str = "127.0.0.1"


def consume(options: ConsumeOptions) -> int:
    """Consumes until SIGTERM or Ctrl-C; the batch under way is committed first, if it is done within the grace time.

    Raises:
        BundleError, ModelSourceError, ParamsError, StoreError, StreamError: when what they name cannot be used.
        RefusedError: when it cannot listen for metrics.
    """
    stop = threading.Event()
    meter = IngestMeter()
    with _signals_end_at_once():  # nothing has begun, and a broker that is looked for may be absent
        settings = load_params(options.params).validate_
        retriever = LocalRetriever.load(bundle_folder(options.bundle, options.model))
        stores = open_stores(options.to, options.catalogue)
        store = store_of(stores, retriever, options.store_version, options.create, options.kind)
        stream = open_stream(options.source, options.group or store.name, options.redeliver)
        handler = Handler(retriever, store, settings, options.images, options.held_bytes)
        listen_for_metrics(options.metrics_port, options.metrics_host, meter.registry)
    shown, place = without_credentials(options.source), without_credentials(options.to)

    def end(*_: object) -> None:
        end_within(options.grace)
        stop.set()

    print(f"{shown} -> {store.name} in {place} (Ctrl-C ends it)", flush=True)
    on_signals(end)
    try:
        EventConsumer(stream, handler, meter, options.batch, options.wait).run(stop, options.until_idle)
    finally:
        handler.close()
        stream.close()
        stores.close()
    totals = {
        name: meter.registry.get_sample_value("croquis_ingest_events_total", {"outcome": name}) for name in OUTCOMES
    }
    print(", ".join(f"{int(count or 0)} {name}" for name, count in totals.items()), flush=True)
    return 0


def on_signals(act: Callable[[int, FrameType | None], object]) -> None:
    """What SIGTERM and Ctrl-C do from now on; without it the first process of a container would not see them."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, act)


@contextmanager
def _signals_end_at_once() -> Iterator[None]:
    """SIGTERM and Ctrl-C in the block end the process with 128 + their number.

    Where a library loses the exception, as a finaliser does, or a thread of its hangs, the process ends all the same;
    where one makes another error of it, that error is not what is told.
    """
    asked: list[int] = []

    def end(number: int, _: FrameType | None) -> NoReturn:
        asked.append(number)
        end_within(CLOSING, 128 + number)
        raise SystemExit(128 + number)

    on_signals(end)
    try:
        yield
    except Exception:
        if asked:
            raise SystemExit(128 + asked[0]) from None
        raise


def store_of(stores: Stores, retriever: LocalRetriever, version: str | None, create: bool, kind: str) -> VectorStore:
    """The version that events go to.

    Args:
        create: make and publish a version where none is current.

    Raises:
        StoreError: when there is none, or it belongs to another bundle.
    """
    if create and version is None and stores.current is None:
        stores.publish(stores.create(spec_of(retriever.bundle, kind)).name)
    return stores.open(retriever.bundle.hash, version)
