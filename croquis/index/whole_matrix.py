"""Exact search of many queries at once by one product of matrices in float64.

Where lists are long, scoring FAISS's candidates again takes longer than the search itself. The product of queries and
vectors in float64 takes less, and its error is so small that nearly every score is sure to the last bit of float32. The few
that are not are worked out by `croquis.index.exact.similarity`; scores, ties and order are those of `search_exact`.
NumPy's BLAS does the product, with as many threads as OPENBLAS_NUM_THREADS allows.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from croquis.arrays import Floats, Keys, Rows, Scores, Vectors
from croquis.index.exact import empty_result, scores_of, similarity

FEWEST_QUERIES = 32  # fewer do not pay for the gallery in float64
GALLERY_PER_RESULT = 64  # rows of the gallery per asked result, up to which this is faster than FAISS
NUMBERS = 1 << 25  # of the gallery in float64: 256 MiB
CELLS = 1 << 21  # pairs of query and row at a time: 16 MiB
SAMPLED = 8  # one row of so many is looked at to guess how far the best ones reach
EPSILON = float(np.finfo(np.float64).eps)
SIGN, ALL = np.uint32(1 << 31), np.uint32((1 << 32) - 1)
LOW = np.uint64(32)  # bits that hold the place in the order of the keys


def is_faster(queries: Vectors, vectors: Vectors, k: int) -> bool:
    """Whether `search_matrix` beats `search_exact`, and its memory is bounded."""
    return len(queries) >= FEWEST_QUERIES and 0 < len(vectors) <= GALLERY_PER_RESULT * k and vectors.size <= NUMBERS


def search_matrix(queries: Vectors, vectors: Vectors, k: int, keys: Keys, metric: str) -> tuple[Scores, Rows]:
    """What `croquis.index.exact.search_exact` gives for the same arguments; there must be a vector."""
    scores, rows = empty_result(len(queries), k)
    matrix, filled = _Matrix(vectors, keys, metric), min(k, len(vectors))
    step = max(1, CELLS // len(vectors))
    for start in range(0, len(queries), step):
        part = slice(start, start + step)
        scores[part, :filled], rows[part, :filled] = matrix.search(queries[part], filled)
    return scores, rows


class _Matrix:
    """Vectors (n, dim) in float64, each with the square of its length, and their order by key."""

    def __init__(self, vectors: Vectors, keys: Keys, metric: str) -> None:
        self._vectors, self._metric = vectors, metric
        doubles = vectors.astype(np.float64)
        squares = np.einsum("nd,nd->n", doubles, doubles)
        self._longest = float(squares.max())
        # shape: (n, dim + 1); times (query, 1) it is the squared distance less the query's own square.
        self._factor = np.concatenate([-2 * doubles, squares[:, None]], axis=1)
        self._by_key = np.argsort(keys, kind="stable")
        self._place = np.empty(len(keys), dtype=np.uint64)
        self._place[self._by_key] = np.arange(len(keys), dtype=np.uint64)

    def search(self, queries: Vectors, k: int) -> tuple[Scores, Rows]:
        """The best `k` of at least as many vectors for a few queries: (Q, k) each."""
        asked = np.concatenate([queries, np.ones((len(queries), 1))], axis=1, dtype=np.float64)
        squares = np.einsum("nd,nd->n", asked[:, :-1], asked[:, :-1])[:, None]
        squared = asked @ self._factor.T
        squared += squares
        limits = _limits(squared, k)
        # Of the product and of `similarity` together, for any order of summation (Higham 2002, section 3.1).
        errors = 2 * (queries.shape[1] + 16) * EPSILON * (squares[:, 0] + self._longest) + EPSILON
        scores, rows = empty_result(len(queries), k)
        each = zip(queries, squared, limits.tolist(), errors.tolist(), strict=True)
        for number, (query, row, limit, error) in enumerate(each):
            scores[number], rows[number] = self._best(query, row, limit, error, k)
        return scores, rows

    def _best(self, query: Vectors, squared: Floats, limit: float, error: float, k: int) -> tuple[Scores, Rows]:
        """One query's scores and rows: of what lies within `limit`, where nothing else can be among the best `k`."""
        within = np.flatnonzero(squared <= limit)
        if len(within) >= k:
            scores, rows = self._ordered(query, within, squared[within], error, k)
            if limit == np.inf or np.float32(scores_of(limit - error, self._metric)) < scores[-1]:
                return scores, rows
        return self._ordered(query, np.arange(len(squared)), squared, error, k)

    def _ordered(self, query: Vectors, rows: Rows, squared: Floats, error: float, k: int) -> tuple[Scores, Rows]:
        """The best `k` of some rows, whose squared distances are known but for an `error`."""
        scores = scores_of(squared + error, self._metric).astype(np.float32)
        unsure = np.flatnonzero(scores != scores_of(squared - error, self._metric).astype(np.float32))
        if len(unsure):
            scores[unsure] = similarity(query, self._vectors[rows[unsure]], self._metric)
        # One number that sorts by score, the highest first, then by key.
        joined = (_ascending(np.float32(0) - scores).astype(np.uint64) << LOW) | self._place[rows]
        joined.sort()
        best = joined[:k]
        return np.float32(0) - _floats((best >> LOW).astype(np.uint32)), self._by_key[best.astype(np.uint32)]


def _limits(squared: Floats, k: int) -> Floats:
    """For each query (Q, n) a number that `k` of its numbers, and not many more, probably do not exceed; (Q,)."""
    sample, expected = squared[:, ::SAMPLED], k / SAMPLED
    last = math.ceil(expected + 4 * math.sqrt(expected) + 2)
    if last >= sample.shape[1]:
        return np.full(len(squared), np.inf)
    return np.asarray(np.partition(sample, last, axis=1)[:, last])


def _ascending(values: Scores) -> npt.NDArray[np.uint32]:
    """Whole numbers in the order of the floats that they are made of."""
    bits = values.view(np.uint32)
    return np.asarray(bits ^ np.where(bits & SIGN, ALL, SIGN), dtype=np.uint32)


def _floats(ascending: npt.NDArray[np.uint32]) -> Scores:
    """The floats that `_ascending` was given."""
    return np.asarray(ascending ^ np.where(ascending & SIGN, SIGN, ALL), dtype=np.uint32).view(np.float32)
