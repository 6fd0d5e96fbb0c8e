"""Where catalogues come from: one module per source. No stages, no decoding beyond what a source's format demands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from croquis.catalog.filters import QueryError
from croquis.catalog.product import check_item_id
from croquis.formats.errors import SourceError
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
        croquis.formats.errors.SourceError: when the source's files are missing or malformed, naming file and place, or an
            item has an id that a server cannot take in a path.
    """
    source: Source = SOURCES.entry(ingest.source)
    return map(_served, source.rows(ingest.block, seed))


def _served(row: Row) -> Row:
    """The row, if its item can be fetched and deleted."""
    try:
        check_item_id(row["item_id"])
    except QueryError as error:
        raise SourceError(f"image {row['image_id']!r}: {error}: name the item otherwise in the source") from error
    return row
