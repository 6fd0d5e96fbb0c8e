"""Picture files of few pixels, or few bytes, that cost a decoder far more than their size says."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

from PIL import Image

TINY = (16, 16)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def tiny(kind: str) -> bytes:
    return encoded(Image.new("RGB", TINY, (1, 2, 3)), kind)


def scans(count: int, side: int = 64) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    data = encoded(Image.new("RGB", (side, side)), "JPEG", progressive=True)
    last = data[data.rfind(b"\xff\xda") : -2]
    return data[:-2] + last * (count - data.count(b"\xff\xda")) + data[-2:]


def segment(marker: int, content: bytes = b"") -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def jpeg_with(inserted: bytes) -> bytes:
    data = tiny("JPEG")
    return data[:2] + inserted + data[2:]


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_with(inserted: bytes) -> bytes:
    """Behind the header, which is 33 bytes with the signature."""
    data = tiny("PNG")
    return data[:33] + inserted + data[33:]


def gif_with(inserted: bytes) -> bytes:
    data = tiny("GIF")
    begin = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
    return data[:begin] + inserted + data[begin:]


def webp_with(inserted: bytes) -> bytes:
    data = tiny("WEBP")
    return data[:12] + inserted + data[12:]


def run_length_bmp(width: int, height: int, runs: bytes) -> bytes:
    begin = 14 + 40 + 4 * 256
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(runs), 0, 0, 256, 256)
    return b"BM" + struct.pack("<IHHI", begin + len(runs), 0, 0, begin) + info + bytes(4 * 256) + runs


def directory(entries: int, length: int) -> bytes:
    """An EXIF block whose entries all point at the same `length` bytes."""
    head = b"II*\0" + struct.pack("<IH", 8, entries)
    each = [struct.pack("<HHII", 0x1000 + number, 7, length, 14 + 12 * entries) for number in range(entries)]
    return head + b"".join(each) + bytes(4 + length)


MEGABYTE = zlib.compress(bytes(1_000_000), 9)
FLOOD = 60_000

REFUSED = {
    "scans of a JPEG": scans(101),
    "scans of few bytes and many pixels": scans(31, side=3535),
    "empty comments of a JPEG": jpeg_with(segment(0xFE) * FLOOD),
    "empty application segments": jpeg_with(segment(0xE9) * FLOOD),
    "escaped bytes before the tables": jpeg_with(b"\xff\x00" * FLOOD),
    "restart markers before the tables": jpeg_with(b"\xff\xd0" * FLOOD),
    "quantisation tables": jpeg_with(segment(0xDB, (b"\0" + bytes(range(1, 65))) * 1000) * 3),
    "an arithmetic JPEG": tiny("JPEG").replace(b"\xff\xc0", b"\xff\xc9", 1),
    "a lossless JPEG": tiny("JPEG").replace(b"\xff\xc0", b"\xff\xc3", 1),
    "texts of a PNG": png_with(chunk(b"tEXt", b"a\0x") * FLOOD),
    "empty chunks of pixels": png_with(chunk(b"IDAT") * FLOOD),
    "chunks of frames": png_with(chunk(b"fcTL", bytes(26)) * FLOOD),
    "blocks of a GIF": gif_with(b"\x21\xfe" + b"\x01a" * 4 * FLOOD + b"\0"),
    "comments of a GIF": gif_with(b"\x21\xfe\x01a\0" * 4 * FLOOD),
    "junk in a GIF": gif_with(b"\x01" * 4 * FLOOD),
    "chunks of a WEBP": webp_with(b"ABCD\0\0\0\0" * FLOOD),
    "runs of a BMP": run_length_bmp(2000, 2000, b"\x01\x05" * 4 * FLOOD),
    "pixels of a BMP in runs": run_length_bmp(3000, 3000, b"\xff\x05"),
}
"""Files that are refused before a decoder sees them."""

READ_AS_USUAL = {
    "fill bytes": jpeg_with(b"\xff" * 10 * FLOOD),
    "profiles of a JPEG": jpeg_with(b"".join(segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(65_000)) for _ in range(20))),
    "EXIF blocks": jpeg_with(segment(0xE1, b"Exif\0\0" + directory(2700, 30_000)) * 20),
    "resources of Photoshop": jpeg_with(segment(0xED, b"Photoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\0\0" * 5000) * 20),
    "packed profiles": png_with(chunk(b"iCCP", b"C\0\0" + MEGABYTE) * 200),
    "packed texts": png_with(chunk(b"zTXt", b"C\0\0" + MEGABYTE) * 200),
    "packed XMP": png_with(chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + MEGABYTE) * 200),
    "a large EXIF block": png_with(chunk(b"eXIf", directory(20_000, 1_000_000))),
}
"""Files whose costly parts the decoder never sees; the pixels are those of `tiny`."""

PREFIXES = b"Exif\0\0" * 2_500_000
RAW = b"Raw profile type exif\0\n\n\n"
METADATA: dict[str, Callable[[], bytes]] = {
    "prefixes of an EXIF block": lambda: png_with(chunk(b"eXIf", PREFIXES)),
    "prefixes in hexadecimal digits": lambda: png_with(
        chunk(b"tEXt", RAW + PREFIXES[: len(PREFIXES) // 2].hex().encode())
    ),
    "prefixes of a WEBP": lambda: webp_with(b"EXIF" + struct.pack("<I", len(PREFIXES)) + PREFIXES),
    "no digits in a text of digits": lambda: png_with(chunk(b"tEXt", RAW + b"g" * 19_000_000)),
}
"""Files of the pixels of `tiny` whose metadata take minutes, or at least 10 s, where they are looked at piece by piece."""
