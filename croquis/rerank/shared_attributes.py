"""Re-ranking of a shortlist by shared attributes (Lim and Nang; the reference system's second half).

The paper scores a result by `alpha * -rank + beta * overlap` with alpha in {-1, -2, -3} and beta in {1, 2, 3}, and sorts
from high to low. Its minus signs cancel: with alpha = -2 the total is `2 * rank + 2 * overlap`, which puts the *worst*
ranks first. What is meant, and what stands here, is

    total = -alpha * rank + beta * overlap        with alpha, beta >= 0 and rank = 1, 2, ...

Ranks make a narrow lead as good as a wide one. The variant `standing: score`, which is ours, takes the score of the search,
from 0 for the first of the shortlist to -1 for its last, so that weights mean the same for cosines, bits and distances:

    total = alpha * (score - first) / (first - last) + beta * overlap

Only the ratio of alpha and beta matters for the order, so the paper's nine settings are seven. A permutation of the
first k results cannot change hit@k: the depth of the shortlist must exceed the k that is reported.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from croquis.arrays import Floats, Rows
from croquis.rerank.overlap import Counts, Overlap, RerankError, check_rows

Flags = npt.NDArray[np.bool_]

STANDINGS = ("rank", "score")
ROUNDING = 9  # digits; equal ratios of alpha and beta must not part ways in the last bit


@dataclass(frozen=True)
class Weighing:
    """How the standing before the re-ranking and the overlap are weighed.

    Attributes:
        alpha: weight of the standing, at least 0.
        beta: weight of the overlap, at least 0.
        standing: `rank`, as in the paper, or `score`, see above.

    Raises:
        RerankError: naming the setting that is out of range.
    """

    alpha: float
    beta: float
    standing: str = "rank"

    def __post_init__(self) -> None:
        for name, value in (("alpha", self.alpha), ("beta", self.beta)):
            if not (np.isfinite(value) and value >= 0):
                raise RerankError(
                    f"{name} = {value}, must be 0 or more; the paper's negative alpha is a slip of the sign"
                )
        if self.standing not in STANDINGS:
            raise RerankError(f"standing = {self.standing!r}, must be one of {list(STANDINGS)}")

    def totals(self, overlaps: Floats, scores: npt.NDArray[np.floating]) -> Floats:
        """Total scores (Q, k) in units of alpha, of beta when alpha is 0; `scores` (Q, k) are those before, best first."""
        ranks = np.arange(1, overlaps.shape[1] + 1, dtype=np.float64)
        unit = self.alpha or self.beta or 1.0
        standing = -ranks[None] if self.standing == "rank" else relative_scores(scores)
        return np.asarray(
            np.round((self.alpha / unit) * standing + (self.beta / unit) * overlaps, ROUNDING), dtype=np.float64
        )


def relative_scores(scores: npt.NDArray[np.floating]) -> Floats:
    """Sorted scores (Q, k) as 0 for the first of each list to -1 for the last; all 0 where they are equal. What stands past
    the end of a list (-inf) counts as the last."""
    found, held = scores.astype(np.float64), np.isfinite(scores)
    first = np.where(held[:, :1], found[:, :1], 0.0)
    last = np.where(held, found, first).min(axis=1, keepdims=True, initial=np.inf)
    span = np.where(first > last, first - last, 1.0)
    return np.asarray((np.where(held, found, last) - first) / span, dtype=np.float64)


class SharedAttributes:
    """The overlap of sets of attributes.

    Args:
        gallery: the attributes of each gallery image, by row; predicted as in the paper, or the catalogue's.
        kind, counts: see `Overlap`.
    """

    def __init__(self, gallery: Sequence[Collection[str]], kind: str = "count", counts: Counts | None = None) -> None:
        names = sorted({each for one in gallery for each in one})
        self._columns = {name: column for column, name in enumerate(names)}
        self._overlap = Overlap(names, flags(gallery, self._columns), kind, counts)
        self._images = len(gallery)

    def overlaps(self, rows: Rows, query_attributes: Sequence[Collection[str]]) -> Floats:
        """The overlap of each query with each of its results (Q, k), 0 where a list has ended.

        Raises:
            RerankError: when the numbers of lists and queries differ, or a row is not in the gallery.
        """
        check_rows(rows, len(query_attributes), self._images)
        unseen = np.array([len(set(names) - set(self._columns)) for names in query_attributes], dtype=np.int64)
        return self._overlap.overlaps(rows, self._query(query_attributes), unseen)

    def contributions(self, rows: Rows, query_attributes: Collection[str]) -> tuple[tuple[str, ...], Floats]:
        """The names, and what each adds to the overlap of one query with the results `rows` (n,): (n, names)."""
        return self._overlap.contributions(rows, self._query([query_attributes])[0])

    def _query(self, sets: Sequence[Collection[str]]) -> Floats:
        return flags(sets, self._columns).astype(np.float64)


def flags(sets: Sequence[Collection[str]], columns: Mapping[str, int]) -> Flags:
    """Which attributes each set holds, (len(sets), len(columns)); names without a column are left out."""
    held = np.zeros((len(sets), len(columns)), dtype=np.bool_)
    for row, names in enumerate(sets):
        held[row, [columns[name] for name in names if name in columns]] = True
    return held
