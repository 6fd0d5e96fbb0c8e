"""Which photo of a catalogue each drawing shows."""

from __future__ import annotations

import numpy as np

from croquis.arrays import Rows
from croquis.catalog.drawings import photo_of
from croquis.catalog.table import Catalog


class PairError(ValueError):
    """The sketches do not pair with the photos of the catalogue."""


def pair_rows(sketches: Catalog, catalog: Catalog, split: str) -> tuple[Rows, Rows]:
    """Rows of the sketches of one split whose id names a photo, and the row of that photo in the catalogue, (N,) each.

    Raises:
        PairError: when there are none, or a sketch names a photo that the catalogue lacks or that is of another split.
    """
    rows = sketches.select(split=split)
    ids = sketches.column("image_id")[rows]
    chosen = np.asarray([i for i, name in enumerate(ids) if photo_of(name)], dtype=np.int64)
    if not len(chosen):
        raise PairError(f"{sketches.folder} has no {split} sketches of photos; run the sketch stage")
    row_of = {name: row for row, name in enumerate(catalog.column("image_id"))}
    photo_ids = [photo_of(name) for name in ids[chosen]]
    missing = [name for name in photo_ids if name not in row_of]
    if missing:
        raise PairError(f"{catalog.folder} lacks the photos {missing[:3]} that sketches were made of; run `dvc repro`")
    photo_rows = np.asarray([row_of[name] for name in photo_ids], dtype=np.int64)
    wrong = catalog.column("split")[photo_rows] != split
    if wrong.any():
        raise PairError(
            f"sketches of the split {split} show photos of another split: {np.asarray(photo_ids)[wrong][:3]}"
        )
    return rows[chosen], photo_rows
