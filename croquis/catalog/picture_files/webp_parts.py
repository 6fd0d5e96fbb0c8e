"""WebP (RFC 9649): chunks are counted, and only those of the picture are left."""

from __future__ import annotations

import struct

from croquis.catalog.picture_files.bare_file import MOST_PARTS, BareFile, animated, costly
from croquis.catalog.picture_files.orientation import orientation_of

HEAD = 12  # RIFF, length, WEBP
PIXELS = (b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF")
EXTENDED, FRAME, LOSSLESS = b"VP8X", b"ANMF", b"VP8L"
METADATA_FLAGS = 0x2C  # profile, EXIF, XMP
LOSSLESS_PASSES = 20  # the code tables of a hostile file take as long as so many passes, and 5 kB per 16 pixels


def bare_webp(data: bytes) -> BareFile:
    """Size, transparency and pixels; a chunk that is cut off is left as it is.

    Raises:
        AnimatedImageError: when it holds more than one frame.
        CostlyImageError: when there are more chunks than are read.
    """
    parts, said, frames, passes, place = list[bytes](), dict[bytes, bytes](), 0, 1, HEAD
    for _ in range(MOST_PARTS):
        if place + 8 > len(data):
            break
        kind, length = struct.unpack_from("<4sI", data, place)
        end = place + 8 + length + length % 2
        chunk = data[place:end]
        frames += kind == FRAME
        if frames > 1:
            raise animated("WEBP")
        if kind == EXTENDED and len(chunk) > 8:
            parts.append(chunk[:8] + bytes([chunk[8] & ~METADATA_FLAGS]) + chunk[9:])
        elif kind in PIXELS:
            parts.append(chunk)
            passes = LOSSLESS_PASSES if LOSSLESS in chunk[:64] or kind in (LOSSLESS, b"ALPH") else passes
        else:
            said.setdefault(kind, chunk[8:])
        place = end
    else:
        raise costly("WEBP", MOST_PARTS, "chunks", MOST_PARTS)
    content = b"WEBP" + b"".join(parts)
    orientation = orientation_of(said.get(b"EXIF"), said.get(b"XMP "))
    return BareFile("WEBP", b"RIFF" + struct.pack("<I", len(content)) + content, orientation, passes)
