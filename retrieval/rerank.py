"""Re-ranking of a shortlist by shared attributes (Lim and Nang; the reference system's second half).

The paper scores a result by `alpha * -rank + beta * overlap` with alpha in {-1, -2, -3} and beta in {1, 2, 3}, and sorts
from high to low. Its minus signs cancel: with alpha = -2 the total is `2 * rank + 2 * overlap`, which puts the *worst*
ranks first. What is meant, and what stands here, is

    total = -alpha * rank + beta * overlap        with alpha, beta >= 0 and rank = 1, 2, ...

Only the ratio of alpha and beta matters for the order, so the paper's nine settings are seven. A permutation of the
first k results cannot change hit@k: the depth of the shortlist must exceed the k that is reported.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
OverlapKind = Literal["count", "jaccard", "idf"]

OVERLAPS: tuple[OverlapKind, ...] = ("count", "jaccard", "idf")
ROUNDING = 9  # digits; equal ratios of alpha and beta must not part ways in the last bit


class RerankError(ValueError):
    """Settings or rows that cannot be re-ranked."""


@dataclass(frozen=True)
class Reranking:
    """The new order of several result lists.

    Attributes:
        order: (Q, k) int64; `order[q, 0]` is the old position (from 0) of the new best result.
        rows: (Q, k) int64, the re-ordered rows; -1 where a list has ended.
        overlap: (Q, k) float64 in the new order; 0 beyond the shortlist and where a list has ended.
    """

    order: Rows
    rows: Rows
    overlap: Floats


def overlap(query: Flags, results: Flags, kind: OverlapKind, idf: Floats, unseen: Rows | int = 0) -> Floats:
    """How many attributes each result shares with its query.

    Args:
        query: (Q, A), the attributes of the queries.
        results: (Q, k, A), those of the results.
        kind: `count` (shared attributes, as in the paper), `jaccard` (shared / all that either has, 0 when neither has
            any) or `idf` (sum of the shared attributes' weights).
        idf: (A,) weights.
        unseen: (Q,), attributes of each query beyond those A; they count in the union of `jaccard`.

    Returns:
        (Q, k) float64, at least 0.
    """
    shared = results & query[:, None, :]
    if kind == "idf":
        return np.asarray(np.einsum("qka,a->qk", shared, idf), dtype=np.float64)
    counts = np.asarray(shared.sum(axis=2), dtype=np.float64)
    if kind == "count":
        return counts
    either = (results | query[:, None, :]).sum(axis=2) + np.reshape(unseen, (-1, 1))
    return np.asarray(counts / np.maximum(either, 1), dtype=np.float64)


def total_scores(overlaps: Floats, alpha: float, beta: float) -> Floats:
    """`-alpha * rank + beta * overlap` in units of alpha (of beta when alpha is 0), (Q, k); rank is the column from 1."""
    ranks = np.arange(1, overlaps.shape[1] + 1, dtype=np.float64)
    unit = alpha or beta or 1.0
    return np.asarray(np.round((beta * overlaps - alpha * ranks) / unit, ROUNDING), dtype=np.float64)


def inverse_frequencies(flags: Flags) -> Floats:
    """log((1 + N) / (1 + images with the attribute)) for flags (N, A): rare attributes weigh more, one of all weighs 0."""
    return np.asarray(np.log((1 + len(flags)) / (1 + flags.sum(axis=0))), dtype=np.float64)


class AttributeReranker:
    """Re-orders the first `depth` results of each query by the attributes they share with it.

    Args:
        gallery: the attributes of each gallery image, by row; predicted as in the paper, or the catalogue's.
        depth: length of the shortlist, at least 2; results beyond it stay where they are.
        alpha: weight of the rank, at least 0.
        beta: weight of the overlap, at least 0.
        overlap: see `overlap`.

    Raises:
        RerankError: naming the setting that is out of range.
    """

    def __init__(
        self,
        gallery: Sequence[Collection[str]],
        *,
        depth: int,
        alpha: float,
        beta: float,
        overlap: str = "count",
    ) -> None:
        _check_settings(depth, alpha, beta, overlap)
        self.depth = depth
        self.alpha = alpha
        self.beta = beta
        self.overlap = cast(OverlapKind, overlap)
        self._columns = {name: column for column, name in enumerate(sorted({each for one in gallery for each in one}))}
        self._gallery = _flags(gallery, self._columns)
        self._idf = inverse_frequencies(self._gallery)

    def rerank(self, rows: Rows, query_attributes: Sequence[Collection[str]]) -> Reranking:
        """Re-orders result lists.

        Args:
            rows: (Q, k) gallery rows, best first, -1 where a list has ended.
            query_attributes: the predicted attributes of each query, Q of them.

        Raises:
            RerankError: when the numbers of lists and queries differ, or a row is not in the gallery.
        """
        self._check(rows, query_attributes)
        width = min(self.depth, rows.shape[1])
        shortlist = rows[:, :width]
        results = self._gallery[np.maximum(shortlist, 0)] & (shortlist >= 0)[:, :, None]
        query = _flags(query_attributes, self._columns)
        unseen = np.array([len(set(names) - set(self._columns)) for names in query_attributes], dtype=np.int64)
        overlaps = overlap(query, results, self.overlap, self._idf, unseen)
        totals = np.where(shortlist >= 0, total_scores(overlaps, self.alpha, self.beta), -np.inf)
        order = np.tile(np.arange(rows.shape[1], dtype=np.int64), (len(rows), 1))
        order[:, :width] = np.argsort(-totals, axis=1, kind="stable")  # equal totals keep their rank
        padded = np.zeros(rows.shape)
        padded[:, :width] = overlaps
        return Reranking(order, np.take_along_axis(rows, order, axis=1), np.take_along_axis(padded, order, axis=1))

    def shared(self, query_attributes: Collection[str], row: int) -> tuple[str, ...]:
        """The attributes that a query and the gallery image `row` have in common, sorted: why the image moved."""
        held = self._gallery[row]
        return tuple(sorted(n for n in set(query_attributes) if n in self._columns and held[self._columns[n]]))

    def _check(self, rows: Rows, query_attributes: Sequence[Collection[str]]) -> None:
        if rows.ndim != 2 or len(rows) != len(query_attributes):
            raise RerankError(f"rows {rows.shape} must be (queries, k) for {len(query_attributes)} queries")
        if rows.size and (rows.min() < -1 or rows.max() >= len(self._gallery)):
            raise RerankError(f"rows go from {rows.min()} to {rows.max()}, the gallery has {len(self._gallery)} images")


def _flags(sets: Sequence[Collection[str]], columns: Mapping[str, int]) -> Flags:
    """Which attributes each set holds, (len(sets), len(columns)); names without a column are left out."""
    flags = np.zeros((len(sets), len(columns)), dtype=np.bool_)
    for row, names in enumerate(sets):
        flags[row, [columns[name] for name in names if name in columns]] = True
    return flags


def _check_settings(depth: int, alpha: float, beta: float, kind: str) -> None:
    if depth < 2:
        raise RerankError(f"depth = {depth}, must be at least 2")
    for name, value in (("alpha", alpha), ("beta", beta)):
        if not (np.isfinite(value) and value >= 0):
            raise RerankError(f"{name} = {value}, must be 0 or more; the paper's negative alpha is a slip of the sign")
    if kind not in OVERLAPS:
        raise RerankError(f"overlap = {kind!r}, must be one of {list(OVERLAPS)}")
