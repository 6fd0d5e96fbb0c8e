"""The gallery's photos and their thumbnails, which are made once for the bundles of all methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from croquis.arrays import Rows
from croquis.catalog.images import encode_jpeg, prepare_file
from croquis.catalog.prepared_photos import Piece, Preparation, check_draft, over_pieces, place_beside
from croquis.catalog.table import Catalog
from croquis.files import made_once

FILE = "thumbnails.arrow"
THUMBNAILS = pa.schema([pa.field("thumbnail", pa.binary(), nullable=False)])
BATCH = 512  # thumbnails in memory at a time


def gallery_rows(catalog: Catalog) -> Rows:
    """Every shop photo but the shop queries of val and test, so all that a protocol may search; in order of image_id."""
    rows = catalog.select(domain="shop", role=["gallery", "train"])
    return rows[np.argsort(catalog.column("image_id")[rows].astype(str), kind="stable")]


def open_thumbnails(catalog: Catalog, side: int, how: Preparation) -> pa.Table:
    """The column `thumbnail`, a JPEG of each of `gallery_rows`, memory-mapped; made now unless an earlier call has done it.

    Args:
        side: of the thumbnails, pixels.

    Raises:
        PreparedError: when a photo cannot be decoded, or `how.draft` is less than the side.
    """
    check_draft(how.draft, side)
    folder, key = place_beside(catalog, f"thumbnails-{side}", how.draft, side=side)
    made_once(folder, key, lambda partial: _make(catalog, side, how, partial))
    return _mapped(folder / FILE)


@dataclass(frozen=True)
class _Thumbnails:
    side: int
    draft: int

    def __call__(self, piece: Piece) -> list[bytes]:
        return list(piece.each(self._jpeg))

    def _jpeg(self, data: bytes, box: Sequence[int] | None) -> bytes:
        return encode_jpeg(prepare_file(data, self.side, box, self.draft))


def _make(catalog: Catalog, side: int, how: Preparation, folder: Path) -> None:
    """Photos are read in the catalogue's order, and their thumbnails then put in that of their ids."""
    rows = gallery_rows(catalog)
    order = np.argsort(rows)
    unordered = folder / f"unordered-{FILE}"
    with pa.OSFile(str(unordered), "wb") as sink, pa.ipc.new_file(sink, THUMBNAILS) as writer:
        for thumbnails in over_pieces(_Thumbnails(side, how.draft), catalog, rows[order], how):
            writer.write_batch(pa.record_batch([pa.array(thumbnails, pa.binary())], schema=THUMBNAILS))
    column, places = _mapped(unordered).column(0), np.argsort(order)
    with pa.OSFile(str(folder / FILE), "wb") as sink, pa.ipc.new_file(sink, THUMBNAILS) as writer:
        for start in range(0, len(rows), BATCH):
            found = column.take(pa.array(places[start : start + BATCH])).combine_chunks()
            writer.write_batch(pa.record_batch([found], schema=THUMBNAILS))
    unordered.unlink()


def _mapped(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()
