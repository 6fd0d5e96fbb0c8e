"""JPEG files that their decoder scales: fewer coefficients of each block are looked at, and fewer pixels come out.

libjpeg decodes at 1/2, 1/4 or 1/8 of the size (`scale_denom` in its libjpeg.txt; Pillow calls it draft mode). It takes a
fraction of the time and memory where the net's square is far smaller than the photo.
"""

from __future__ import annotations

from PIL import Image

Box = tuple[int, int, int, int]
SCALES = (8, 4, 2)
SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations whose width is the upright height


def upright_size(image: Image.Image, orientation: object) -> tuple[int, int]:
    """Width and height of an image that is not turned yet, when it is."""
    width, height = image.size
    return (height, width) if orientation in SIDEWAYS else (width, height)


def ask_for_scale(image: Image.Image, box: Box, draft: int) -> None:
    """Lets a JPEG be decoded at the smallest scale that leaves `draft` pixels of the box's longer side.

    A file of another format, and a box of less than twice as many pixels, will be decoded in full.

    Args:
        image: opened, not loaded.
        box: x1, y1, x2, y2, what is looked at, in pixels of the upright image.
        draft: pixels, at least 1.
    """
    longer = max(box[2] - box[0], box[3] - box[1])
    for scale in SCALES:
        if longer // scale >= draft:
            width, height = image.size
            # Pillow takes the largest scale that gives at least what it is asked for.
            image.draft(None, (max(1, width // scale), max(1, height // scale)))
            return


def scaled_box(box: Box, size: tuple[int, int], now: tuple[int, int]) -> Box:
    """A box in an image of another size, to the nearest pixel, at least one pixel wide and high.

    Args:
        box: x1, y1, x2, y2, inside `size`.
        size: width and height that the box is for.
        now: those of the image.
    """
    if size == now:
        return box
    x1, x2 = _scaled(box[0], box[2], size[0], now[0])
    y1, y2 = _scaled(box[1], box[3], size[1], now[1])
    return x1, y1, x2, y2


def _scaled(first: int, last: int, length: int, now: int) -> tuple[int, int]:
    start = min((2 * first * now + length) // (2 * length), now - 1)
    return start, max((2 * last * now + length) // (2 * length), start + 1)
