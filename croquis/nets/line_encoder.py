"""From line drawings, and from the edge maps of photos, to vectors that are compared with each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from croquis.arrays import Uint8Image, Vectors
from croquis.catalog.edge_maps import DRAWN, HED, EdgeMap, edge_map
from croquis.catalog.images import Batch, from_batch
from croquis.nets.edge_descriptor import EdgeDescriptor, fit_ink
from croquis.nets.edge_detector import EdgeDetector
from croquis.nets.linear_map import LinearMap
from croquis.nets.session import ModelError

if TYPE_CHECKING:
    from croquis.nets.encoder import Encoder

FRAMES = ("ink", "sheet")


@dataclass(frozen=True)
class LineNet:
    """A net that looks at lines, and the maps behind it.

    Attributes:
        net: its images are lines, dark on white.
        photos, drawings: of the two sides, into one space.
        frame: `ink`: lines are fitted into the net's square, wherever they lie; `sheet`: they stay where they are.
        mirrored: the mirrored lines are looked at, too, and the cosines of both averaged.
        descriptor_weight: share of the line orientations in the similarity, 0 (none) to below 1.

    Raises:
        ModelError: when a map takes vectors of another width than the net gives.
    """

    net: Encoder
    photos: LinearMap
    drawings: LinearMap
    frame: str
    mirrored: bool
    descriptor_weight: float

    def __post_init__(self) -> None:
        if self.photos.inputs != self.net.dim:
            raise ModelError(f"the map takes {self.photos.inputs} numbers per image, the net gives {self.net.dim}")

    @property
    def dim(self) -> int:
        """Numbers per image: those of the map, twice where mirror images are described too."""
        own: int = self.photos.dim
        return own * (2 if self.mirrored else 1)

    def describe(self, lines: Sequence[EdgeMap], linear: LinearMap) -> Vectors:
        """float32 (B, dim) of length 1."""
        views = [lines, mirror(lines)] if self.mirrored else [lines]
        seen = [linear.apply(self.net.encode(line_pictures(view, self.net.size, self.frame))) for view in views]
        return np.concatenate(seen, axis=1) / np.float32(len(views) ** 0.5)


@dataclass(frozen=True)
class SideMaps:
    """Maps of line orientations, into one space.

    Attributes:
        photos, drawings: of the two sides.
    """

    photos: LinearMap
    drawings: LinearMap


class LineEncoder:
    """What the lines of a drawing, or of the edge map of a photo, have in common: their orientations on a grid
    (`croquis.nets.edge_descriptor`), or what a net sees in them, or both, whose cosines are then averaged.

    Args:
        size: side of the square images, pixels.
        edges: how lines are found in photos: as `croquis.catalog.edge_maps.edge_map`, or `hed`, by the `detector`.
        square: side that lines are scaled to for their orientations, pixels; a multiple of 8.
        orientations: bins over 180 degrees.
        sees: the net; None for orientations alone.
        maps: behind the orientations, where they stand alone; None to compare them as they are.
        detector: of `hed`; without it drawings can be encoded, and no photos.

    Raises:
        ModelError: when maps take other numbers than the orientations have, or stand beside a net.
    """

    kind = "lines"
    head = "dense"
    metric = "cosine"

    def __init__(
        self,
        *,
        size: int,
        edges: str,
        square: int,
        orientations: int,
        sees: LineNet | None = None,
        maps: SideMaps | None = None,
        detector: EdgeDetector | None = None,
    ) -> None:
        self.size, self.edges, self.sees, self.maps, self.detector = size, edges, sees, maps, detector
        self._descriptor = EdgeDescriptor(square, orientations)
        self._weight = 1.0 if sees is None else sees.descriptor_weight
        own = self._descriptor.dim
        if maps is not None and (sees is not None or maps.photos.inputs != own):
            raise ModelError(
                f"the map takes {maps.photos.inputs} numbers per image; the {own} line orientations alone may have one"
            )
        self.dim = ((own if maps is None else maps.photos.dim) if self._weight else 0) + (
            0 if sees is None else sees.dim
        )

    @property
    def parameters(self) -> dict[str, Any]:
        """What rebuilds the encoder, apart from `size` and the net."""
        return {
            "edges": self.edges,
            "square": self._descriptor.size,
            "orientations": self._descriptor.orientations,
        }

    def encode(self, images: Batch) -> Vectors:
        """Maps photos, float32 (B, 3, S, S) in [0, 1], to L2-normalised float32 (B, dim) of their edge maps."""
        return self._describe(images, self.edges, self._linear(0))

    def encode_drawings(self, images: Batch) -> Vectors:
        """Maps line drawings, dark on white, as `encode` maps photos: they are edge maps already."""
        return self._describe(images, DRAWN, self._linear(1))

    def _linear(self, side: int) -> LinearMap | None:
        """The map of photos (0) or of drawings (1)."""
        mapped = self.sees or self.maps
        return None if mapped is None else (mapped.photos, mapped.drawings)[side]

    def _describe(self, images: Batch, edges: str, linear: LinearMap | None) -> Vectors:
        lines = found_lines(from_batch(images), edges, self.detector)
        parts: list[Vectors] = []
        if self.sees is not None and linear is not None:
            parts.append(self.sees.describe(lines, linear) * np.float32((1 - self._weight) ** 0.5))
        if self._weight:
            found = self._descriptor.describe(lines)
            if self.maps is not None and linear is not None:
                found = linear.apply(found)
            parts.append(found * np.float32(self._weight**0.5))
        return np.concatenate(parts, axis=1)


def found_lines(pictures: Sequence[Uint8Image], edges: str, detector: EdgeDetector | None = None) -> list[EdgeMap]:
    """`lines_in` of each picture; of `hed` what the detector finds.

    Raises:
        ModelError: when `hed` has no detector.
    """
    if edges != HED:
        return [lines_in(picture, edges) for picture in pictures]
    if detector is None:
        raise ModelError("edges = 'hed' needs the net that finds them, and this encoder has none beside it")
    return detector.lines(pictures)


def lines_in(picture: Uint8Image, edges: str) -> EdgeMap:
    """The edge map of a photo; of a drawing (`drawn`) itself, its darkest line made black, since thin lines pale where a
    large sheet is scaled down."""
    lines = edge_map(picture, edges)
    darkest = 255 - int(lines.min())
    if edges != DRAWN or darkest in (0, 255):
        return lines
    return np.asarray(255 - np.rint((255 - lines.astype(np.float32)) * (255 / darkest)), dtype=np.uint8)


def line_pictures(lines: Sequence[EdgeMap], size: int, frame: str) -> Batch:
    """Drawings uint8 (H, W), dark on white, as a net takes them: float32 (B, 3, size, size).

    Args:
        frame: `ink`: each is fitted by its lines; `sheet`: each is a square, and scaled as it is.
    """
    paper = np.stack([_ink(each, size) if frame == "ink" else _scaled(each, size) for each in lines])
    return np.ascontiguousarray(np.repeat(paper[:, None], 3, axis=1))


def _ink(lines: EdgeMap, size: int) -> npt.NDArray[np.float32]:
    return 1 - fit_ink(lines, size, blur=0.0)


def _scaled(lines: EdgeMap, size: int) -> npt.NDArray[np.float32]:
    scaled = cv2.resize(lines, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(scaled, dtype=np.float32) / np.float32(255)


def mirror(lines: Sequence[EdgeMap]) -> list[EdgeMap]:
    """Each drawing with left and right exchanged."""
    return [np.ascontiguousarray(each[:, ::-1]) for each in lines]
