"""Edges that a net finds: from photos to thin lines, as Canny and XDoG give them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from croquis.arrays import Uint8Image
from croquis.catalog.edge_maps import EdgeMap, ridges
from croquis.catalog.images import to_batch
from croquis.nets.session import ModelError, OnnxGraph

AT_ONCE = 4  # photos in one run: feature maps of full size take 130 MB for each at 224 pixels, and more are no faster


class EdgeDetector:
    """HED (Xie & Tu, "Holistically-nested edge detection", ICCV 2015) as a graph: input `images`, output `edges`, the
    probability of each pixel to lie on an edge, float32 (B, 1, S, S).

    Args:
        path: the graph.
        size: S, side of the square photos, pixels.
        threads: threads of ONNX Runtime.

    Raises:
        ModelError: when the graph is damaged or gives something else.
    """

    def __init__(self, path: str | Path, size: int, threads: int = 1) -> None:
        self.size = size
        self._graph = OnnxGraph(path, input_name="images", output_name="edges", size=size, threads=threads)
        stated = self._graph.output_shape[1:]
        if stated != [1, size, size]:
            raise ModelError(f"{path} gives edges of {stated}, must be {[1, size, size]}")

    def lines(self, photos: Sequence[Uint8Image]) -> list[EdgeMap]:
        """Edge maps uint8 (S, S), dark on white, of photos uint8 (S, S, 3)."""
        found: list[EdgeMap] = []
        for start in range(0, len(photos), AT_ONCE):
            edges = self._graph.run(to_batch(list(photos[start : start + AT_ONCE])))
            found += [ridges(each) for each in edges[:, 0]]
        return found
