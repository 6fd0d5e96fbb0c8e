"""How a re-ranking by attributes weighs where a result stood against what it shares with the query (Lim and Nang).

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

import numpy as np
import numpy.typing as npt

from croquis.arrays import Floats
from croquis.rerank.rerank_settings import RerankBlock

ROUNDING = 9  # digits; equal ratios of alpha and beta must not part ways in the last bit


def totals(block: RerankBlock, overlaps: Floats, scores: npt.NDArray[np.floating]) -> Floats:
    """Total scores (Q, k) in units of alpha, of beta when alpha is 0; `scores` (Q, k) are those before, best first."""
    unit = block.alpha or block.beta or 1.0
    if block.standing == "rank":
        standing = -np.arange(1, overlaps.shape[1] + 1, dtype=np.float64)[None]
    else:
        standing = relative_scores(scores)
    mixed = (block.alpha / unit) * standing + (block.beta / unit) * overlaps
    return np.asarray(np.round(mixed, ROUNDING), dtype=np.float64)


def relative_scores(scores: npt.NDArray[np.floating]) -> Floats:
    """Sorted scores (Q, k) as 0 for the first of each list to -1 for the last; all 0 where they are equal. What stands past
    the end of a list (-inf) counts as the last."""
    found, held = scores.astype(np.float64), np.isfinite(scores)
    first = np.where(held[:, :1], found[:, :1], 0.0)
    last = np.where(held, found, first).min(axis=1, keepdims=True, initial=np.inf)
    span = np.where(first > last, first - last, 1.0)
    return np.asarray((np.where(held, found, last) - first) / span, dtype=np.float64)
