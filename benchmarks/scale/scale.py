"""Constants of one core: `python -m benchmarks.scale.scale`.

Measured: every kind of index over synthetic, clustered vectors; the table of a gallery; decoding and embedding by the bundle
and by a ResNet-50 at 224 pixels; product events into a store. One thread everywhere. Each figure is kept as soon as it is
there in reports/benchmarks/scale.json, so that a call that was stopped goes on. `python -m benchmarks --render` writes
the tables of docs/benchmarks/capacity.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.common.cells import open_cell, pack, prepare_environment
from benchmarks.common.recorded_results import Results
from benchmarks.common.studies import PROJECT, Options, Row, Study, Values, listed, make_values
from benchmarks.scale.scale_indexes import SUBJECTS, measure_gallery, measure_index
from benchmarks.scale.scale_tables import ENCODER, GALLERY, GRAPH, INGEST, OURS, REFERENCE
from croquis.catalog.images import decode_image
from croquis.catalog.product import Product, ProductPicture
from croquis.catalog.table import Catalog
from croquis.events.event import ProductEvent, event_body
from croquis.events.handler import Handler
from croquis.params.data_blocks import Validate
from croquis.params.loader import parse_params
from croquis.search.local_retriever import LocalRetriever
from croquis.store.fill import spec_of
from croquis.store.versions import open_stores
from stages import train_embedder

PAPER = {
    "base": {"image_size": 224},
    "ingest": {"rendered": {"items": 48}},
    "train_embedder": {"backbone": {"name": "torchvision/resnet50"}},
}
SEED = 7
PHOTOS, EVENTS = 32, 1024
BATCH = 64  # events handled together, as `croquis events consume` does by default
REPEATS = 3
KEY = "1"  # of the way of measuring

Work = Callable[[], Values]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale.scale", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("models/bundles/siamese"))
    parser.add_argument("--catalog", type=Path, default=Path("data/catalog"), help="whose photos are embedded")
    parser.add_argument("--rows", default="10000,100000,1000000,3000000", help="of the indexes (default %(default)s)")
    parser.add_argument("--graph-rows", type=int, default=300_000, help="most rows of hnsw, which is slow to build")
    parser.add_argument("--reports", type=Path, default=PROJECT / "reports/benchmarks", help="where figures are kept")
    parser.add_argument("--scratch", type=Path, default=PROJECT / ".scratch/benchmarks", help="where workspaces are")
    parser.add_argument("--fresh", action="store_true", help="measure again what has been measured")
    given = parser.parse_args(arguments)
    results = Results(given.reports / "scale.json", machine(), given.scratch)
    for label, work in subjects(given):
        if given.fresh or not results.has(label, KEY):
            print(f"{label}: begins", flush=True)
            results.add(label, {"key": KEY, **work()})
    print(f"wrote {results.path}")


def subjects(given: argparse.Namespace) -> Iterator[tuple[str, Work]]:
    """What is measured, by its label in the report."""
    retriever, catalog = LocalRetriever.load(given.bundle), Catalog.open(given.catalog)
    shop = catalog.select(domain="shop")
    photos, many = (list(catalog.images(shop[:count])) for count in (PHOTOS, EVENTS))
    rules = parse_params(make_values(SEED)).validate_
    yield f"{ENCODER}{OURS}", lambda: encoder_rates(retriever, photos) | described(retriever)
    yield f"{ENCODER}{REFERENCE}", lambda: reference_rates(given, photos)
    yield INGEST, lambda: {"events_per_s": ingest_rate(retriever, many, rules), **described(retriever)}
    for rows in map(int, listed(given.rows)):
        yield f"{GALLERY} @ {rows}", partial(measure_gallery, rows)
        for name in SUBJECTS:
            count = min(rows, given.graph_rows) if name == GRAPH else rows
            yield f"{name} @ {count}", partial(measure_index, name, count)


def reference_rates(given: argparse.Namespace, photos: list[bytes]) -> Values:
    """Those of an untrained net of the papers' size: what its weights are makes it no slower."""
    scratch = given.scratch.resolve()
    prepare_environment(scratch)
    study = Study(about="a net of the papers' size", rows={"untrained": Row(params=PAPER)}, tables={})
    cell = open_cell(study, "untrained", SEED, Options(None, 1.0, {}, Path(), None, given.reports, scratch))
    train_embedder.main(cell.method, cell.folder)
    retriever = pack(cell)
    return encoder_rates(retriever, photos) | described(retriever)


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
    bodies = []
    for number, photo in enumerate(photos):
        shown = (ProductPicture.of(f"item-{number}", photo, None),)
        product = Product(f"item-{number}", "dress", ("colour:red",), shown)
        bodies.append(event_body(ProductEvent(f"item-{number}", 1, product)))
    with tempfile.TemporaryDirectory() as folder:
        stores = open_stores(f"faiss:{Path(folder) / 'store'}")
        handler = Handler(retriever, stores.create(spec_of(retriever.bundle)), rules)
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


def described(retriever: LocalRetriever) -> Values:
    """What is known of a bundle beside its rates; `gallery_bytes` are those of its table's file, per image."""
    manifest = retriever.bundle.manifest
    size = (retriever.bundle.folder / "gallery.parquet").stat().st_size
    about = {"method": manifest.method, "image_size": manifest.preprocess.size}
    return about | {"gallery_bytes": round(size / len(retriever.bundle.items), 1)}


def machine() -> Values:
    """What the figures hold for; the processor's name as Linux gives it."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.processor()
    return {"processor": processor, "cores": os.cpu_count(), "python": platform.python_version()}


if __name__ == "__main__":
    main()
