"""An affine map behind an encoder: a whitening fitted in closed form, kept as one matrix beside the graph."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from croquis.arrays import Vectors
from croquis.catalog.images import Batch
from croquis.lazy import Lazy
from croquis.nets.session import ModelError

if TYPE_CHECKING:
    from croquis.nets.encoder import Encoder

TINY = 1e-12


class LinearMap:
    """y = W^T x + b, then L2 norm. Of a map that tells labels, too, its last numbers have a norm of their own: cosines are
    then weighted averages of both.

    Args:
        matrix: float32 (D + 1, d): W (D, d), and b as its last row.
        labels: how many of the d numbers tell labels.
        label_weight: their share in the similarity, 0 to 1.

    Raises:
        ModelError: when there are no other numbers, or the weight is out of range.
    """

    def __init__(self, matrix: Vectors, labels: int = 0, label_weight: float = 0.0) -> None:
        if not 0 <= labels < matrix.shape[1] or not 0 <= label_weight <= 1:
            raise ModelError(
                f"a map of {matrix.shape[1]} numbers cannot have {labels} of labels, weight {label_weight}"
            )
        self.matrix, self.labels, self.label_weight = matrix, labels, label_weight
        self.inputs = len(matrix) - 1
        self.dim = matrix.shape[1]
        self._pseudo_inverse = Lazy(lambda: np.linalg.pinv(matrix[:-1].astype(np.float64)).T)

    @classmethod
    def open(cls, path: Path) -> LinearMap:
        """Reads a .npy file.

        Raises:
            ModelError: when it is absent, damaged, or no finite float32 matrix.
        """
        return cls(_read(path, 1))

    @classmethod
    def open_sides(cls, path: Path, labels: int = 0, label_weight: float = 0.0) -> tuple[LinearMap, LinearMap]:
        """Reads a .npy file of two maps with one W and a b each: (D + 2, d), the b of photos and of drawings as last rows.

        Raises:
            ModelError: as `open`.
        """
        matrix = _read(path, 2)
        told = (labels, label_weight)
        return cls(matrix[:-1], *told), cls(np.delete(matrix, -2, axis=0), *told)

    def apply(self, vectors: Vectors) -> Vectors:
        """float32 (B, D) -> float32 (B, d), L2-normalised."""
        mapped = vectors @ self.matrix[:-1] + self.matrix[-1]
        if not self.labels:
            return _unit(mapped)
        shares = np.float32((1 - self.label_weight) ** 0.5), np.float32(self.label_weight**0.5)
        parts = mapped[:, : -self.labels], mapped[:, -self.labels :]
        return np.concatenate([share * _unit(part) for share, part in zip(shares, parts, strict=True)], axis=1)

    def apply_words(self, vectors: Vectors) -> Vectors:
        """Vectors of texts that are comparable with the unmapped ones of photos, float32 (B, D), among mapped ones: (B, d),
        L2-normalised.

        For photos x, whose mapped vectors are W^T (x - m) with b = -W^T m, the text t becomes W^+ t: the product of both is
        x . t - m . t, as far as W keeps it, so that photos stand for a text as they did without the map, but for the lengths
        of their mapped vectors. The map itself would be wrong: vectors of texts do not lie around the mean of photos.
        """
        return _unit(np.asarray(vectors @ self._pseudo_inverse.get(), dtype=np.float32))


def _unit(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    normalised: Vectors = vectors / np.maximum(lengths, TINY)
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
    """An encoder with maps behind it; see `croquis.nets.encoder.Encoder`.

    Args:
        encoder: without a map.
        linear: of photos; None where their vectors stay as they are.
        painted, straight: of what a generator paints, and of drawings, into the space of the photos; None where they are
            seen as photos.

    Raises:
        ModelError: when a map takes vectors of another width than the encoder gives, or maps give different widths.
    """

    metric = "cosine"

    def __init__(
        self,
        encoder: Encoder,
        linear: LinearMap | None,
        painted: LinearMap | None = None,
        straight: LinearMap | None = None,
    ) -> None:
        for each in (linear, painted, straight):
            if each is not None and each.inputs != encoder.dim:
                raise ModelError(f"the map takes {each.inputs} numbers per image, the encoder gives {encoder.dim}")
        self.unmapped, self.linear, self.painted, self.straight = encoder, linear, painted, straight
        self.dim, self.size = encoder.dim if linear is None else linear.dim, encoder.size
        for each in (painted, straight):
            if each is not None and each.dim != self.dim:
                raise ModelError(f"the map of drawings gives {each.dim} numbers, photos have {self.dim}")

    def encode(self, images: Batch) -> Vectors:
        return _mapped(self.linear, self.unmapped.encode(images))

    def encode_painted(self, images: Batch) -> Vectors:
        """`encode` of photos that the generator of the bundle has painted."""
        return _mapped(self.linear if self.painted is None else self.painted, self.unmapped.encode(images))

    def encode_drawings(self, images: Batch) -> Vectors:
        """`encode` of line drawings, dark on white."""
        return _mapped(self.linear if self.straight is None else self.straight, self.unmapped.encode(images))


def _mapped(linear: LinearMap | None, vectors: Vectors) -> Vectors:
    return vectors if linear is None else linear.apply(vectors)
