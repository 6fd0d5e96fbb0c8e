"""Retrieval metrics as pure functions of ranked relevance, one value per query.

All of them read two arrays: `relevance` (queries, depth), bool, true where the gallery image at that rank is relevant,
best rank first; and `n_relevant` (queries,), int, the number of relevant images in the whole gallery (the query's own
image not counted). A list shorter than the depth is padded with false. Metrics come from ranks, never from scores, so a
negative score cannot be dropped. The worked examples share one list: hits at ranks 1 and 4 out of three relevant images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from croquis.evaluation import chance_levels

Relevance = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]
PerQuery = npt.NDArray[np.float64]

Normaliser = Literal["retrievable", "hits"]

REPORTED_K = (1, 5, 10, 20, 50)


def hit_at_k(relevance: Relevance, k: int) -> PerQuery:
    """1 when any of the first k results is relevant, else 0. Called recall@k or top-k accuracy elsewhere.

    >>> hit_at_k(np.array([[True, False, False, True, False]]), 1).tolist()
    [1.0]
    >>> hit_at_k(np.array([[False, False, True]]), 2).tolist()
    [0.0]
    """
    _check_k(k)
    return np.asarray(relevance[:, :k].any(axis=1), dtype=np.float64)


def precision_at_k(relevance: Relevance, k: int) -> PerQuery:
    """Relevant results among the first k, divided by k (also when fewer than k images are relevant or returned).

    >>> precision_at_k(np.array([[True, False, False, True, False]]), 5).tolist()
    [0.4]
    """
    _check_k(k)
    return np.asarray(relevance[:, :k].sum(axis=1) / k)


def average_precision_at_r(relevance: Relevance, n_relevant: Counts) -> PerQuery:
    """AP over the first R ranks, divided by R, where R is the number of relevant images (mAP@R of Musgrave et al. 2020).

    AP@R = 1/R * sum over ranks i <= R of precision@i where rank i is relevant. With R = 3 and hits at ranks 1 and 4, only
    rank 1 counts: (1/1) / 3.

    >>> average_precision_at_r(np.array([[True, False, False, True, False]]), np.array([3])).round(4).tolist()
    [0.3333]

    Raises:
        ValueError: when some R exceeds the depth of the lists, because the metric would silently be too low.
    """
    counts = _checked(relevance, n_relevant)
    depth = relevance.shape[1]
    if counts.size and counts.max() > depth:
        raise ValueError(
            f"mAP@R needs lists of depth {counts.max()} (the largest R), got {depth}: raise evaluate.depth"
        )
    within = np.arange(1, depth + 1) <= counts[:, None]
    return np.asarray((_precision_at_hits(relevance) * within).sum(axis=1) / np.maximum(counts, 1))


def average_precision(relevance: Relevance, n_relevant: Counts, normaliser: Normaliser = "retrievable") -> PerQuery:
    """AP over the whole list (map@all when the list is the whole gallery), with the normaliser named.

    The sum of precision@i over the relevant ranks i is divided by `retrievable` = min(R, depth), the most that the list
    could hold, or by `hits`, the number found in the list (as the DeepHash protocols do; it forgives what was missed).
    With hits at ranks 1 and 4 of R = 3: (1/1 + 2/4) / 3 = 0.5, and by hits (1/1 + 2/4) / 2 = 0.75.

    >>> ranked = np.array([[True, False, False, True, False]])
    >>> average_precision(ranked, np.array([3])).tolist(), average_precision(ranked, np.array([3]), "hits").tolist()
    ([0.5], [0.75])
    """
    counts = _checked(relevance, n_relevant)
    if normaliser == "retrievable":
        divisor = np.minimum(counts, relevance.shape[1])
    elif normaliser == "hits":
        divisor = relevance.sum(axis=1)
    else:
        raise ValueError(f"normaliser is {normaliser!r}, must be 'retrievable' or 'hits'")
    return np.asarray(_precision_at_hits(relevance).sum(axis=1) / np.maximum(divisor, 1))


def first_hit_rank(relevance: Relevance) -> Counts:
    """Rank of the first relevant result, counted from 1; 0 when the list holds none.

    >>> first_hit_rank(np.array([[False, True, True], [False, False, False]])).tolist()
    [2, 0]
    """
    if relevance.shape[1] == 0:
        return np.zeros(len(relevance), dtype=np.int64)
    return np.where(relevance.any(axis=1), relevance.argmax(axis=1) + 1, 0).astype(np.int64)


def reciprocal_rank(relevance: Relevance) -> PerQuery:
    """1 / rank of the first relevant result; 0 when the list holds none. Its mean is the MRR.

    >>> reciprocal_rank(np.array([[False, True, True], [False, False, False]])).tolist()
    [0.5, 0.0]
    """
    ranks = first_hit_rank(relevance)
    return np.where(ranks > 0, 1.0 / np.maximum(ranks, 1), 0.0)


def named_average_precision(
    name: str, relevance: Relevance, n_relevant: Counts, normaliser: Normaliser = "retrievable"
) -> PerQuery:
    """The average precision called `map@r`, `map@all` (the lists hold the whole gallery) or, say, `map@1000`.

    >>> ranked = np.array([[True, False, False, True, False]])
    >>> [named_average_precision(name, ranked, np.array([3])).round(4).tolist() for name in ("map@all", "map@3")]
    [[0.5], [0.3333]]
    """
    if name == "map@r":
        return average_precision_at_r(relevance, n_relevant)
    depth = ap_depth(name)
    return average_precision(relevance if depth is None else relevance[:, :depth], n_relevant, normaliser)


def ap_depth(name: str) -> int | None:
    """The results that an average precision of that name looks at; None for all.

    >>> ap_depth("map@1000"), ap_depth("map@all")
    (1000, None)
    """
    depth = name.removeprefix("map@")
    if depth != "all" and not (name.startswith("map@") and depth.isdecimal()):
        raise ValueError(f"{name!r} is not an average precision; known: map@r, map@all and map@DEPTH")
    return None if depth == "all" else int(depth)


@dataclass(frozen=True)
class Metric:
    """What a report says of a set of queries.

    Attributes:
        name: as in reports, e.g. `hit@5`.
        per_query: from relevance (Q, depth) and the counts of right answers (Q,) to values (Q,).
        chance: what a random order of the gallery would score: from gallery sizes (Q,), counts (Q,) and the depth of the
            lists to values (Q,).
        printed: whether it has room in the table that the stage `evaluate` prints.
        headline: whether it has room in short tables.
    """

    name: str
    per_query: Callable[[Relevance, Counts], PerQuery]
    chance: Callable[[Counts, Counts, int], PerQuery]
    printed: bool = True
    headline: bool = False


def hit_metric(k: int) -> Metric:
    """`hit@k` with its level of chance; among the printed figures up to k = 10, a headline up to 5."""
    return Metric(
        f"hit@{k}",
        lambda relevance, _: hit_at_k(relevance, k),
        lambda sizes, counts, _: chance_levels.chance_hit_at_k(sizes, counts, k),
        printed=k <= 10,
        headline=k <= 5,
    )


def precision_metric(k: int) -> Metric:
    """`precision@k` with its level of chance; not among the printed figures."""
    return Metric(
        f"precision@{k}",
        lambda relevance, _: precision_at_k(relevance, k),
        lambda sizes, counts, _: chance_levels.chance_precision(sizes, counts, k),
        printed=False,
    )


def average_precision_metric(name: str, normaliser: Normaliser) -> Metric:
    """The average precision of that name, see `named_average_precision`."""

    def chance(sizes: Counts, counts: Counts, depth: int) -> PerQuery:  # noqa: ARG001 its name says how deep it looks
        if name == "map@r":
            return chance_levels.chance_average_precision_at_r(sizes, counts)
        return chance_levels.chance_average_precision(sizes, counts, ap_depth(name), normaliser)

    def per_query(relevance: Relevance, counts: Counts) -> PerQuery:
        return named_average_precision(name, relevance, counts, normaliser)

    return Metric(name, per_query, chance, headline=True)


RECIPROCAL_RANK = Metric(
    "mrr", lambda relevance, _: reciprocal_rank(relevance), chance_levels.chance_mean_reciprocal_rank
)


def reported_metrics(
    average: str = "map@r", normaliser: Normaliser = "retrievable", reported_k: Sequence[int] = REPORTED_K
) -> tuple[Metric, ...]:
    """What is reported under a protocol whose average precision is called `average`."""
    hits = (hit_metric(k) for k in reported_k)
    return (*hits, precision_metric(5), average_precision_metric(average, normaliser), RECIPROCAL_RANK)


REPORTED = reported_metrics()
"""Of a protocol that counts items; others report another average precision, see `Protocol.metrics`."""


def metric_table(relevance: Relevance, n_relevant: Counts, metrics: Sequence[Metric] = REPORTED) -> dict[str, PerQuery]:
    """Every metric by name, (queries,) each."""
    return {metric.name: metric.per_query(relevance, n_relevant) for metric in metrics}


def chance_table(
    gallery_size: Counts, n_relevant: Counts, depth: int, metrics: Sequence[Metric] = REPORTED
) -> dict[str, float]:
    """Chance level of every metric by name, averaged over the queries."""
    return {metric.name: float(metric.chance(gallery_size, n_relevant, depth).mean()) for metric in metrics}


def headline_metrics(names: Iterable[str]) -> tuple[str, ...]:
    """Those of a report that have room in a short table.

    >>> headline_metrics(["hit@1", "hit@5", "hit@10", "precision@5", "map@all", "mrr"])
    ('hit@1', 'hit@5', 'map@all')
    """
    return tuple(name for name in names if metric_called(name).headline)


def metric_called(name: str, normaliser: Normaliser = "retrievable") -> Metric:
    """The reported metric of that name, of whichever protocol.

    Raises:
        ValueError: when nothing of that name is reported.
    """
    if name.startswith("map@"):
        return average_precision_metric(name, normaliser)
    known = {metric.name: metric for metric in REPORTED}
    if name not in known:
        raise ValueError(f"{name!r} is not reported; known: {', '.join(known)}")
    return known[name]


def _precision_at_hits(relevance: Relevance) -> PerQuery:
    """Precision@i where rank i is relevant, 0 elsewhere; (queries, depth)."""
    ranks = np.arange(1, relevance.shape[1] + 1)
    precision: PerQuery = np.cumsum(relevance, axis=1) / ranks * relevance
    return precision


def _checked(relevance: Relevance, n_relevant: Counts) -> Counts:
    counts = np.asarray(n_relevant, dtype=np.int64)
    if counts.shape != relevance.shape[:1]:
        raise ValueError(
            f"n_relevant has shape {counts.shape}, relevance {relevance.shape}: one count per query is needed"
        )
    found = relevance.sum(axis=1)
    if (found > counts).any():
        query = int(np.argmax(found > counts))
        raise ValueError(f"query {query} has {found[query]} relevant results but n_relevant says {counts[query]}")
    return counts


def _check_k(k: int) -> None:
    if k < 1:
        raise ValueError(f"k is {k}, must be at least 1")
