"""Retrieval contact sheets: a query per row, then its best results in green (right item) or red frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from croquis.arrays import Uint8Image
from croquis.figures.tiles import HIT, INK, MISS, MUTED, WHITE, tile, write

SIDE = 96
MARGIN = 6
CAPTION = 16
TITLE = 28
HEADER = 20
GAP = 14


@dataclass(frozen=True)
class SheetResult:
    """One gallery photo of a row: uint8 (H, W, 3), whether it is right, and a line of text below."""

    image: Uint8Image
    relevant: bool
    caption: str = ""


@dataclass(frozen=True)
class QueryRow:
    """A query with its results, best first; `generated` is the photo that the sketch was turned into, if it was."""

    query: Uint8Image
    caption: str
    results: Sequence[SheetResult]
    generated: Uint8Image | None = None


def contact_sheet(rows: Sequence[QueryRow], title: str) -> Image.Image:
    """Draws the rows under a title and column headings.

    Raises:
        ValueError: when there are no rows.
    """
    if not rows:
        raise ValueError(f"the contact sheet {title!r} has no rows")
    step = SIDE + MARGIN
    with_generated = any(row.generated is not None for row in rows)
    left = MARGIN + step * (2 if with_generated else 1) + GAP
    columns = max(len(row.results) for row in rows)
    size = (left + step * max(columns, 1), TITLE + HEADER + len(rows) * (step + CAPTION))
    sheet = Image.new("RGB", size, WHITE)
    _headings(sheet, title, left, columns, with_generated)
    for number, row in enumerate(rows):
        _draw_row(sheet, row, left, TITLE + HEADER + number * (step + CAPTION))
    return sheet


def _headings(sheet: Image.Image, title: str, left: int, columns: int, with_generated: bool) -> None:
    step = SIDE + MARGIN
    write(sheet, (MARGIN, 6), title, sheet.width - 2 * MARGIN, size=15)
    write(sheet, (MARGIN, TITLE + 2), "query", SIDE, ink=MUTED)
    if with_generated:
        write(sheet, (MARGIN + step, TITLE + 2), "generated", SIDE, ink=MUTED)
    for column in range(columns):
        write(sheet, (left + column * step, TITLE + 2), str(column + 1), SIDE, ink=MUTED)
    ImageDraw.Draw(sheet).line((left - GAP, TITLE, left - GAP, sheet.height - MARGIN), fill=(200, 200, 200))


def _draw_row(sheet: Image.Image, row: QueryRow, left: int, top: int) -> None:
    step = SIDE + MARGIN
    sheet.paste(tile(row.query, SIDE), (MARGIN, top))
    write(sheet, (MARGIN, top + SIDE + 1), row.caption, left - GAP - 2 * MARGIN, size=11, ink=INK)
    if row.generated is not None:
        sheet.paste(tile(row.generated, SIDE), (MARGIN + step, top))
    for column, result in enumerate(row.results):
        at = (left + column * step, top)
        sheet.paste(tile(result.image, SIDE, HIT if result.relevant else MISS), at)
        ink = HIT if result.relevant else MUTED
        write(sheet, (at[0], top + SIDE + 1), result.caption, SIDE, size=11, ink=ink)
