"""What is particular to line drawings: what they are called, and where on the sheet they are."""

from __future__ import annotations

import re

import numpy as np

from croquis.arrays import Uint8Image

SKETCH_PREFIX = "sketch-of/"
_TRACED = re.compile(r"sketch(-\d+)?-of/(?P<photo>.+)", re.DOTALL)
INK = 128  # below: part of a line
MARGIN = 0.02  # paper left around the ink, share of its longer side


def drawing_id(photo_id: str, number: int = 0) -> str:
    """The image id of a photo's drawing; `number` counts the drawings of one photo from 0.

    >>> drawing_id("a/front"), drawing_id("a/front", 1)
    ('sketch-of/a/front', 'sketch-2-of/a/front')
    """
    return f"{SKETCH_PREFIX}{photo_id}" if number == 0 else f"sketch-{number + 1}-of/{photo_id}"


def photo_of(image_id: str) -> str | None:
    """The id of the photo that a drawing was traced from; None for a photo, and for a drawing that stands alone."""
    found = _TRACED.fullmatch(image_id)
    return None if found is None else found["photo"]


def crop_to_ink(drawing: Uint8Image) -> Uint8Image:
    """The part of a drawing (H, W, 3), dark on white, that holds its lines, with a narrow margin; all of a blank sheet.

    A photo is looked at inside its garment's box; this is the box of a drawing.
    """
    rows, columns = np.nonzero(drawing.min(axis=2) < INK)
    if not len(rows):
        return drawing
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    margin = round(MARGIN * max(bottom - top, right - left))
    return np.ascontiguousarray(drawing[max(0, top - margin) : bottom + margin, max(0, left - margin) : right + margin])
