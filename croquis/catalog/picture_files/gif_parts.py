"""GIF89a: blocks are walked one by one; comments and what follows the first picture are left out."""

from __future__ import annotations

from croquis.catalog.picture_files.bare_file import MOST_BLOCKS, BareFile, animated, costly

SIGNATURES = (b"GIF87a", b"GIF89a")
SCREEN_BYTES = 13  # signature, size, flags, background, aspect
DESCRIPTOR_BYTES = 10  # of a picture, with the byte that says that it is one
EXTENSION, PICTURE, TRAILER = 0x21, 0x2C, 0x3B
CONTROL = 0xF9  # the extension that says which colour is transparent
CONTROL_BYTES = 8


def bare_gif(data: bytes) -> BareFile:
    """The screen, its colours, the first picture and its transparency.

    Raises:
        AnimatedImageError: when a second picture follows.
        CostlyImageError: when there are more blocks than are read.
    """
    walk = _Walk(data)
    start = SCREEN_BYTES + (_colours(data[10]) if len(data) > SCREEN_BYTES else 0)
    control, picture, place = b"", b"", start
    while place < len(data) and data[place] != TRAILER:
        kind, begin = data[place], place
        if kind == PICTURE and picture:
            raise animated("GIF")
        if kind == PICTURE:
            flags = data[place + 9] if place + 9 < len(data) else 0
            place = walk.past_blocks(place + DESCRIPTOR_BYTES + _colours(flags) + 1)
            picture = data[begin:place]
        elif kind == EXTENSION:
            place = walk.past_blocks(place + 2)
            if not picture and data[begin + 1 : begin + 3] == bytes([CONTROL, 4]):
                control = data[begin : begin + CONTROL_BYTES - 1] + b"\0"
        else:
            place = walk.past(1, place)
    return BareFile("GIF", data[:start] + control + picture + bytes([TRAILER]))


def _colours(flags: int) -> int:
    """Bytes of the table of colours that follows."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


class _Walk:
    """Steps over blocks, and counts them."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._blocks = 0

    def past(self, length: int, place: int) -> int:
        self._blocks += 1
        if self._blocks > MOST_BLOCKS:
            raise costly("GIF", self._blocks, "blocks", MOST_BLOCKS)
        return place + length

    def past_blocks(self, place: int) -> int:
        """The place after a row of blocks, each a byte of length and as many bytes, which ends with one of none."""
        while place < len(self._data) and self._data[place]:
            place = self.past(self._data[place] + 1, place)
        return min(self.past(1, place), len(self._data))
