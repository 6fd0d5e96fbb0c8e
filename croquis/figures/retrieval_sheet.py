"""Contact sheets of an evaluation: which queries are shown, and their pictures from the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from croquis.arrays import Uint8Image
from croquis.evaluation.protocol import JudgedGallery
from croquis.evaluation.results import RunResult
from croquis.figures.contact_sheet import QueryRow, SheetResult, contact_sheet
from croquis.index.ranking import NO_ROW, label_blind_keys

Chosen = npt.NDArray[np.int64]
Generate = Callable[[Sequence[Uint8Image]], list[Uint8Image]]


def pick_queries(run: RunResult, count: int) -> Chosen:
    """Query positions that take turns over the categories, by a hash of the ids: no result is picked for its looks.

    Every method shows the same queries, so that sheets can be compared row by row.
    """
    keys = label_blind_keys(run.queries.image_ids.tolist())
    categories = run.queries.categories.astype(str)
    order = np.argsort(keys, kind="stable")
    turns = np.zeros(len(keys), dtype=np.int64)
    for name in np.unique(categories):
        members = order[categories[order] == name]
        turns[members] = np.arange(len(members))
    return np.lexsort((categories, turns))[:count]


def retrieval_sheet(
    run: RunResult, gallery: JudgedGallery, count: int, title: str, generate: Generate | None = None
) -> Image.Image:
    """Draws `count` queries with their best results; `generate` turns sketches into photos for a column of their own."""
    chosen = pick_queries(run, count)
    chosen = chosen[np.argsort(run.queries.rows[chosen], kind="stable")]  # shards are read once when rows ascend
    pictures = list(run.queries.take(chosen).images())
    generated: Sequence[Uint8Image | None] = generate(pictures) if generate else [None] * len(pictures)
    photos = gallery_photos(gallery, np.unique(run.top[chosen]))
    rows, (labels, answers) = [], (each.labels(gallery.protocol) for each in (run.queries, gallery))
    for position, picture, made in zip(chosen, pictures, generated, strict=True):
        results = [
            SheetResult(photos[row], bool(answers[row] == labels[position]), str(gallery.categories[row]))
            for row in run.top[position].tolist()
            if row != NO_ROW
        ]
        rank = int(run.ranks[position])
        caption = f"{run.queries.categories[position]}, rank {rank or 'none'}"
        rows.append(QueryRow(picture, caption, results, made))
    return contact_sheet(rows, title)


def gallery_photos(gallery: JudgedGallery, rows: Chosen) -> dict[int, Uint8Image]:
    """The photos of gallery rows, by row; -1 is left out."""
    wanted = rows[rows != NO_ROW]
    wanted = wanted[np.argsort(gallery.rows[wanted], kind="stable")]
    return dict(zip(wanted.tolist(), gallery.images(wanted), strict=True))
