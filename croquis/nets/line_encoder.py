"""From line drawings, and from the edge maps of photos, to vectors that are compared with each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from croquis.arrays import Uint8Image, Vectors
from croquis.catalog.edge_maps import DRAWN, edge_map
from croquis.catalog.images import Batch, from_batch
from croquis.nets.edge_descriptor import EdgeDescriptor


class LineEncoder:
    """Orientations of the lines of a drawing, or of the edge map of a photo (`croquis.nets.edge_descriptor`).

    Args:
        size: side of the square images, pixels.
        edges: how lines are found in photos, see `croquis.catalog.edge_maps.edge_map`.
        square: side that lines are scaled to, pixels; a multiple of 8.
        orientations: bins over 180 degrees.
    """

    kind = "lines"
    head = "dense"
    metric = "cosine"

    def __init__(self, *, size: int, edges: str, square: int, orientations: int) -> None:
        self.size, self.edges = size, edges
        self._descriptor = EdgeDescriptor(square, orientations)
        self.dim = self._descriptor.dim

    @property
    def parameters(self) -> dict[str, Any]:
        """What rebuilds the encoder, apart from `size`."""
        return {
            "edges": self.edges,
            "square": self._descriptor.size,
            "orientations": self._descriptor.orientations,
        }

    def encode(self, images: Batch) -> Vectors:
        """Maps photos, float32 (B, 3, S, S) in [0, 1], to L2-normalised float32 (B, dim) of their edge maps."""
        return self._describe(from_batch(images), self.edges)

    def encode_drawings(self, images: Batch) -> Vectors:
        """Maps line drawings, dark on white, as `encode` maps photos: they are edge maps already."""
        return self._describe(from_batch(images), DRAWN)

    def _describe(self, pictures: Sequence[Uint8Image], edges: str) -> Vectors:
        return self._descriptor.describe([edge_map(picture, edges) for picture in pictures])
