"""What one core embeds and takes in: pictures per second of an encoder, and product events per second into a store."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from croquis.catalog.images import decode_image
from croquis.catalog.product import Product, ProductPicture
from croquis.events.event import ProductEvent, event_body
from croquis.events.handler import Handler
from croquis.params.data_blocks import Validate
from croquis.search.local_retriever import LocalRetriever
from croquis.store.fill import spec_of
from croquis.store.versions import open_stores

BATCH = 64  # events handled together, as `croquis events consume` does by default
REPEATS = 3


def encoder_rates(retriever: LocalRetriever, photos: Sequence[bytes]) -> dict[str, float]:
    """Of one thread, medians of several passes: `decode_ms` and `encode_ms` of one picture at a time, as a query needs them;
    `images_per_s`, decoded and encoded in batches, as a catalogue is embedded."""
    retriever.warm_up()
    pictures = [decode_image(photo) for photo in photos]

    def one_by_one() -> None:
        for picture in pictures:
            retriever.encode_photos([picture])

    together = seconds_of(lambda: retriever.encode_photos([decode_image(photo) for photo in photos]))
    return {
        "decode_ms": round(1000 * seconds_of(lambda: list(map(decode_image, photos))) / len(photos), 3),
        "encode_ms": round(1000 * seconds_of(one_by_one) / len(photos), 3),
        "images_per_s": round(len(photos) / together, 1),
        "picture_side": float(median(max(picture.shape[:2]) for picture in pictures)),
    }


def ingest_rate(retriever: LocalRetriever, photos: Sequence[bytes], rules: Validate) -> float:
    """Events per second, one picture each, through check, encoder and a FAISS store on disk; without a stream."""
    spec = spec_of(retriever.bundle)
    bodies = []
    for number, photo in enumerate(photos):
        shown = (ProductPicture.of(f"item-{number}", photo, None),)
        product = Product(f"item-{number}", "dress", ("colour:red",), shown)
        bodies.append(event_body(ProductEvent(f"item-{number}", 1, product)))
    with tempfile.TemporaryDirectory() as folder:
        stores = open_stores(f"faiss:{Path(folder) / 'store'}")
        handler = Handler(retriever, stores.create(spec), rules)
        start, applied = time.perf_counter(), 0
        for first in range(0, len(bodies), BATCH):
            applied += handler.handle(bodies[first : first + BATCH]).counts["applied"]
        seconds = time.perf_counter() - start
        stores.close()
    if applied != len(bodies):
        raise AssertionError(f"{len(bodies) - applied} of {len(bodies)} events were not applied")
    return round(applied / seconds, 1)


def seconds_of(work: Callable[[], Any]) -> float:
    """Median of several runs, after one that does not count."""
    times = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return median(times[1:])
