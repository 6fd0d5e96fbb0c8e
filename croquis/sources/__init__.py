"""Where catalogues come from: one module per source. No stages, no decoding beyond what a source's format demands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from croquis.plugins import SOURCES

if TYPE_CHECKING:
    from croquis.params.block import Block
    from croquis.params.data_blocks import Ingest

Row = dict[str, Any]


@dataclass(frozen=True)
class Source:
    """One source of catalogues, the constant `SOURCE` of its module.

    Attributes:
        params: the class of its block, `ingest.NAME` in params.yaml.
        rows: gives catalogue rows (see `croquis.catalog.table.SCHEMA`) one at a time, so that `ingest` never holds more
            than a shard of images; takes the block and `base.seed`.
        fitting_protocols: values of `base.protocol` that the source's splits and roles can be measured by; None for any.
    """

    params: type[Block]
    rows: Callable[[Any, int], Iterator[Row]]
    fitting_protocols: Callable[[Any], tuple[str, ...]] | None = None


def source_rows(ingest: Ingest, seed: int) -> Iterator[Row]:
    """Rows of the source that `ingest.source` names, read with the block of the same name.

    Raises:
        croquis.formats.errors.SourceError: when the source's files are missing or malformed, naming file and place.
    """
    source: Source = SOURCES.entry(ingest.source)
    return source.rows(ingest.block, seed)
