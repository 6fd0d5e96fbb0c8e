"""Contact sheets that training stages show every few epochs."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from croquis.arrays import Uint8Image
from croquis.figures.tiles import MUTED, WHITE, tile, write

MARGIN = 6
HEADER = 20


def grid(images: Sequence[Sequence[Uint8Image]], labels: Sequence[str] | None = None, side: int = 96) -> Image.Image:
    """Pictures in rows and columns, e.g. one row per sketch with the columns sketch, generated, photo.

    Args:
        images: rows of uint8 (H, W) or (H, W, 3) arrays; rows may differ in length.
        labels: one heading per column.
        side: side of a tile, pixels.

    Raises:
        ValueError: when there is no picture, or there are more labels than columns.
    """
    columns = max((len(row) for row in images), default=0)
    if columns == 0:
        raise ValueError("a grid needs at least one picture")
    if labels is not None and len(labels) > columns:
        raise ValueError(f"{len(labels)} labels for {columns} columns: {list(labels)}")
    top = HEADER if labels else MARGIN
    step = side + MARGIN
    sheet = Image.new("RGB", (MARGIN + columns * step, top + len(images) * step), WHITE)
    for column, label in enumerate(labels or ()):
        write(sheet, (MARGIN + column * step, 3), label, side, ink=MUTED)
    for row, pictures in enumerate(images):
        for column, picture in enumerate(pictures):
            sheet.paste(tile(picture, side, frame_width=0), (MARGIN + column * step, top + row * step))
    return sheet
