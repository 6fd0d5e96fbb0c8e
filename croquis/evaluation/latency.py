"""How long a query takes, for the gate: several bundles in turn, so that a busy moment of the machine hits all of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from croquis.bundle import Bundle
from croquis.catalog.table import Catalog
from croquis.evaluation.protocol import PAIRS
from croquis.search.bundle_nets import Nets
from croquis.search.gallery import BundleGallery
from croquis.search.local_retriever import LocalRetriever

QUERIES = 30
ROUNDS = 3


def query_latencies(bundles: Sequence[Bundle], split: str, pair: str, root: Path) -> list[float]:
    """Median milliseconds of one query per bundle, from the encoded picture to ranked products.

    The best of a few rounds counts per query: whatever else the machine does only ever adds time. All search as many images:
    of larger galleries as many as the smallest has, evenly spread, in an index of the bundle's own kind.
    """
    domain = next(found.query_domain for found in PAIRS if found.name == pair)
    images = _queries(split, domain, root)
    smallest = min(len(bundle.index) for bundle in bundles)
    retrievers = [of_size(bundle, smallest) for bundle in bundles]
    times = np.full((len(bundles), len(images)), np.inf)
    for _ in range(ROUNDS):
        for column, image in enumerate(images):
            for row, retriever in enumerate(retrievers):
                times[row, column] = min(times[row, column], _time(retriever, image, domain))
    return [float(np.median(row) * 1000) for row in times]


def of_size(bundle: Bundle, images: int) -> LocalRetriever:
    """A bundle over so many of its images, at most all."""
    gallery = BundleGallery.of(bundle)
    if images < len(bundle.index):
        rows = np.linspace(0, len(bundle.index) - 1, images).astype(np.int64)
        index = bundle.index.refilled(bundle.index.vectors(rows))
        index.threads = bundle.index.threads
        gallery = BundleGallery(index, bundle.items.take(rows), bundle.manifest.attributes)
    return LocalRetriever(Nets(bundle), gallery, bundle.manifest.rerank)


def _time(retriever: LocalRetriever, image: bytes, domain: str) -> float:
    start = time.perf_counter()
    retriever.search(image, k=10, mode=retriever.nets.mode_of(domain))
    return time.perf_counter() - start


def _queries(split: str, domain: str, root: Path) -> list[bytes]:
    """Evenly spread queries of the split."""
    drawn = Catalog.open_if_any(root / "data/sketches") if domain == "sketch" else None
    catalog = drawn or Catalog.open(root / "data/catalog")
    rows = catalog.select(split=split, role="query", domain=domain)
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(QUERIES, len(rows))).astype(int))]
    return list(catalog.images(chosen.tolist()))
