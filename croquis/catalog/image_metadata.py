"""Pictures without what they say about themselves: a damaged or huge profile, text or thumbnail must not cost the pixels."""

from __future__ import annotations

import struct
import zlib

PNG = b"\x89PNG\r\n\x1a\n"
# Of PNG's optional chunks: transparency, EXIF (orientation), and those of animations, which are refused by their count.
KEPT_CHUNKS = (b"tRNS", b"eXIf", b"acTL", b"fcTL", b"fdAT")
JPEG = b"\xff\xd8"
SCAN = 0xDA
APP0, APP1, ADOBE, APP15, COMMENT = 0xE0, 0xE1, 0xEE, 0xEF, 0xFE
EXIF = b"Exif\0\0"
ADOBE_BYTES = 14  # of its segment, with the two of the length; it says how the colours are stored


def without_metadata(data: bytes) -> bytes | None:
    """A PNG or JPEG file with its pixels, transparency, orientation and way of storing colours only.

    Args:
        data: a file; nothing of it is decoded.

    Returns:
        The shorter file; None when it is neither, when its parts make no sense, or when there is nothing to take out.
    """
    parts = _png_parts(data) if data.startswith(PNG) else _jpeg_parts(data) if data.startswith(JPEG) else None
    bare = None if parts is None else b"".join(parts)
    return bare if bare is not None and len(bare) < len(data) else None


def _png_parts(data: bytes) -> list[bytes] | None:
    """The signature and the chunks: four bytes of length, four of type, content, four of checksum (PNG, section 5.3)."""
    parts, place = [PNG], len(PNG)
    while place + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length
        if end > len(data):
            return None
        optional = bool(kind[0] & 0x20)
        whole = zlib.crc32(data[place + 4 : end - 4]) == struct.unpack_from(">I", data, end - 4)[0]
        if not optional or (kind in KEPT_CHUNKS and whole):
            parts.append(data[place:end])
        place = end
        if kind == b"IEND":
            return parts
    return None


def _jpeg_parts(data: bytes) -> list[bytes] | None:
    """The segments before the first scan, two bytes of marker and two of length each (ITU T.81, B.1.1), and the rest."""
    parts, place = [JPEG], len(JPEG)
    while place + 4 <= len(data):
        begin, marker, length = struct.unpack_from(">BBH", data, place)
        end = place + 2 + length
        if begin != 0xFF or length < 2 or end > len(data):
            return None
        if marker == SCAN:
            return [*parts, data[place:]]
        if marker == ADOBE:
            kept = length >= ADOBE_BYTES
        elif marker == APP1:
            kept = data.startswith(EXIF, place + 4)
        else:
            kept = not (APP0 <= marker <= APP15 or marker == COMMENT)
        if kept:
            parts.append(data[place:end])
        place = end
    return None
