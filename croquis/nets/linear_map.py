"""An affine map behind an encoder: a whitening fitted in closed form, kept as one matrix beside the graph."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from croquis.arrays import Vectors
from croquis.catalog.images import Batch
from croquis.nets.session import ModelError

if TYPE_CHECKING:
    from croquis.nets.encoder import Encoder

TINY = 1e-12


class LinearMap:
    """y = W^T x + b, then L2 norm.

    Args:
        matrix: float32 (D + 1, d): W (D, d), and b as its last row.
    """

    def __init__(self, matrix: Vectors) -> None:
        self.matrix = matrix
        self.inputs = len(matrix) - 1
        self.dim = matrix.shape[1]

    @classmethod
    def open(cls, path: Path) -> LinearMap:
        """Reads a .npy file.

        Raises:
            ModelError: when it is absent, damaged, or no finite float32 matrix.
        """
        return cls(_read(path, 1))

    @classmethod
    def open_sides(cls, path: Path) -> tuple[LinearMap, LinearMap]:
        """Reads a .npy file of two maps with one W and a b each: (D + 2, d), the b of photos and of drawings as last rows.

        Raises:
            ModelError: as `open`.
        """
        matrix = _read(path, 2)
        return cls(matrix[:-1]), cls(np.delete(matrix, -2, axis=0))

    def apply(self, vectors: Vectors) -> Vectors:
        """float32 (B, D) -> float32 (B, d), L2-normalised."""
        mapped = vectors @ self.matrix[:-1] + self.matrix[-1]
        lengths = np.linalg.norm(mapped, axis=1, keepdims=True)
        normalised: Vectors = mapped / np.maximum(lengths, TINY)
        return normalised


def _read(path: Path, offsets: int) -> Vectors:
    try:
        matrix: Vectors = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ModelError(f"{path} cannot be read as the matrix of a map: {error}") from error
    if matrix.ndim != 2 or matrix.dtype != np.float32 or len(matrix) <= offsets or not np.isfinite(matrix).all():
        raise ModelError(
            f"{path} holds {matrix.dtype} {matrix.shape}, must be a finite float32 matrix (D + {offsets}, d)"
        )
    return matrix


class MappedEncoder:
    """An encoder with a map behind it; see `croquis.nets.encoder.Encoder`.

    Raises:
        ModelError: when the map takes vectors of another width than the encoder gives.
    """

    metric = "cosine"

    def __init__(self, encoder: Encoder, linear: LinearMap) -> None:
        if linear.inputs != encoder.dim:
            raise ModelError(f"the map takes {linear.inputs} numbers per image, the encoder gives {encoder.dim}")
        self._encoder, self._map = encoder, linear
        self.dim, self.size = linear.dim, encoder.size

    def encode(self, images: Batch) -> Vectors:
        return self._map.apply(self._encoder.encode(images))
