"""`python -m croquis.events.feed`: a catalogue as product events, one upsert per product.

    python -m croquis.events.feed --to nats://127.0.0.1:4222/products --params params.yaml

The catalogue is the source that `ingest.source` of params.yaml names: a CSV or Parquet table over a folder of images, a
catalogue in our own format, or any other of sources/. Photos of the domain `shop` are sent.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from croquis.catalog.product import Product, ProductPicture
from croquis.events.event import ProductEvent, event_body
from croquis.events.stream import StreamError, open_stream
from croquis.formats.errors import SourceError
from croquis.params import Params, load_params
from croquis.sources import source_rows

AT_A_TIME = 256  # events in one call of the stream


def main(arguments: Sequence[str] | None = None) -> None:
    """Raises:
    SystemExit: 1 when the source or the stream cannot be used, with the reason on stderr.
    """
    options = parser().parse_args(arguments)
    try:
        params = load_params(options.params)
        stream = open_stream(options.to)
        sent = 0
        for some in batches(tqdm(catalogue_events(params, options.version), desc="events", mininterval=1.0)):
            stream.send([(event.item_id, event_body(event)) for event in some])
            sent += len(some)
        stream.close()
    except (SourceError, StreamError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(f"{sent} products sent to {options.to} at version {options.version}")


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
    return (row for row in source_rows(params.ingest, params.base.seed) if row["domain"] == "shop")


def event_of(rows: Sequence[dict[str, Any]], version: int) -> ProductEvent:
    """The rows of one product as an event; of its category the first counts, of its attributes all."""
    item_id = rows[0]["item_id"]
    pictures = (
        ProductPicture.of(item_id, row["image"], None if row.get("bbox") is None else tuple(row["bbox"]))
        for row in rows
    )
    labels = tuple(dict.fromkeys(name for row in rows for name in row.get("attributes") or ()))
    return ProductEvent(item_id, version, Product(item_id, rows[0]["category"], labels, tuple(pictures)))


def batches(events: Iterable[ProductEvent]) -> Iterator[list[ProductEvent]]:
    some: list[ProductEvent] = []
    for event in events:
        some.append(event)
        if len(some) == AT_A_TIME:
            yield some
            some = []
    if some:
        yield some


def parser() -> argparse.ArgumentParser:
    asked = argparse.ArgumentParser(
        prog="python -m croquis.events.feed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    asked.add_argument("--to", required=True, metavar="URI", help="nats://HOST:PORT/STREAM or kafka://HOST:PORT/TOPIC")
    asked.add_argument("--params", type=Path, default=Path("params.yaml"))
    asked.add_argument(
        "--version", type=int, default=int(time.time()), help="of the events (default: the time, in seconds)"
    )
    return asked


if __name__ == "__main__":
    main()
