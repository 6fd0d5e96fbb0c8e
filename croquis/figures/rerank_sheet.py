"""Contact sheet of a re-ranking: where each result stood before, and the attributes that moved it up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from croquis.arrays import Uint8Image
from croquis.evaluation.protocol import JudgedGallery
from croquis.evaluation.results import RunResult
from croquis.figures.retrieval_sheet import gallery_photos, pick_queries
from croquis.figures.tiles import HIT, INK, MISS, MUTED, WHITE, tile, write
from croquis.index.ranking import NO_ROW

SIDE = 112
MARGIN = 6
TITLE = 28
LINE = 13
LINES = 4  # below a result: its move, and three attributes
RESULTS = 8


@dataclass(frozen=True)
class Moved:
    """A result after the re-ranking: its photo, whether it is right, its ranks from 1, and why it moved up."""

    image: Uint8Image
    relevant: bool
    rank: int
    before: int
    reasons: Sequence[str]

    @property
    def move(self) -> str:
        """`2, was 6` where it moved."""
        return str(self.rank) if self.rank == self.before else f"{self.rank}, was {self.before}"


def rerank_sheet(run: RunResult, gallery: JudgedGallery, count: int, title: str) -> Image.Image:
    """Draws `count` queries, the same ones as the plain sheet, with their results after the re-ranking.

    Raises:
        ValueError: when the run was not re-ranked.
    """
    if run.before is None:
        raise ValueError(f"{run.name} was not re-ranked: there is nothing to tell")
    chosen = pick_queries(run, count)
    chosen = chosen[np.argsort(run.queries.rows[chosen], kind="stable")]  # shards are read once when rows ascend
    pictures = list(run.queries.take(chosen).images())
    photos = gallery_photos(gallery, np.unique(run.top[chosen, :RESULTS]))
    labels, answers = (each.labels(gallery.protocol) for each in (run.queries, gallery))
    step, height = SIDE + MARGIN, SIDE + MARGIN + LINES * LINE
    sheet = Image.new("RGB", (MARGIN + step * (RESULTS + 1), TITLE + height * len(chosen)), WHITE)
    write(sheet, (MARGIN, 6), title, sheet.width - 2 * MARGIN, size=15)
    for line, (position, picture) in enumerate(zip(chosen.tolist(), pictures, strict=True)):
        top = TITLE + line * height
        sheet.paste(tile(picture, SIDE), (MARGIN, top))
        write(sheet, (MARGIN, top + SIDE + 1), str(run.queries.categories[position]), SIDE, size=11, ink=INK)
        for place, row in enumerate(run.top[position, :RESULTS].tolist()):
            if row == NO_ROW:
                continue
            right = bool(answers[row] == labels[position])
            was, reasons = int(run.before[position, place]) + 1, run.reasons[position][place]
            draw_result(sheet, Moved(photos[row], right, place + 1, was, reasons), (MARGIN + step * (place + 1), top))
    return sheet


def draw_result(sheet: Image.Image, result: Moved, at: tuple[int, int]) -> None:
    """The photo in its frame with its left top corner `at`, its move and the reasons below."""
    left, top = at
    sheet.paste(tile(result.image, SIDE, HIT if result.relevant else MISS), at)
    write(sheet, (left, top + SIDE + 1), result.move, SIDE, size=11, ink=INK)
    for number, reason in enumerate(result.reasons[: LINES - 1], start=1):
        write(sheet, (left, top + SIDE + 1 + number * LINE), reason, SIDE, size=10, ink=MUTED)
