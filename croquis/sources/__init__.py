"""Where catalogues come from: one module per source, each with `rows(block, seed)`, which yields one row at a time.

A new source is one module, one line in `SOURCES`, one block under `ingest` in params.yaml and one test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

from croquis.params.data_blocks import Ingest

RowSource = Callable[[Any, int], Iterator[dict[str, Any]]]


def _module(name: str) -> RowSource:
    """The `rows` function of a module that is imported at its first use, for some sources need heavy libraries."""

    def rows(block: Any, seed: int) -> Iterator[dict[str, Any]]:
        source: RowSource = import_module(name).rows
        return source(block, seed)

    return rows


SOURCES: Mapping[str, RowSource] = {
    "rendered": _module("croquis.sources.rendered"),
    "folder": _module("croquis.sources.tables.folder"),
    "parquet": _module("croquis.sources.parquet"),
    "fashion_mnist": _module("croquis.sources.class_sets.fashion_mnist"),
    "cifar10": _module("croquis.sources.class_sets.cifar10"),
    "idx": _module("croquis.sources.class_sets.idx"),
    "deepfashion_inshop": _module("croquis.sources.deepfashion.deepfashion_inshop"),
    "deepfashion_c2s": _module("croquis.sources.deepfashion.deepfashion_c2s"),
    "deepfashion_attributes": _module("croquis.sources.deepfashion.deepfashion_attributes"),
    "deepfashion2": _module("croquis.sources.deepfashion.deepfashion2"),
}


def source_rows(ingest: Ingest, seed: int) -> Iterator[dict[str, Any]]:
    """Rows of the source that `ingest.source` names, read with the block of the same name.

    Raises:
        croquis.sources.errors.SourceError: when the source's files are missing or malformed, naming file and place.
    """
    return SOURCES[ingest.source](getattr(ingest, ingest.source), seed)
