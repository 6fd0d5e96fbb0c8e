"""Which format a file is of, by its first bytes: a closed list, each with its own reader of parts."""

from __future__ import annotations

import struct

from croquis.catalog.picture_files import gif_parts, jpeg_parts, png_parts
from croquis.catalog.picture_files.bare_file import MOST_RUN_BYTES, MOST_RUN_PIXELS, BareFile, costly, unknown
from croquis.catalog.picture_files.gif_parts import bare_gif
from croquis.catalog.picture_files.jpeg_parts import bare_jpeg
from croquis.catalog.picture_files.png_parts import bare_png
from croquis.catalog.picture_files.webp_parts import bare_webp

RUN_LENGTHS = (1, 2)  # a BMP's ways of compression that are decoded byte by byte
RUN_PASSES = 8


def bare_file(data: bytes) -> BareFile:
    """The file without what its pixels do not need. It takes a fraction of the time that decoding does.

    Raises:
        ImageError: when it is of no known format, animated, or would take far longer to decode than its size says.
    """
    if data.startswith(jpeg_parts.SIGNATURE):
        return bare_jpeg(data)
    if data.startswith(png_parts.SIGNATURE):
        return bare_png(data)
    if data.startswith(gif_parts.SIGNATURES):
        return bare_gif(data)
    if data.startswith(b"RIFF") and data.startswith(b"WEBP", 8):
        return bare_webp(data)
    if data.startswith(b"BM"):
        return _checked_bmp(data)
    raise unknown()


def _checked_bmp(data: bytes) -> BareFile:
    """A BMP as it is: its parts are few."""
    if len(data) < 34 or struct.unpack_from("<I", data, 30)[0] not in RUN_LENGTHS:
        return BareFile("BMP", data)
    width, height = struct.unpack_from("<ii", data, 18)
    if len(data) > MOST_RUN_BYTES:
        raise costly("BMP", len(data), "bytes of run lengths", MOST_RUN_BYTES)
    if abs(width * height) > MOST_RUN_PIXELS:
        raise costly("BMP", abs(width * height), "pixels in run lengths", MOST_RUN_PIXELS)
    return BareFile("BMP", data, passes=RUN_PASSES)
