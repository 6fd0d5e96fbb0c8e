"""A catalogue as product events, one upsert per product.

The catalogue is the source that `ingest.source` of params.yaml names: a CSV or Parquet table over a folder of images, a
catalogue in our own format, or any other of croquis/sources. Photos of the domain `shop` are sent.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from croquis.catalog.product import Product, ProductPicture
from croquis.catalog.product_columns import PRODUCT, known
from croquis.credentials import without_credentials
from croquis.events.event import ProductEvent, event_body
from croquis.events.stream import open_stream
from croquis.params import Params, load_params
from croquis.sources import source_rows

AT_A_TIME = 256  # events in one call of the stream


def feed(to: str, params_file: Path = Path("params.yaml"), version: int | None = None) -> int:
    """Sends the catalogue of params.yaml.

    Args:
        to: nats://HOST:PORT/STREAM or kafka://HOST:PORT/TOPIC.
        version: of the events; None for the time, in seconds.

    Raises:
        ParamsError, SourceError, StreamError: when params.yaml, the source or the stream cannot be used.
    """
    version = int(time.time()) if version is None else version
    params = load_params(params_file)
    stream = open_stream(to)
    sent = 0
    for some in batches(tqdm(catalogue_events(params, version), desc="events", mininterval=1.0)):
        stream.send([(event.item_id, event_body(event)) for event in some])
        sent += len(some)
    stream.close()
    print(f"{sent} products sent to {without_credentials(to)} at version {version}")
    return 0


def catalogue_events(params: Params, version: int) -> Iterator[ProductEvent]:
    """One upsert for each product of the source; it is read twice, so that only products under way are in memory."""
    left = Counter(row["item_id"] for row in shop_rows(params))
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in shop_rows(params):
        rows.setdefault(row["item_id"], []).append(row)
        left[row["item_id"]] -= 1
        if not left[row["item_id"]]:
            yield event_of(rows.pop(row["item_id"]), version)


def shop_rows(params: Params) -> Iterator[dict[str, Any]]:
    """Shop photos of the source that params.yaml names, as catalogue rows."""
    return (row for row in source_rows(params.ingest, params.base.seed) if row["domain"] == "shop")


def event_of(rows: Sequence[dict[str, Any]], version: int) -> ProductEvent:
    """The rows of one product as an event; of its category and its own columns the first counts, of its attributes all."""
    item_id = rows[0]["item_id"]
    pictures = (
        ProductPicture.of(item_id, row["image"], None if row.get("bbox") is None else tuple(row["bbox"]))
        for row in rows
    )
    labels = tuple(dict.fromkeys(name for row in rows for name in row.get("attributes") or ()))
    own = rows[0].get(PRODUCT)
    columns = {} if own is None else known(own.as_py())
    return ProductEvent(item_id, version, Product(item_id, rows[0]["category"], labels, tuple(pictures), columns))


def batches(events: Iterable[ProductEvent]) -> Iterator[list[ProductEvent]]:
    """Cuts events into lists of `AT_A_TIME`, the last one shorter."""
    some: list[ProductEvent] = []
    for event in events:
        some.append(event)
        if len(some) == AT_A_TIME:
            yield some
            some = []
    if some:
        yield some
