"""Exact nearest neighbours whose scores and order do not depend on where a vector is stored.

FAISS finds candidates fast, but the last bits of its distances change with the number of queries and with the place of
a vector in a block, so that exact duplicates may differ and equal scores come in storage order. The candidates are
therefore scored again, one by one in float64, and equal scores are ordered by the caller's key.

Where lists are long, scoring the candidates again takes longer than the search itself. `search_matrix` takes less: one
product of queries and vectors in float64, whose error is so small that nearly every score is sure to the last bit of
float32. The few that are not are worked out by `similarity`; scores, ties and order are those of `search_exact`. NumPy's
BLAS does the product, with as many threads as OPENBLAS_NUM_THREADS allows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import repeat
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from croquis.arrays import Floats, Keys, Rows, Scores, Vectors
from croquis.index.vector_index import FAISS

SPARE = 32  # candidates beyond k: enough unless that many vectors tie at the last rank
TOLERANCE = 1e-5  # bound on the relative error of FAISS's float32 squared distances
BLOCK = 8192
WORTH_A_CUT = 4  # times as many scores as are asked for: fewer are sorted whole
FEWEST_QUERIES = 32  # fewer do not pay for the gallery in float64
GALLERY_PER_RESULT = 64  # rows of the gallery per asked result, up to which this is faster than FAISS
NUMBERS = 1 << 25  # of the gallery in float64: 256 MiB
CELLS = 1 << 21  # pairs of query and row at a time: 16 MiB
SAMPLED = 8  # one row of so many is looked at to guess how far the best ones reach
EPSILON = float(np.finfo(np.float64).eps)
SIGN, ALL = np.uint32(1 << 31), np.uint32((1 << 32) - 1)
LOW = np.uint64(32)  # bits that hold the place in the order of the keys


def normalise(vectors: Vectors) -> Vectors:
    """Rows of length 1; a zero row stays zero."""
    doubles = vectors.astype(np.float64)
    lengths = np.sqrt(np.add.reduce(doubles * doubles, axis=1, keepdims=True))
    lengths[lengths == 0] = 1.0
    return np.asarray(vectors / lengths, dtype=np.float32)


def similarity(query: Vectors, vectors: Vectors, metric: str) -> Scores:
    """Scores of `vectors` (n, dim) for one `query` (dim,): (n,) float32, higher is better.

    With d the Euclidean distance: -d**2 for `l2` and 1 - d**2 / 2 for `cosine`, which is the cosine of unit vectors.
    Each number depends on its own vector only, so equal vectors have equal scores.
    """
    difference = vectors.astype(np.float64) - query.astype(np.float64)
    return np.asarray(scores_of(np.einsum("nd,nd->n", difference, difference), metric), dtype=np.float32)


def scores_of(squared: Any, metric: str) -> Any:
    """Scores of squared Euclidean distances, any shape, in the precision that these have."""
    return -squared if metric == "l2" else 1.0 - squared / 2


def best_first(scores: Scores, keys: Keys, k: int) -> npt.NDArray[np.int64]:
    """Positions of the `k` highest scores, equal ones ordered by key, lowest first."""
    if WORTH_A_CUT * k < len(scores):
        threshold = np.partition(scores, len(scores) - k)[len(scores) - k]
        kept = np.flatnonzero(scores >= threshold)
    else:
        kept = np.arange(len(scores))
    return kept[np.lexsort((keys[kept], -scores[kept]))][:k]


def search_exact(
    queries: Vectors, vectors: Vectors, k: int, keys: Keys, metric: str, among: Rows | None = None, index: Any = None
) -> tuple[Scores, Rows]:
    """The best `k` of `vectors` (n, dim) for each of `queries` (Q, dim), label-blind also at the last rank.

    Args:
        queries: float32, contiguous, finite.
        vectors: float32, contiguous; n may be 0 or below k.
        k: at least 1.
        keys: (n,) uint64, the order of equal scores.
        metric: `cosine` (both sides of unit length) or `l2`.
        among: the only rows that may be found, distinct; all when None.
        index: a flat one of FAISS over `vectors`, which `among` needs.

    Returns:
        scores (Q, k) padded with -inf and rows (Q, k) padded with -1.
    """
    scores, rows = empty_result(len(queries), k)
    count = len(vectors) if among is None else len(among)
    width = min(count, k + SPARE)
    if width == 0 or len(queries) == 0:
        return scores, rows
    # Where every vector is a candidate, FAISS would only sort what is sorted again here, and slowly.
    proposed = _proposed(queries, vectors, width, among, index) if width < count else repeat(None)
    for number, (query, proposal) in enumerate(zip(queries, proposed, strict=False)):
        best = None if proposal is None else _settled(query, vectors, *proposal, k, keys, metric)
        near, found = best or _best_of_all(query, vectors, k, keys, metric, among)
        scores[number, : len(near)], rows[number, : len(near)] = near, found
    return scores, rows


def _proposed(
    queries: Vectors, vectors: Vectors, width: int, among: Rows | None, index: Any
) -> Iterable[tuple[Scores, Rows]]:
    """FAISS's `width` nearest of each query: squared distances and rows, the nearest first."""
    if among is None:
        return zip(*faiss.knn(queries, vectors, width), strict=True)
    selected = FAISS.SearchParameters(sel=FAISS.IDSelectorArray(among))
    return zip(*index.search(queries, width, params=selected), strict=True)


def empty_result(queries: int, k: int) -> tuple[Scores, Rows]:
    """Scores of -inf and rows of -1, both (queries, k)."""
    return np.full((queries, k), -np.inf, dtype=np.float32), np.full((queries, k), -1, dtype=np.int64)


def search_kept(search: Callable[[int], tuple[Scores, Rows]], place: Rows, k: int) -> tuple[Scores, Rows]:
    """The best `k` rows that are left of an index, best first: more and more are asked for until there are so many.

    Args:
        search: from a depth to scores and rows of the whole index, both (Q, depth).
        place: (n,) the new number of each row of the index, -1 for one that was taken out.
        k: at least 1.

    Returns:
        scores (Q, k) and new numbers of rows (Q, k); -1 where the index has no more.
    """
    removed = int((place < 0).sum())
    wanted = k + min(removed, SPARE)
    while True:
        scores, found = search(wanted)
        rows = np.where(found >= 0, place[found], -1)
        enough = ((rows >= 0).sum(axis=1) >= k) | (found[:, -1] < 0)
        if enough.all() or wanted == k + removed:
            break
        wanted = min(2 * wanted, k + removed)
    order = np.argsort(rows < 0, axis=1, kind="stable")[:, :k]
    near = np.where(rows >= 0, scores, -np.inf).astype(np.float32)
    return np.take_along_axis(near, order, axis=1), np.take_along_axis(rows, order, axis=1)


def _settled(
    query: Vectors, vectors: Vectors, distances: Scores, candidates: Rows, k: int, keys: Keys, metric: str
) -> tuple[Scores, Rows] | None:
    """The best `k` of FAISS's candidates; None when one that it did not propose could be among them, rounding included."""
    found = candidates[candidates >= 0]
    near = similarity(query, vectors[found], metric)
    chosen = best_first(near, keys[found], k)
    last = float(near[chosen[-1]])
    squared = -last if metric == "l2" else 2 * (1 - last)
    length = math.sqrt(query @ query)
    reach = length + math.sqrt(max(squared, 0.0))
    error = TOLERANCE * (length * length + reach * reach)
    return (near[chosen], found[chosen]) if float(distances[-1]) - squared > error else None


def _best_of_all(
    query: Vectors, vectors: Vectors, k: int, keys: Keys, metric: str, among: Rows | None
) -> tuple[Scores, Rows]:
    rows = np.arange(len(vectors)) if among is None else among
    starts = range(0, len(rows), BLOCK)
    parts = (
        vectors[start : start + BLOCK] if among is None else vectors[rows[start : start + BLOCK]] for start in starts
    )
    near = np.concatenate([similarity(query, part, metric) for part in parts])
    chosen = best_first(near, keys[rows], k)
    return near[chosen], rows[chosen]


def is_faster(queries: Vectors, count: int, k: int) -> bool:
    """Whether `search_matrix` over so many vectors beats `search_exact`, and its memory is bounded."""
    fits = count * queries.shape[1] <= NUMBERS
    return fits and len(queries) >= FEWEST_QUERIES and 0 < count <= GALLERY_PER_RESULT * k


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
