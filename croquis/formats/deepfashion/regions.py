"""Boxes and landmarks of the DeepFashion family: read in pixels of the small photos, carried over to the large ones.

Landmarks are kept as the catalogue has them: x, y, visibility per point, visibility 0 visible, 1 occluded, 2 cut off.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from PIL import Image

from croquis.formats.deepfashion.annotation_lines import AnnotationLine, iter_lines

POINTS = {1: 6, 2: 4, 3: 8}
"""Landmarks of upper-body, lower-body and full-body clothes."""
VISIBILITIES = (0, 1, 2)


@dataclass(frozen=True, slots=True)
class Box:
    """A box as the file gives it, degenerate or not, and the columns that stand before it (clothes type and another)."""

    types: tuple[int, ...]
    corners: list[int]


def read_boxes(path: Path, types: int) -> dict[str, Box]:
    """Image name -> box; none where there is no file.

    Boxes are not judged here: one without width or outside its image is for validation to set aside, with a reason.

    Args:
        types: columns between the name and the corners.
    """
    if not path.is_file():
        return {}
    return dict(_box(line, types) for line in iter_lines(path))


def _box(line: AnnotationLine, types: int) -> tuple[str, Box]:
    name, *texts = line.fields(5 + types)
    values = [line.integer(text) for text in texts]
    return name, Box(tuple(values[:types]), values[types:])


def read_landmarks(path: Path) -> dict[str, list[int]]:
    """Image name -> x, y, visibility of each point; none where there is no file.

    Rows hold name, clothes type, variation type, then visibility, x, y per point; their length follows the clothes type.

    Raises:
        SourceError: naming the line whose length does not fit its clothes type or whose visibility is unknown.
    """
    if not path.is_file():
        return {}
    return dict(_landmarks(line) for line in iter_lines(path))


def _landmarks(line: AnnotationLine) -> tuple[str, list[int]]:
    name, *texts = line.text.split()
    values = [line.integer(text) for text in texts]
    points = POINTS.get(values[0]) if values else None
    if points is None:
        raise line.error(f"has a clothes type other than {', '.join(map(str, POINTS))}")
    if len(values) != 2 + 3 * points:
        expected = f"{3 + 3 * points} ({points} landmarks of clothes type {values[0]})"
        raise line.error(f"has {1 + len(values)} columns, expected {expected}")
    triples = zip(values[2::3], values[3::3], values[4::3], strict=True)
    kept = [number for visibility, x, y in triples for number in (x, y, visibility)]
    if not set(kept[2::3]).issubset(VISIBILITIES):
        raise line.error("holds a visibility other than 0, 1 and 2")
    return name, kept


@dataclass(frozen=True)
class LargePhoto:
    """Where pixels of a small photo lie in the large photo that it was made of.

    Attributes:
        width, height: of the large photo, pixels.
        scale: pixels of the large photo per pixel of the small one.
        margin_x, margin_y: white space that was added at the small photo's left and top, pixels.
    """

    width: int
    height: int
    scale: float
    margin_x: float = 0.0
    margin_y: float = 0.0

    @classmethod
    def of_square(cls, image: bytes, side: int) -> Self | None:
        """For a small photo that is the large one shrunk to fit `side` x `side` and centred.

        None for a photo that cannot be opened: validation sets such a photo aside.
        """
        size = _size(image)
        if size is None:
            return None
        scale = max(size) / side
        return cls(*size, scale, (side - size[0] / scale) / 2, (side - size[1] / scale) / 2)

    @classmethod
    def of_long_side(cls, image: bytes, side: int) -> Self | None:
        """For a small photo that is the large one shrunk so that the longer side is `side`; None as above."""
        size = _size(image)
        return None if size is None else cls(*size, max(size) / side)

    def box(self, corners: Sequence[int]) -> list[int]:
        """The box in pixels of the large photo, clipped to it; a box without width or height stays one."""
        return [*self._point(corners[0], corners[1]), *self._point(corners[2], corners[3])]

    def landmarks(self, triples: Sequence[int]) -> list[int]:
        """Landmarks in pixels of the large photo, clipped to it."""
        points = zip(triples[0::3], triples[1::3], triples[2::3], strict=True)
        return [number for x, y, visibility in points for number in (*self._point(x, y), visibility)]

    def _point(self, x: int, y: int) -> tuple[int, int]:
        across, down = round((x - self.margin_x) * self.scale), round((y - self.margin_y) * self.scale)
        return min(max(across, 0), self.width), min(max(down, 0), self.height)


def _size(image: bytes) -> tuple[int, int] | None:
    try:
        with Image.open(io.BytesIO(image)) as photo:
            return photo.size
    except (OSError, Image.DecompressionBombError):
        return None
