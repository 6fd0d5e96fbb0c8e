"""PNG (third edition): chunks are counted, and optional ones left out but for transparency."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

from croquis.catalog.image_errors import DamagedImageError
from croquis.catalog.picture_files.bare_file import MOST_PARTS, BareFile, animated, costly
from croquis.catalog.picture_files.orientation import orientation_of

SIGNATURE = b"\x89PNG\r\n\x1a\n"
OPTIONAL = 0x20  # in the first byte of a chunk's type
XMP, RAW_EXIF = b"XML:com.adobe.xmp", b"Raw profile type exif"  # the second one is ImageMagick's
LONGEST_TEXT = 1 << 18  # that is looked at; a JPEG holds at most 64 kB of either
TEXTS = (b"tEXt", b"zTXt", b"iTXt")
READ_OPTIONAL = (b"tRNS", b"acTL", b"eXIf", *TEXTS)
RAW_LINES = 3  # an empty one, the profile's name and its length stand before the digits
HEX = b"0123456789abcdefABCDEF"
NOT_HEX = bytes(set(range(256)) - set(HEX))


def bare_png(data: bytes) -> BareFile:
    """Header, palette, transparency and pixels; a chunk that is cut off is left as it is.

    Raises:
        DamagedImageError: when it has no pixels.
        AnimatedImageError: when it states more than one frame.
        CostlyImageError: when there are more chunks than are read.
    """
    parts, said, place = [SIGNATURE], dict[bytes, bytes](), len(SIGNATURE)
    for _ in range(MOST_PARTS):
        if place + 12 > len(data):
            parts.append(data[place:])
            break
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length
        if not kind[0] & OPTIONAL:
            parts.append(data[place:end])
        elif kind in READ_OPTIONAL and _whole(data, place, end):
            name, content = _named(kind, data[place + 8 : end - 4])
            if kind == b"tRNS" and kind not in said:
                parts.append(data[place:end])
            said.setdefault(name, content)
        place = end
        if kind == b"IEND":
            break
    else:
        raise costly("PNG", MOST_PARTS, "chunks", MOST_PARTS)
    if not any(part.startswith(b"IDAT", 4) for part in parts):
        raise DamagedImageError("the image is truncated or damaged: it ends before its pixels")
    if int.from_bytes(said.get(b"acTL", b"")[:4]) > 1:
        raise animated("PNG")
    exif = said[b"eXIf"] if b"eXIf" in said else _raw_exif(said)
    return BareFile("PNG", b"".join(parts), orientation_of(exif, _xmp(said)))


def _whole(data: bytes, place: int, end: int) -> bool:
    return end <= len(data) and zlib.crc32(data[place + 4 : end - 4]) == int.from_bytes(data[end - 4 : end])


def _named(kind: bytes, content: bytes) -> tuple[bytes, bytes]:
    """The keyword of a text and what follows it; any other chunk goes by its type."""
    keyword, _, rest = content.partition(b"\0") if kind in TEXTS else (kind, b"", content)
    return keyword, kind + rest if kind in TEXTS else rest


def _raw_exif(said: Mapping[bytes, bytes]) -> bytes | None:
    kind, text = said.get(RAW_EXIF, b"")[:4], said.get(RAW_EXIF, b"")[4:]
    lines = (_unpacked(text[1:]) if kind == b"zTXt" else text[:LONGEST_TEXT]).split(b"\n", RAW_LINES)
    digits = lines[-1].translate(None, NOT_HEX) if len(lines) > RAW_LINES else b""
    return bytes.fromhex(digits[: len(digits) // 2 * 2].decode()) or None


def _xmp(said: Mapping[bytes, bytes]) -> bytes | None:
    """Of an iTXt: a flag and a method of compression, then two texts that end in NUL, stand before the packet."""
    packed, text = said.get(XMP, b"")[4:5] == b"\1", said.get(XMP, b"")[6:].split(b"\0", 2)[-1]
    return (_unpacked(text) if packed else text) or None


def _unpacked(content: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(content, LONGEST_TEXT)
    except zlib.error:
        return b""
