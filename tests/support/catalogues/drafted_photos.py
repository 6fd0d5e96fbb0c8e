"""Files of every kind that a JPEG decoder's scale may meet, each with its box and the scale that is right for it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

DRAFT = 40  # pixels
Box = list[int] | None


def picture(seed: int, width: int, height: int) -> Image.Image:
    """Blocks of random colours: another part of it is another picture."""
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize((width, height), Image.Resampling.BICUBIC)


def saved(seed: int, size: tuple[int, int] = (303, 200), mode: str = "RGB", turned: int = 1, **options: Any) -> bytes:
    """A file of a picture; `size` is what the file stores, before it is turned."""
    stream, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = turned
    kind = {"format": "JPEG", "quality": 95}
    picture(seed, *size).convert(mode).save(stream, exif=exif, **kind | options)
    return stream.getvalue()


PHOTOS: dict[str, tuple[bytes, Box, int]] = {
    "baseline": (saved(1), None, 4),
    "eighth": (saved(2, (336, 248)), None, 8),
    "progressive": (saved(3, progressive=True), None, 4),
    "upside down": (saved(4, turned=3), [7, 5, 180, 190], 4),
    "turned": (saved(5, turned=6), None, 4),
    "turned and boxed": (saved(6, turned=8), [20, 31, 190, 250], 4),
    "mirrored": (saved(7, turned=5), [11, 60, 130, 297], 4),
    "cmyk": (saved(8, mode="CMYK"), None, 4),
    "grey": (saved(9, mode="L"), None, 4),
    "boxed": (saved(10), [33, 41, 152, 187], 2),
    "small box": (saved(11), [30, 40, 100, 110], 1),
    "tall": (saved(12, (48, 330)), None, 8),
    "tiny": (saved(13, (48, 30)), None, 1),
    "png": (saved(14, format="PNG"), [100, 20, 290, 150], 1),
    "webp": (saved(15, format="WEBP"), None, 1),
}
"""Name -> file, box in pixels of the upright photo, and the scale at which `DRAFT` has it decoded."""
