"""JPEG (ITU T.81, annex B): segments before the first scan are walked one by one, scans are counted."""

from __future__ import annotations

import re

from croquis.catalog.image_errors import CostlyImageError, DamagedImageError
from croquis.catalog.picture_files.bare_file import MOST_PARTS, MOST_SCANS, MOST_TABLE_BYTES, BareFile, costly, unknown
from croquis.catalog.picture_files.orientation import EXIF, orientation_of

SIGNATURE = b"\xff\xd8\xff"
SOI = b"\xff\xd8"
SCAN = b"\xff\xda"
SOS, EOI, COMMENT = 0xDA, 0xD9, 0xFE
APP0, APP1, ADOBE, APP15 = 0xE0, 0xE1, 0xEE, 0xEF
READ_FRAMES = {0xC0, 0xC1, 0xC2}  # baseline, extended, progressive: what browsers show
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
ALONE = {0x00, 0x01, *range(0xD0, 0xD9)}  # markers without a segment; FF 00 is a byte of data
# Segment -> its begin, and its length: JFIF and Adobe's say how colours are stored.
COLOUR_SEGMENTS = {APP0: (b"JFIF\0", 16), ADOBE: (b"Adobe", 14)}
XMP = b"http://ns.adobe.com/xap/1.0/\0"
FILL = re.compile(rb"\xff+")
# Within a scan FF is followed by 00, by a restart marker or by fill; anything else ends the scan.
NEXT_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")


class _Segments:
    """The segments of one file that were found so far."""

    def __init__(self) -> None:
        self.kept: list[bytes] = [SOI]
        self.said: dict[bytes, bytes] = {}
        self.table_bytes = 0
        self.framed = False

    def take(self, marker: int, segment: bytes) -> None:
        """Keeps a segment, or what its metadata says, or nothing of it."""
        content = segment[4:]
        if marker == APP1:
            for name in (EXIF, XMP):
                if content.startswith(name):
                    self.said.setdefault(name, content)
        elif marker in COLOUR_SEGMENTS:
            name, length = COLOUR_SEGMENTS[marker]
            if content.startswith(name) and len(segment) - 2 >= length and name not in self.said:
                self.said[name] = content
                self.kept.append(segment)
        elif not (APP0 <= marker <= APP15 or marker == COMMENT):
            self._take_table(marker, segment)

    def _take_table(self, marker: int, segment: bytes) -> None:
        if marker in FRAMES:
            self.framed = True
            if marker not in READ_FRAMES:
                raise CostlyImageError(
                    "the JPEG is coded in a way that browsers do not show; save it as an ordinary one"
                )
        self.table_bytes += len(segment)
        if self.table_bytes > MOST_TABLE_BYTES:
            raise costly("JPEG", self.table_bytes, "bytes of tables", MOST_TABLE_BYTES)
        self.kept.append(segment)


def bare_jpeg(data: bytes) -> BareFile:
    """Tables, frame and scans up to the end of the first picture.

    Raises:
        ImageError: when nothing follows the first bytes.
        DamagedImageError: when the file ends before its first scan.
        CostlyImageError: when there are more parts than are read, or the coding is arithmetic or lossless.
    """
    found, place = _Segments(), len(SOI)
    for _ in range(MOST_PARTS):
        begin, marker, place = _segment(data, place)
        if marker is None or marker == EOI:
            break
        if marker == SOS and found.framed:
            scans, end = _scans(data, place)
            orientation = orientation_of(found.said.get(EXIF), found.said.get(XMP))
            return BareFile("JPEG", b"".join([*found.kept, data[begin:end]]), orientation, passes=scans)
        if marker not in ALONE:
            found.take(marker, data[begin:place])
    else:
        raise costly("JPEG", MOST_PARTS, "segments", MOST_PARTS)
    if len(found.kept) > 1:
        raise DamagedImageError("the image is truncated or damaged: it ends before its pixels")
    raise unknown()


def _segment(data: bytes, place: int) -> tuple[int, int | None, int]:
    """Begin, marker and end of the next segment; no marker where the file ends first. Other bytes are passed over."""
    first = data.find(b"\xff", place)
    fill = FILL.match(data, first) if first >= 0 else None
    if fill is None or fill.end() == len(data):
        return len(data), None, len(data)
    begin, marker = fill.end() - 1, data[fill.end()]
    if marker in ALONE or marker == EOI:
        return begin, marker, begin + 2
    end = begin + 2 + max(2, int.from_bytes(data[begin + 2 : begin + 4]))
    return begin, marker if end <= len(data) else None, end


def _scans(data: bytes, place: int) -> tuple[int, int]:
    """How many scans begin with the one whose header ends at `place`, or a few more, and an end after the last one.

    Raises:
        CostlyImageError: when there are more than are read.
    """
    most = 1 + data.count(SCAN, place)  # with those of pictures and films behind this one
    if most <= MOST_SCANS:
        return most, len(data)
    scans = 1
    for _ in range(MOST_PARTS):
        found = NEXT_MARKER.search(data, place)
        if found is None:
            return scans, len(data)
        marker, place = data[found.start() + 1], found.end()
        if marker == EOI:
            return scans, place
        scans += marker == SOS
        if scans > MOST_SCANS:
            raise costly("JPEG", scans, "scans", MOST_SCANS)
        if marker not in ALONE:
            place += int.from_bytes(data[place : place + 2])
    raise costly("JPEG", MOST_PARTS, "segments", MOST_PARTS)
