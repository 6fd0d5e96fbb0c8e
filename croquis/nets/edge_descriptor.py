"""Compares line drawings with edge maps directly: histograms of line orientations (after Dalal and Triggs 2005)."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from croquis.catalog.drawings import INK
from croquis.catalog.edge_maps import EdgeMap

MARGIN = 0.05  # white left around the drawing, share of the square's side


class EdgeDescriptor:
    """Grid of orientation histograms, normalised in overlapping blocks of 2 x 2 cells, then L2-normalised as a whole.

    The drawing is first fitted into the square by its ink, so that neither its place nor its size on the sheet counts.

    Args:
        size: side of the square that drawings are scaled to, pixels; a multiple of 8.
        orientations: bins over 180 degrees.

    Attributes:
        dim: length of a descriptor.
    """

    cell = 8

    def __init__(self, size: int = 64, orientations: int = 9) -> None:
        if size < 2 * self.cell or size % self.cell:
            raise ValueError(f"size is {size}, must be a multiple of {self.cell} and at least {2 * self.cell}")
        self.size, self.orientations = size, orientations
        self.cells = size // self.cell
        self.dim = (self.cells - 1) ** 2 * 4 * orientations

    def describe(self, maps: Sequence[EdgeMap]) -> npt.NDArray[np.float32]:
        """Descriptors (B, dim) of drawings uint8 (H, W), dark on white, of any sizes; zeros for a blank sheet.

        Raises:
            ValueError: when a drawing is not uint8 (H, W).
        """
        if not maps:
            return np.zeros((0, self.dim), dtype=np.float32)
        ink = np.stack([fit_ink(drawing, self.size) for drawing in maps])
        return _unit(self._blocks(self._histograms(ink)).reshape(len(maps), self.dim))

    def _histograms(self, ink: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Ink (B, S, S) -> (B, cells, cells, orientations); a gradient is shared by the two nearest bins."""
        down, across = np.gradient(ink, axis=(1, 2))
        strength = np.hypot(across, down)
        place = np.mod(np.arctan2(down, across), np.pi) / np.pi * self.orientations
        lower = np.floor(place).astype(np.int64) % self.orientations
        share = (place - np.floor(place)).astype(np.float32)
        histograms = np.zeros((len(ink), self.cells, self.cells, self.orientations), dtype=np.float32)
        for bin_ in range(self.orientations):
            upper = (bin_ - 1) % self.orientations
            weight = strength * ((lower == bin_) * (1 - share) + (lower == upper) * share)
            parts = weight.reshape(len(ink), self.cells, self.cell, self.cells, self.cell)
            histograms[..., bin_] = parts.sum(axis=(2, 4))
        return histograms

    def _blocks(self, histograms: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Every 2 x 2 cells side by side, normalised: (B, cells - 1, cells - 1, 4 * orientations)."""
        corners = [histograms[:, y : self.cells - 1 + y, x : self.cells - 1 + x] for y in (0, 1) for x in (0, 1)]
        return _unit(np.concatenate(corners, axis=3), floor=0.5)


def fit_ink(drawing: EdgeMap, size: int, blur: float = 1.0) -> npt.NDArray[np.float32]:
    """The drawing's ink, 0 white to 1 black, cropped to its lines and centred in (size, size).

    Args:
        blur: standard deviation of the blur, pixels of the result; 0 for none.

    Raises:
        ValueError: when it is not uint8 (H, W).
    """
    if drawing.dtype != np.uint8 or drawing.ndim != 2:
        raise ValueError(f"a drawing must be uint8 (H, W), not {drawing.dtype} {drawing.shape}")
    rows, columns = np.nonzero(drawing < INK)
    square = np.zeros((size, size), dtype=np.float32)
    if not len(rows):
        return square
    cropped = drawing[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    ink = 1 - cropped.astype(np.float32) / 255
    inner = size * (1 - 2 * MARGIN)
    scale = inner / max(ink.shape)
    height, width = (max(1, round(side * scale)) for side in ink.shape)
    scaled = cv2.resize(ink, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = scaled
    return np.asarray(cv2.GaussianBlur(square, (0, 0), blur), dtype=np.float32) if blur else square


def _unit(vectors: npt.NDArray[np.float32], floor: float = 0.0) -> npt.NDArray[np.float32]:
    """Rows divided by their length, or by `floor` where they are shorter; rows of zeros stay zeros."""
    lengths = np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), floor)
    return np.asarray(np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0), dtype=np.float32)
