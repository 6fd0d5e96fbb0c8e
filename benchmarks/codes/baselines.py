"""LSH, ITQ, PQ and OPQ on any features: the baselines that learned codes must beat at the same number of bits.

They learn from features alone, without labels, and search through the very index classes of the learned methods, so that
both are measured alike; `index.compared("symmetric")` and `index.compared("asymmetric")` give the other comparison.

    baseline = fit_baseline("itq", train, bits=32, seed=0)
    scores, rows = baseline.build(database).search(baseline.queries(features), k=1000)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from croquis.arrays import Vectors
from croquis.index.binary_index import BinaryIndex
from croquis.index.code_index import CodeIndex
from croquis.index.pq_index import PqIndex
from croquis.index.vector_index import check_vectors, faiss_threads
from lightning_modules.bases.hash_module import iterative_quantisation

Matrix = npt.NDArray[np.float64]

OPQ_ITERATIONS = 50


class BaselineError(ValueError):
    """A baseline cannot be fitted; the message gives value and limit."""


class TooFewError(BaselineError):
    """There are fewer features than codewords."""


@dataclass(frozen=True)
class Baseline:
    """A fitted baseline: features are centred and rotated, then coded.

    Attributes:
        name: a key of `BASELINES`.
        bits: of a code.
        offset, projection: (D,) and (D, dim); a feature x becomes (x - offset) @ projection.
        codebooks: (M, K, dim / M) for product codes; None for signs.
    """

    name: str
    bits: int
    offset: Matrix
    projection: Matrix
    codebooks: Vectors | None = None

    def queries(self, features: Vectors) -> Vectors:
        """What the index is searched with: (Q, D) to (Q, dim) float32, real numbers."""
        checked = check_vectors(features, len(self.offset), "features")
        return np.asarray((checked - self.offset) @ self.projection, dtype=np.float32)

    def build(self, database: Vectors) -> CodeIndex:
        """An exhaustive index of (N, D) features: Hamming distance for bits, look-up tables for product codes."""
        vectors = self.queries(database)
        if self.codebooks is None:
            return BinaryIndex.build(vectors, "symmetric")
        return PqIndex.build(vectors, "asymmetric", codebooks=self.codebooks)


def fit_baseline(name: str, train: Vectors, bits: int, seed: int) -> Baseline:
    """Fits a baseline; the same arguments give the same codes.

    Args:
        name: `lsh`, `itq`, `pq` or `opq`.
        train: (n, D) float32 features that it may learn from.
        bits: length of a code, for product codes a multiple of 4.
        seed: of the random start.

    Raises:
        BaselineError: on an unknown name, or bits that the features cannot give.
    """
    if name not in BASELINES:
        raise BaselineError(f"there is no baseline {name!r}; known: {', '.join(BASELINES)}")
    return BASELINES[name](check_vectors(train, None, "train features"), bits, seed)


def lsh(train: Vectors, bits: int, seed: int) -> Baseline:
    """Signs of random projections (Charikar 2002), through the mean of the training features.

    Without centring, features that are all positive would share most of their bits.
    """
    directions = np.random.default_rng(seed).standard_normal((train.shape[1], bits))
    return Baseline("lsh", bits, train.mean(axis=0, dtype=np.float64), directions)


def itq(train: Vectors, bits: int, seed: int) -> Baseline:
    """Iterative quantisation (Gong and Lazebnik 2011): PCA to `bits` directions, then the rotation R of least
    ||sign(V R) - V R||, alternating between the signs and the orthogonal Procrustes problem."""
    if bits > train.shape[1]:
        raise BaselineError(f"itq needs at least as many numbers per feature as bits: {bits} bits, {train.shape[1]}")
    offset = train.mean(axis=0, dtype=np.float64)
    centred = train - offset
    directions = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :bits]
    return Baseline("itq", bits, offset, directions @ iterative_quantisation(centred @ directions, seed))


def pq(train: Vectors, bits: int, seed: int) -> Baseline:
    """Product quantisation (Jégou, Douze and Schmid 2011), codebooks by k-means."""
    parts, code_bits = split_bits(bits)
    check_enough(train, code_bits)
    widening = _widening(train.shape[1], parts)
    codebooks = _codebooks(train @ widening, parts, code_bits, seed)
    return Baseline("pq", bits, np.zeros(train.shape[1]), widening, codebooks)


def opq(train: Vectors, bits: int, seed: int) -> Baseline:
    """PQ after a rotation that lowers the error of the codes (OPQ-NP, Ge et al. 2013, by FAISS)."""
    parts, code_bits = split_bits(bits)
    check_enough(train, code_bits)
    widening = _widening(train.shape[1], parts)
    wide = np.asarray(train @ widening, dtype=np.float32)
    turning = faiss.OPQMatrix(wide.shape[1], parts)
    start = np.linalg.qr(np.random.default_rng(seed).standard_normal((wide.shape[1],) * 2))[0]
    faiss.copy_array_to_vector(start.astype(np.float32).ravel(), turning.A)
    quantiser = _quantiser(wide.shape[1], parts, code_bits, seed)
    turning.niter, turning.pq = OPQ_ITERATIONS, quantiser
    with faiss_threads(1):
        turning.train(wide)
    rotation = faiss.vector_to_array(turning.A).reshape(wide.shape[1], -1).T.astype(np.float64)
    codebooks = _codebooks(wide @ rotation, parts, code_bits, seed)
    return Baseline("opq", bits, np.zeros(train.shape[1]), widening @ rotation, codebooks)


def split_bits(bits: int) -> tuple[int, int]:
    """How product codes spend their bits: (parts, bits per part), bytes where they fit and else half bytes.

    Raises:
        BaselineError: when `bits` is no multiple of 4.
    """
    code_bits = 8 if bits % 8 == 0 else 4
    if bits < 4 or bits % code_bits:
        raise BaselineError(f"product codes need a multiple of 4 bits, not {bits}")
    return bits // code_bits, code_bits


def check_enough(train: Vectors, code_bits: int) -> None:
    """Refuses fewer features than codewords.

    Raises:
        TooFewError: then.
    """
    if len(train) < 2**code_bits:
        raise TooFewError(f"{len(train)} features cannot train {2**code_bits} codewords")


def _widening(width: int, parts: int) -> Matrix:
    """Appends the zeros that make `width` a multiple of `parts`; no distance changes by them."""
    return np.eye(width, -(-width // parts) * parts)


def _codebooks(vectors: npt.NDArray[Any], parts: int, code_bits: int, seed: int) -> Vectors:
    """(M, K, dim / M) by k-means with one thread."""
    quantiser = _quantiser(vectors.shape[1], parts, code_bits, seed)
    with faiss_threads(1):
        quantiser.train(np.ascontiguousarray(vectors, dtype=np.float32))
    centroids: Vectors = faiss.vector_to_array(quantiser.centroids).reshape(parts, 2**code_bits, -1)
    return centroids


def _quantiser(width: int, parts: int, code_bits: int, seed: int) -> Any:
    quantiser = faiss.ProductQuantizer(width, parts, code_bits)
    quantiser.cp.seed, quantiser.cp.min_points_per_centroid = seed, 1
    return quantiser


BASELINES: dict[str, Callable[[Vectors, int, int], Baseline]] = {"lsh": lsh, "itq": itq, "pq": pq, "opq": opq}
