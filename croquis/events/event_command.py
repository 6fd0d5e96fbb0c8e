"""`python -m croquis.events`: product events from a stream into a store, embedded by a bundle's encoder.

    python -m croquis.events --from nats://127.0.0.1:4222/products --to faiss:models/store --bundle models/bundles/siamese
    python -m croquis.events --from kafka://kafka:9092/products --to milvus:http://milvus:19530 \\
        --model models:/fashion-retriever@champion

Events: croquis/events/event.py and docs/scale.md. SIGTERM and Ctrl-C end it when the batch under way is committed.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from prometheus_client import start_http_server

from croquis.bundle import BundleError
from croquis.events.consumer import EventConsumer
from croquis.events.event_meter import OUTCOMES, IngestMeter
from croquis.events.handler import Handler
from croquis.events.stream import StreamError, open_stream
from croquis.params import load_params
from croquis.registry.bundle_options import ModelSourceError, add_bundle_options, bundle_folder
from croquis.search.local_retriever import LocalRetriever
from croquis.store.fill import spec_of
from croquis.store.vector_store import StoreError, VectorStore
from croquis.store.versions import Stores, open_stores


def main(arguments: Sequence[str] | None = None) -> None:
    """Raises:
    SystemExit: 2 for wrong arguments, 1 when bundle, store or stream cannot be used, with the reason on stderr.
    """
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    meter = IngestMeter()
    try:
        settings = load_params(options.params).validate_
        retriever = LocalRetriever.load(bundle_folder(options))
        stores = open_stores(options.to, options.catalogue)
        store = store_of(stores, retriever, options.store_version, options.create, options.kind)
        stream = open_stream(options.source, options.group or store.name, options.redeliver)
        handler = Handler(retriever, store, settings, options.images)
    except (BundleError, ModelSourceError, StoreError, StreamError, ValueError) as error:
        sys.exit(f"error: {error}")
    start_http_server(options.metrics_port, addr=options.metrics_host, registry=meter.registry)
    print(f"{options.source} -> {store.name} in {options.to} (Ctrl-C ends it)", flush=True)
    try:
        EventConsumer(stream, handler, meter, options.batch, options.wait).run(stop, options.until_idle)
    finally:
        stream.close()
        stores.close()
    totals = {
        name: meter.registry.get_sample_value("croquis_ingest_events_total", {"outcome": name}) for name in OUTCOMES
    }
    print(", ".join(f"{int(count or 0)} {name}" for name, count in totals.items()), flush=True)


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


def parser() -> argparse.ArgumentParser:
    asked = argparse.ArgumentParser(
        prog="python -m croquis.events", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = asked.add_argument
    add(
        "--from", dest="source", required=True, metavar="URI", help="nats://HOST:PORT/STREAM or kafka://HOST:PORT/TOPIC"
    )
    add("--to", required=True, metavar="URI", help="faiss:FOLDER, milvus:FILE.db or milvus:http://HOST:PORT")
    add_bundle_options(asked, "whose encoder embeds the pictures")
    add("--catalogue", default="catalogue", help="name of the catalogue in the store")
    add("--store-version", metavar="NAME", help="a version of it; the current one by default")
    add("--create", action="store_true", help="make and publish a version where none is current")
    add("--kind", default="flat", choices=("flat", "hnsw"), help="of a version that is made")
    add("--images", type=Path, metavar="FOLDER", help="what paths of pictures in events are relative to")
    add("--params", type=Path, default=Path("params.yaml"), help="whose `validate` block has the rules' thresholds")
    add(
        "--group",
        help="consumers that share the work (default: the version's name, so that each version gets every event)",
    )
    add("--batch", type=int, default=64, help="events that are embedded and written together")
    add("--wait", type=float, default=0.5, metavar="SECONDS", help="for the first event of a batch")
    add(
        "--redeliver",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="NATS: when an event that was not done comes again",
    )
    add("--until-idle", type=float, metavar="SECONDS", help="end when nothing has come for so long")
    add("--metrics-port", type=int, default=9464, help="of http://HOST:PORT/metrics; 0 for any free one")
    add("--metrics-host", metavar="HOST", default="127.0.0.1", help="where metrics may be asked for")
    return asked
