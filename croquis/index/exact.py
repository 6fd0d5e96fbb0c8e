"""Exact nearest neighbours whose scores and order do not depend on where a vector is stored.

FAISS finds candidates fast, but the last bits of its distances change with the number of queries and with the place of
a vector in a block, so that exact duplicates may differ and equal scores come in storage order. The candidates are
therefore scored again, one by one in float64, and equal scores are ordered by the caller's key.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import repeat
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from croquis.arrays import Keys, Rows, Scores, Vectors
from croquis.index.vector_index import FAISS

SPARE = 32  # candidates beyond k: enough unless that many vectors tie at the last rank
TOLERANCE = 1e-5  # bound on the relative error of FAISS's float32 squared distances
BLOCK = 8192
WORTH_A_CUT = 4  # times as many scores as are asked for: fewer are sorted whole


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
