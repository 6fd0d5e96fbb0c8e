"""The baseline that every learned method must beat: colour and edge-orientation histograms, nothing learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from croquis.arrays import Vectors
from croquis.catalog.images import Batch

GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601 luma
TINY = 1e-6


class HistogramEncoder:
    """Joint RGB histogram of the picture beside orientation histograms of a grid of cells.

    Both parts are square roots of distributions, so the inner product of two vectors is
    `colour_weight * BC(colours) + (1 - colour_weight) * BC(orientations)` with BC the Bhattacharyya coefficient.
    Orientations are unsigned and weighted by gradient magnitude, as in HOG (Dalal and Triggs 2005), without blocks.

    Args:
        colour_bins: bins per RGB channel, at least 2; the part has `colour_bins ** 3` numbers.
        orientation_bins: bins over 180 degrees, at least 2.
        grid: cells per side, at least 1.
        colour_weight: share of the colours in the similarity, 0 to 1.
        size: side of the square images, pixels.
    """

    kind = "histogram"
    head = "dense"
    metric = "cosine"

    def __init__(self, *, colour_bins: int, orientation_bins: int, grid: int, colour_weight: float, size: int) -> None:
        self.colour_bins = colour_bins
        self.orientation_bins = orientation_bins
        self.grid = grid
        self.colour_weight = colour_weight
        self.size = size
        self.dim = colour_bins**3 + grid * grid * orientation_bins

    @property
    def parameters(self) -> dict[str, Any]:
        """What rebuilds the encoder, apart from `size`."""
        return {
            "colour_bins": self.colour_bins,
            "orientation_bins": self.orientation_bins,
            "grid": self.grid,
            "colour_weight": self.colour_weight,
        }

    def encode(self, images: Batch) -> Vectors:
        """Maps float32 (B, 3, S, S) in [0, 1] to L2-normalised float32 (B, dim)."""
        colours = _distribution(self._colours(images)) * self.colour_weight
        orientations = _distribution(self._orientations(images)) * (1 - self.colour_weight)
        vectors: Vectors = np.sqrt(np.concatenate([colours, orientations], axis=1)).astype(np.float32)
        return vectors

    def _colours(self, images: Batch) -> npt.NDArray[np.float64]:
        bins = self.colour_bins
        levels = np.minimum((images * bins).astype(np.int64), bins - 1)  # (B, 3, S, S)
        cells = (levels[:, 0] * bins + levels[:, 1]) * bins + levels[:, 2]
        return _count(cells, np.ones(cells.shape), bins**3)

    def _orientations(self, images: Batch) -> npt.NDArray[np.float64]:
        grey = np.einsum("bchw,c->bhw", images, GREY)
        down, right = np.gradient(grey, axis=(1, 2))
        angles = np.mod(np.arctan2(down, right), np.pi) / np.pi  # unsigned, [0, 1]
        levels = np.minimum((angles * self.orientation_bins).astype(np.int64), self.orientation_bins - 1)
        height, width = grey.shape[1:]
        row = np.arange(height) * self.grid // height
        column = np.arange(width) * self.grid // width
        cells = (row[:, None] * self.grid + column[None, :]) * self.orientation_bins + levels
        return _count(cells, np.hypot(down, right), self.grid * self.grid * self.orientation_bins)


def _count(cells: npt.NDArray[np.int64], weights: npt.NDArray[np.floating[Any]], bins: int) -> npt.NDArray[np.float64]:
    """Weighted histogram of each image: (B, S, S) bin numbers to (B, bins)."""
    batch = len(cells)
    flat = (cells + np.arange(batch)[:, None, None] * bins).ravel()
    counts = np.bincount(flat, weights=weights.ravel(), minlength=batch * bins)
    return np.asarray(counts, dtype=np.float64).reshape(batch, bins)


def _distribution(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Rows that sum to 1; a row without counts (a plain picture has no edges) becomes uniform."""
    smoothed = counts + TINY
    return np.asarray(smoothed / smoothed.sum(axis=1, keepdims=True))
