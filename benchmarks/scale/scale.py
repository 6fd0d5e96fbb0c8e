"""Constants of one core, and what catalogues of 1 million to 1 billion images need: `python -m benchmarks.scale.scale`.

Measured: every kind of index over synthetic, clustered vectors; the table of a gallery; decoding and embedding by the bundle
and by a ResNet-50 at 224 pixels; product events into a store. One thread everywhere. Each figure is kept as soon as it is
there, so that a call that was stopped goes on. The rest is arithmetic, and a simulation of queries that wait
(benchmarks/scale/capacity.py).

Writes reports/benchmarks/scale.json; with --render, the tables of docs/scale.md.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.common.benchmark_command import Options, Values, add_options, listed, make_values, run_command
from benchmarks.common.recorded_results import Results
from benchmarks.common.runner import open_cell, open_data, pack, prepare_environment
from benchmarks.scale.scale_indexes import SUBJECTS, measure_gallery, measure_index
from benchmarks.scale.scale_rates import encoder_rates, ingest_rate
from benchmarks.scale.scale_tables import ENCODER, GALLERY, GRAPH, INGEST, OURS, REFERENCE
from croquis.catalog.table import Catalog
from croquis.params.loader import parse_params
from croquis.search.local_retriever import LocalRetriever
from stages import train_embedder

PAPER = {
    "base": {"image_size": 224},
    "ingest": {"rendered": {"items": 48}},
    "train_embedder": {"backbone": {"name": "resnet50"}},
}
PHOTOS, EVENTS = 32, 1024
KEY = "1"  # of the way of measuring

Work = Callable[[], Values]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale.scale", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("models/bundles/siamese"))
    parser.add_argument("--catalog", type=Path, default=Path("data/catalog"), help="whose photos are embedded")
    parser.add_argument("--rows", default="10000,100000,1000000,3000000", help="of the indexes (default %(default)s)")
    parser.add_argument("--graph-rows", type=int, default=300_000, help="most rows of hnsw, which is slow to build")
    add_options(parser, seeds="7")
    run_command(parser, arguments, measure)


def measure(given: argparse.Namespace, options: Options) -> None:
    results = Results(options.reports / "scale.json", machine(), options.scratch)
    for label, work in subjects(given, options):
        if options.fresh or not results.has(label, KEY):
            print(f"{label}: begins", flush=True)
            results.add(label, {"key": KEY, **work()})
    print(f"wrote {results.path}")


def subjects(given: argparse.Namespace, options: Options) -> Iterator[tuple[str, Work]]:
    """What is measured, by its label in the report."""
    retriever, catalog = LocalRetriever.load(given.bundle), Catalog.open(given.catalog)
    shop = catalog.select(domain="shop")
    photos, many = (list(catalog.images(shop[:count])) for count in (PHOTOS, EVENTS))
    yield f"{ENCODER}{OURS}", lambda: encoder_rates(retriever, photos) | described(retriever)
    yield f"{ENCODER}{REFERENCE}", lambda: reference_rates(options, photos)
    yield INGEST, lambda: {"events_per_s": ingest_rate(retriever, many, validated(options)), **described(retriever)}
    for rows in map(int, listed(given.rows)):
        yield f"{GALLERY} @ {rows}", partial(measure_gallery, rows)
        for name in SUBJECTS:
            count = min(rows, given.graph_rows) if name == GRAPH else rows
            yield f"{name} @ {count}", partial(measure_index, name, count)


def reference_rates(options: Options, photos: list[bytes]) -> Values:
    """Those of an untrained net of the papers' size: what its weights are makes it no slower."""
    prepare_environment(options.scratch)
    values = make_values(options, options.seeds[0], PAPER)
    cell = open_cell(values, "untrained", open_data(values, options.scratch), options.scratch)
    train_embedder.main(cell.method, cell.folder)
    retriever = pack(cell)
    return encoder_rates(retriever, photos) | described(retriever)


def described(retriever: LocalRetriever) -> Values:
    """What is known of a bundle beside its rates; `thumbnail_bytes` and `gallery_bytes` are those of its file, per image."""
    file = retriever.bundle.folder / "gallery.parquet"
    manifest = retriever.bundle.manifest
    return {
        "method": manifest.method,
        "image_size": manifest.preprocess.size,
        "gallery_bytes": round(file.stat().st_size / len(retriever.bundle.items), 1),
    }


def validated(options: Options) -> Any:
    """The rules that an event is checked by."""
    return parse_params(make_values(options, options.seeds[0])).validate_


def machine() -> Values:
    """What the figures hold for."""
    return {"processor": processor(), "cores": os.cpu_count(), "python": platform.python_version()}


def processor() -> str:
    """Its name, as Linux gives it."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").is_file() else ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
