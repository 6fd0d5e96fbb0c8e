"""Looks at one image file: can it be read, how large is it, what does it hash to."""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass

from PIL import Image

from retrieval.images import FORMATS, DecodeLimits, ImageError, decode_image
from validation.phash import perceptual_hashes

MEGA = 1_000_000


@dataclass(frozen=True)
class Measured:
    """What an image file turned out to be; sizes are of the upright picture, pixels.

    Attributes:
        decode_problem: why the file is no readable picture, else None.
        size_problem: why the file was not decoded although it may be a picture, else None.
        phash, mirror_phash: perceptual hashes of the picture and its mirror image, where it was decoded.
    """

    sha256: str
    width: int | None = None
    height: int | None = None
    phash: int | None = None
    mirror_phash: int | None = None
    decode_problem: str | None = None
    size_problem: str | None = None


def measure(data: bytes, max_megapixels: float) -> Measured:
    """Decodes `data` unless its header states more than `max_megapixels` million pixels."""
    digest = hashlib.sha256(data).hexdigest()
    size, bomb = _stated_size(data)
    if bomb or (size and size[0] * size[1] > max_megapixels * MEGA):
        stated = f"{size[0]} x {size[1]} pixels" if size else "a decompression bomb"
        width, height = size or (None, None)
        return Measured(digest, width, height, size_problem=f"{stated}, the limit is {max_megapixels:g} megapixels")
    try:
        # The header was checked above; the decoder's own limit only needs to be no tighter.
        image = decode_image(data, DecodeLimits(max_pixels=int(max_megapixels * MEGA)))
    except ImageError as error:
        return Measured(digest, decode_problem=str(error))
    plain, mirrored = perceptual_hashes(image)
    height, width = image.shape[:2]
    return Measured(digest, width, height, plain, mirrored)


def _stated_size(data: bytes) -> tuple[tuple[int, int] | None, bool]:
    """Width and height in the file's header, and whether they are so large that the header was not even read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                return image.size, False
    except Image.DecompressionBombError:
        return None, True
    except Exception:  # not a picture: decode_image says why, in the words that every other stage uses
        return None, False
