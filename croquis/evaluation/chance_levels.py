"""What a random order of the gallery would score: the line that every result must be read against."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from croquis.evaluation.metrics import Counts, Normaliser, PerQuery


def chance_hit_at_k(gallery_size: Counts, n_relevant: Counts, k: int) -> PerQuery:
    """Expected hit@k of a random order, by the hypergeometric law: 1 - C(N-R, k) / C(N, k).

    The quotient is the product over i < k of (N-R-i) / (N-i): the chance that draw after draw misses. Four images, one
    relevant, two draws: 1 - (3/4)(2/3) = 0.5.

    >>> chance_hit_at_k(np.array([4]), np.array([1]), 2).round(6).tolist()
    [0.5]
    """
    return np.asarray(1.0 - _misses(gallery_size, n_relevant, k).prod(axis=1))


def chance_precision(gallery_size: Counts, n_relevant: Counts, k: int) -> PerQuery:
    """Expected precision@k of a random order: R/N for each of the min(k, N) ranks filled, divided by k.

    >>> chance_precision(np.array([10]), np.array([2]), 5).tolist()
    [0.2]
    """
    size = np.maximum(np.asarray(gallery_size), 1)
    filled = np.minimum(k, size)
    return np.asarray(np.asarray(n_relevant) / size * filled / k)


def chance_mean_reciprocal_rank(gallery_size: Counts, n_relevant: Counts, depth: int) -> PerQuery:
    """`chance_reciprocal_rank`, worked out once for queries with as many candidates and right answers."""
    return _per_distinct(chance_reciprocal_rank, gallery_size, n_relevant, depth)


def chance_reciprocal_rank(gallery_size: Counts, n_relevant: Counts, depth: int) -> PerQuery:
    """Expected 1/rank of the first relevant image of a random order, cut at `depth`.

    By parts: sum over ranks i of P(first hit at i) / i, with P(first hit at i) = hit@i - hit@(i-1).

    >>> chance_reciprocal_rank(np.array([2]), np.array([1]), 2).tolist()
    [0.75]
    """
    hit = 1.0 - _misses(gallery_size, n_relevant, depth).cumprod(axis=1)
    first = np.diff(hit, axis=1, prepend=0.0)
    return np.asarray((first / np.arange(1, depth + 1)).sum(axis=1))


def chance_average_precision_at_r(gallery_size: Counts, n_relevant: Counts) -> PerQuery:
    """Expected AP@R of a random order.

    Rank i is relevant with probability R/N, and then precision@i expects (1 + (i-1)(R-1)/(N-1)) / i. Summed over
    i <= R and divided by R; with H the harmonic number of R: (1/N) * (H + (R-1)/(N-1) * (R-H)).

    >>> chance_average_precision_at_r(np.array([2]), np.array([1])).tolist()
    [0.5]
    """
    size, relevant = np.asarray(gallery_size, dtype=np.float64), np.asarray(n_relevant, dtype=np.int64)
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, relevant.max(initial=0) + 1))])[relevant]
    others = (relevant - 1) / np.maximum(size - 1, 1)
    return np.asarray((harmonic + others * (relevant - harmonic)) / np.maximum(size, 1))


def chance_average_precision(
    gallery_size: Counts, n_relevant: Counts, depth: int | None = None, normaliser: Normaliser = "retrievable"
) -> PerQuery:
    """Expected `metrics.average_precision` of a random order over the first `depth` results (all when None).

    With D = min(depth, N), rank i is relevant with probability R/N, and then precision@i expects
    (1 + (i-1)(R-1)/(N-1)) / i. Summed over i <= D: (R/N) * (H + (R-1)/(N-1) * (D-H)) with H the harmonic number of D,
    which `retrievable` divides by min(R, D). Divided by the number h of `hits`: given h, any h of the D ranks are as likely
    as others, so that AP expects (H + (h-1)/(D-1) * (D-H)) / D for h > 0; with E[h] = D R/N and P(h > 0) from the
    hypergeometric law this gives (P H + (D R/N - P)/(D-1) * (D-H)) / D.

    >>> chance_average_precision(np.array([2]), np.array([1])).tolist()
    [0.75]
    >>> chance_average_precision(np.array([2]), np.array([1]), 1, "hits").tolist()
    [0.5]
    """
    size, relevant = np.maximum(np.asarray(gallery_size, dtype=np.float64), 1), np.asarray(n_relevant, dtype=np.float64)
    seen = size if depth is None else np.minimum(size, depth)
    longest = int(seen.max(initial=1))
    harmonic = np.cumsum(1.0 / np.arange(1, longest + 1))[seen.astype(np.int64) - 1]
    if normaliser == "retrievable":
        others = (relevant - 1) / np.maximum(size - 1, 1)
        total = relevant / size * (harmonic + others * (seen - harmonic))
        return np.asarray(total / np.maximum(np.minimum(relevant, seen), 1))
    some = _per_distinct(chance_hit_at_k, gallery_size, n_relevant, longest)
    more = (seen * relevant / size - some) / np.maximum(seen - 1, 1)
    return np.asarray((some * harmonic + more * (seen - harmonic)) / seen)


def _misses(gallery_size: Counts, n_relevant: Counts, depth: int) -> PerQuery:
    """Chance that rank i misses when all ranks before it missed, (queries, depth); 1 past the end of the gallery."""
    size, relevant = np.asarray(gallery_size)[:, None], np.asarray(n_relevant)[:, None]
    drawn = np.arange(depth)
    misses = np.clip(size - relevant - drawn, 0, None) / np.maximum(size - drawn, 1)
    return np.asarray(np.where(drawn < size, misses, 1.0))


def _per_distinct(
    level: Callable[[Counts, Counts, int], PerQuery], gallery_size: Counts, n_relevant: Counts, depth: int
) -> PerQuery:
    """`level(N, R, depth)`, computed once per distinct (N, R) so that no queries x depth matrix stands."""
    pairs, inverse = np.unique(np.stack([gallery_size, n_relevant], axis=1), axis=0, return_inverse=True)
    values = [level(pair[:1], pair[1:], depth)[0] for pair in pairs]
    return np.asarray(values)[inverse.reshape(-1)]
