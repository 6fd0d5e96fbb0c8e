"""Edge descriptors of the gallery's photos, with which drawings are compared: made once for all evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from croquis.arrays import Rows, Uint8Image, Vectors
from croquis.catalog.edge_maps import edge_map
from croquis.catalog.gallery_photos import gallery_rows
from croquis.catalog.images import prepare_file, prepare_image
from croquis.catalog.prepared_photos import Piece, Preparation, check_draft, new_array, over_pieces, place_beside
from croquis.catalog.table import Catalog
from croquis.files import made_once, was_made
from croquis.nets.edge_descriptor import EdgeDescriptor

FILE = "descriptors.npy"


def edges_of(photos: Sequence[Uint8Image], size: int, method: str) -> Vectors:
    """Descriptors of photos of any size, (n, D), by their edge maps at `size` pixels (`croquis.catalog.edge_maps`)."""
    return EdgeDescriptor().describe([edge_map(prepare_image(photo, size), method) for photo in photos])


def make_gallery_edges(catalog: Catalog, size: int, method: str, how: Preparation) -> None:
    """Descriptors of all photos that a protocol may search, beside the catalogue, unless they are there.

    Raises:
        PreparedError: when the disk has no room, a photo cannot be decoded, or `how.draft` is less than the size.
    """
    check_draft(how.draft, size)
    folder, key = _place(catalog, size, method, how.draft)
    made_once(folder, key, lambda partial: _make(catalog, size, method, how, partial))


def find_gallery_edges(catalog: Catalog, rows: Rows, size: int, method: str, draft: int = 0) -> Vectors | None:
    """The descriptors of some photos, (n, D), in their order; None where they have not been made with that `draft`."""
    folder, key = _place(catalog, size, method, draft)
    if not was_made(folder, key):
        return None
    known, kept = np.sort(gallery_rows(catalog)), np.load(folder / FILE, mmap_mode="r")
    places = np.searchsorted(known, rows)
    return np.asarray(kept[places], dtype=np.float32)


def _place(catalog: Catalog, size: int, method: str, draft: int) -> tuple[Path, dict[str, Any]]:
    return place_beside(catalog, f"edges-{size}", draft, size=size, method=method)


@dataclass(frozen=True)
class _Edges:
    path: Path
    size: int
    method: str
    draft: int

    def __call__(self, piece: Piece) -> None:
        photos = list(piece.each(self._square))
        np.load(self.path, mmap_mode="r+")[piece.start : piece.start + len(photos)] = edges_of(
            photos, self.size, self.method
        )

    def _square(self, data: bytes, box: Sequence[int] | None) -> Uint8Image:
        return prepare_file(data, self.size, box, self.draft)


def _make(catalog: Catalog, size: int, method: str, how: Preparation, folder: Path) -> None:
    rows = np.sort(gallery_rows(catalog))
    new_array(folder / FILE, (len(rows), EdgeDescriptor().dim), np.dtype(np.float32))
    for _ in over_pieces(_Edges(folder / FILE, size, method, how.draft), catalog, rows, how):
        pass
