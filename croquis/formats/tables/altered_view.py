"""An altered copy of a photo: the query for it where neither products nor labels tell a right answer.

A part of the photo, mirrored or not, in other light and colours: what the self-supervised methods take for another view of
the same thing (Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", 2020).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from croquis.catalog.image_errors import ImageError
from croquis.catalog.images import crop, decode_image, encode_jpeg

SHARE = (0.4, 0.8)  # of the photo's area that is kept, with its proportions
CHANGE = (0.7, 1.3)  # of brightness, contrast and saturation, one factor each
GREY = np.array([0.299, 0.587, 0.114])  # what a colour weighs in its grey, as in JPEG
LEAST_SIDE = 32  # pixels of the copy


def altered_view(data: bytes, key: str, bbox: Sequence[int] | None = None) -> bytes:
    """A copy as a JPEG; bytes that are no picture come back as they are.

    Args:
        data: the photo's file.
        key: decides on all that is random, so that equal photos of equal keys give equal copies.
        bbox: x1, y1, x2, y2, the part of the photo that counts.
    """
    draw = np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big"))
    try:
        photo = crop(decode_image(data), bbox)
    except ImageError:
        return data
    height, width = photo.shape[:2]
    side = float(draw.uniform(*SHARE)) ** 0.5
    rows, columns = (min(whole, max(LEAST_SIDE, round(side * whole))) for whole in (height, width))
    top, left = (int(draw.integers(whole - part + 1)) for whole, part in ((height, rows), (width, columns)))
    part = photo[top : top + rows, left : left + columns].astype(np.float64)
    brightness, contrast, saturation = draw.uniform(*CHANGE, size=3)
    part *= brightness
    part = part.mean() + contrast * (part - part.mean())
    grey = (part @ GREY)[..., None]
    part = grey + saturation * (part - grey)
    if draw.random() < 0.5:
        part = part[:, ::-1]
    return encode_jpeg(np.ascontiguousarray(np.clip(np.rint(part), 0, 255).astype(np.uint8)))
