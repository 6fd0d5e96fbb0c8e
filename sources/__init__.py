"""Where catalogues come from: one module per source, each with `rows(block, seed)`.

A source yields catalogue rows one at a time (see `retrieval.catalog.SCHEMA`), so that ingest never holds more than a
shard of images. A new source is one module, one line in `SOURCES`, one block under `ingest` in params.yaml and one
test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

from params.data import Ingest

RowSource = Callable[[Any, int], Iterator[dict[str, Any]]]


def _module(name: str) -> RowSource:
    """The `rows` function of a module that is imported at its first use, for some sources need heavy libraries."""

    def rows(block: Any, seed: int) -> Iterator[dict[str, Any]]:
        source: RowSource = import_module(name).rows
        return source(block, seed)

    return rows


SOURCES: Mapping[str, RowSource] = {
    "embedded": _module("sources.embedded"),
    "folder": _module("sources.folder"),
    "parquet": _module("sources.parquet"),
    "fashion_mnist": _module("sources.fashion_mnist"),
    "cifar10": _module("sources.cifar10"),
    "idx": _module("sources.idx"),
    "deepfashion_inshop": _module("sources.deepfashion_inshop"),
    "deepfashion_c2s": _module("sources.deepfashion_c2s"),
    "deepfashion_attributes": _module("sources.deepfashion_attributes"),
    "deepfashion2": _module("sources.deepfashion2"),
}


def source_rows(ingest: Ingest, seed: int) -> Iterator[dict[str, Any]]:
    """Rows of the source that `ingest.source` names, read with the block of the same name.

    Raises:
        sources.errors.SourceError: when the source's files are missing or malformed, naming file and place.
    """
    return SOURCES[ingest.source](getattr(ingest, ingest.source), seed)
