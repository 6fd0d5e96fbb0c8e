"""From a photo's file to the square that nets see, without the copies that `decode_image` and `prepare_image` make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from croquis.arrays import Uint8Image
from croquis.catalog.images import fit_square, inside, open_image

Decoding = Literal["full", "draft"]
"""`full`: every pixel of the file. `draft`: a JPEG at a half, a quarter or an eighth of its sides where what is wanted of it
stays `GAP` times as large as the square: faster, and other last bits."""
GAP = 2
FACTORS = (8, 4, 2)


def prepare_file(data: bytes, size: int, bbox: Sequence[int] | None = None, decoding: Decoding = "full") -> Uint8Image:
    """`prepare_image` of what `decode_image` reads; with the decoding `full` the same pixels.

    Args:
        size: side of the square, pixels.
        bbox: x1, y1, x2, y2 in pixels of the upright photo, however it is decoded; the whole photo when None.

    Returns:
        uint8 of shape (size, size, 3).

    Raises:
        ImageError: as both.
    """

    def shrink(width: int, height: int) -> int:
        x1, y1, x2, y2 = (0, 0, width, height) if bbox is None else inside(bbox, width, height)
        longest = max(x2 - x1, y2 - y1)
        return next((factor for factor in FACTORS if longest >= factor * GAP * size), 1)

    opened = open_image(data, shrink=shrink if decoding == "draft" else None)
    if bbox is None:
        return fit_square(opened.upright, size)
    scaled = bbox if opened.shrunk == 1 else [round(value / opened.shrunk) for value in bbox]
    return fit_square(opened.upright.crop(inside(scaled, *opened.upright.size)), size)
