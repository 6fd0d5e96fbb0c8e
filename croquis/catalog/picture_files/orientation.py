"""The one thing that metadata says about pixels: how the camera was held."""

from __future__ import annotations

import re
import struct

ORIENTATION_TAG = 0x0112
EXIF = b"Exif\0\0"
PREFIXES = re.compile(rb"(?:Exif\0\0)*+")  # some programs write it twice; how often it stands there costs no more
FORMATS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}  # TIFF 6.0, section 2: types of whole numbers
XMP_PATTERN = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


def orientation_of(exif: bytes | None, xmp: bytes | None) -> object:
    """The tag in an EXIF block, else in an XMP packet: 1 to 8 where the file follows the standard.

    Returns:
        A number; the four bytes of the tag where they hold none; None where there is no tag or no sense in the block.
    """
    found = None if exif is None else _in_exif(exif)
    if found is None and xmp is not None and (match := XMP_PATTERN.search(xmp)):
        return int(match[1])
    return found


def _in_exif(exif: bytes) -> object:
    """Looks through the first directory of a TIFF file: two bytes of number, then twelve for each entry."""
    prefixes = PREFIXES.match(exif)
    block = exif[prefixes.end() :] if prefixes else exif
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return None
    try:
        (place,) = struct.unpack_from(f"{order}I", block, 4)
        (count,) = struct.unpack_from(f"{order}H", block, place)
        for entry in range(place + 2, place + 2 + 12 * count, 12):
            tag, kind, number = struct.unpack_from(f"{order}HHI", block, entry)
            if tag == ORIENTATION_TAG:
                if number != 1 or kind not in FORMATS:
                    return block[entry + 8 : entry + 12]
                return int(struct.unpack_from(order + FORMATS[kind], block, entry + 8)[0])
    except struct.error:  # an offset or a number that leads out of the block
        return None
    return None
