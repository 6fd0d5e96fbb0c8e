"""Exact nearest neighbours whose scores and order do not depend on where a vector is stored.

FAISS finds candidates fast, but the last bits of its distances change with the number of queries and with the place of
a vector in a block, so that exact duplicates may differ and equal scores come in storage order. The candidates are
therefore scored again, one by one in float64, and equal scores are ordered by the caller's key.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import repeat
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from croquis.arrays import Keys, Rows, Scores, Vectors

SPARE = 32  # candidates beyond k: enough unless that many vectors tie at the last rank
TOLERANCE = 1e-5  # bound on the relative error of FAISS's float32 squared distances
BLOCK = 8192


def normalise(vectors: Vectors) -> Vectors:
    """Rows of length 1; a zero row stays zero."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0), dtype=np.float32)


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
    if k < len(scores):
        threshold = np.partition(scores, len(scores) - k)[len(scores) - k]
        kept = np.flatnonzero(scores >= threshold)
    else:
        kept = np.arange(len(scores))
    return kept[np.lexsort((keys[kept], -scores[kept]))][:k]


def search_exact(queries: Vectors, vectors: Vectors, k: int, keys: Keys, metric: str) -> tuple[Scores, Rows]:
    """The best `k` of `vectors` (n, dim) for each of `queries` (Q, dim), label-blind also at the last rank.

    Args:
        queries: float32, contiguous, finite.
        vectors: float32, contiguous; n may be 0 or below k.
        k: at least 1.
        keys: (n,) uint64, the order of equal scores.
        metric: `cosine` (both sides of unit length) or `l2`.

    Returns:
        scores (Q, k) padded with -inf and rows (Q, k) padded with -1.
    """
    scores, rows = empty_result(len(queries), k)
    width = min(len(vectors), k + SPARE)
    if width == 0 or len(queries) == 0:
        return scores, rows
    whole = np.arange(len(vectors))
    # Where every vector is a candidate, FAISS would only sort what is sorted again here, and slowly.
    proposed = zip(*faiss.knn(queries, vectors, width), strict=True) if width < len(vectors) else repeat(None)
    for number, (query, proposal) in enumerate(zip(queries, proposed, strict=False)):
        settled = None if proposal is None else _settled(query, vectors, *proposal, k, metric)
        near, found = settled or (_all_scores(query, vectors, metric), whole)
        chosen = best_first(near, keys[found], k)
        scores[number, : len(chosen)], rows[number, : len(chosen)] = near[chosen], found[chosen]
    return scores, rows


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
    query: Vectors, vectors: Vectors, distances: Scores, candidates: Rows, k: int, metric: str
) -> tuple[Scores, Rows] | None:
    """Scores and rows of FAISS's candidates; None when one that it did not propose could be among the best `k`."""
    found = candidates[candidates >= 0]
    near = similarity(query, vectors[found], metric)
    return (near, found) if _is_settled(query, float(distances[-1]), near, k, metric) else None


def _is_settled(query: Vectors, farthest: float, near: Scores, k: int, metric: str) -> bool:
    """Whether no vector beyond the candidates can reach the k-th best score, rounding included."""
    last = float(np.partition(near, len(near) - k)[len(near) - k])
    squared = -last if metric == "l2" else 2 * (1 - last)
    length = float(np.linalg.norm(query))
    reach = length + math.sqrt(max(squared, 0.0))
    error = TOLERANCE * (length * length + reach * reach)
    return farthest - squared > error


def _all_scores(query: Vectors, vectors: Vectors, metric: str) -> Scores:
    starts = range(0, len(vectors), BLOCK)
    return np.concatenate([similarity(query, vectors[start : start + BLOCK], metric) for start in starts])
