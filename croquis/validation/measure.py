"""Looks at one image file: can it be read, how large is it, what does it look like."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass

from PIL import Image

from croquis.arrays import Uint8Image
from croquis.catalog.images import (
    AnimatedImageError,
    ColourModeError,
    DamagedImageError,
    DecodeLimits,
    ImageError,
    OversizedImageError,
    read_image,
)
from croquis.validation.fingerprints import perceptual_hashes, thumbnail

MEGA = 1_000_000
# The first of these that an error is an instance of names the column of the frame that it goes to.
FAULTS = (
    (OversizedImageError, "size_problem"),
    (AnimatedImageError, "animation_problem"),
    (DamagedImageError, "damage_problem"),
    (ColourModeError, "mode_problem"),
    (ImageError, "decode_problem"),
)
PROBLEMS = (*(column for _, column in FAULTS), "blank_problem")


@dataclass(frozen=True, slots=True)
class Measured:
    """What an image file turned out to be; sizes are of the upright picture, pixels.

    Attributes:
        problem: column of the frame (one of `PROBLEMS`) and text of what is wrong with the file, else None.
        mode: Pillow's name of the colour mode that the file is stored in.
        orientation: the EXIF orientation tag as it stands in the file.
        phash, mirror_phash: perceptual hashes of the picture and its mirror image, where it was decoded.
        thumbnail: the bytes of `croquis.validation.fingerprints.thumbnail`, where it was decoded.
    """

    sha256: str
    width: int | None = None
    height: int | None = None
    mode: str | None = None
    orientation: object = None
    phash: int | None = None
    mirror_phash: int | None = None
    thumbnail: bytes | None = None
    problem: tuple[str, str] | None = None


def measure(data: bytes, max_megapixels: float) -> Measured:
    """Decodes `data` unless its header states more than `max_megapixels` million pixels."""
    digest = hashlib.sha256(data).hexdigest()
    try:
        with warnings.catch_warnings():  # the limit below is tighter than the size that Pillow warns of
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            decoded = read_image(data, DecodeLimits(max_pixels=int(max_megapixels * MEGA)))
    except ImageError as error:
        column = next(column for kind, column in FAULTS if isinstance(error, kind))
        return Measured(digest, problem=(column, str(error)))
    plain, mirrored = perceptual_hashes(decoded.pixels)
    height, width = decoded.pixels.shape[:2]
    small = thumbnail(decoded.pixels)
    return Measured(
        digest,
        width,
        height,
        decoded.mode,
        decoded.orientation,
        plain,
        mirrored,
        small.tobytes(),
        _blank(decoded.pixels, small),
    )


def _blank(pixels: Uint8Image, small: Uint8Image) -> tuple[str, str] | None:
    if (small == small[0, 0]).all() and (pixels == pixels[0, 0]).all():
        return "blank_problem", "every pixel is #{:02x}{:02x}{:02x}".format(*pixels[0, 0])
    return None
