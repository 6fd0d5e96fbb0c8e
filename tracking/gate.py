"""Whether a candidate may replace the champion: a pure function of both retrievers' results on the same queries.

Rules, each with a reason in words and numbers:

- floor: the candidate's mean of the selecting metric reaches `floor`;
- gain: the one-sided bootstrap bound of the paired gain, at `confidence`, exceeds `min_gain`. Items are resampled, and a
  drawn item brings all its queries (Field and Welsh 2007), so that an equal candidate passes at most about one time in
  1 / (1 - confidence);
- category: no category loses more than `max_category_drop`, unless the loss may be chance: the error that `confidence`
  allows is shared between the categories (Bonferroni), or small categories would refuse everything;
- latency: the candidate needs at most `max_latency_ratio` times as long for a query.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval.intervals import resampled_means

Values = npt.NDArray[np.float64]
Labels = npt.NDArray[np.str_]


class GateError(ValueError):
    """The two retrievers cannot be compared."""


@dataclass(frozen=True)
class Scores:
    """Results of one retriever on N queries of one split and domain pair.

    Attributes:
        queries: (N,) ids of the queries.
        items: (N,) the item of each query, the unit that is resampled.
        categories: (N,) the category of each query.
        values: (N,) the selecting metric of each query, in [0, 1].
        latency_ms: median time of one query, or None when it was not measured.
    """

    queries: Labels
    items: Labels
    categories: Labels
    values: Values
    latency_ms: float | None = None

    @property
    def mean(self) -> float:
        return float(self.values.mean())

    def ordered(self) -> Scores:
        """The same results in order of query id."""
        order = np.argsort(self.queries, kind="stable")
        return Scores(
            self.queries[order], self.items[order], self.categories[order], self.values[order], self.latency_ms
        )  # fmt: skip


@dataclass(frozen=True)
class Policy:
    """The rules' limits; `metric` only names what `values` are, in the reasons."""

    metric: str
    floor: float
    min_gain: float
    confidence: float
    max_category_drop: float
    max_latency_ratio: float
    resamples: int = 10_000
    seed: int = 0


@dataclass(frozen=True)
class Reason:
    """One rule's answer. `figures` are the numbers in `text`; `volatile` ones differ from run to run."""

    rule: str
    passed: bool
    text: str
    figures: Mapping[str, float]
    volatile: bool = False

    def to_json(self) -> dict[str, Any]:
        figures = {name: round(value, 6) for name, value in self.figures.items()}
        return {"rule": self.rule, "passed": self.passed, "text": self.text, "figures": figures}


@dataclass(frozen=True)
class Verdict:
    """`promote`: every rule passed."""

    promote: bool
    reasons: tuple[Reason, ...]

    def summary(self) -> str:
        """One line per rule."""
        return "\n".join(
            f"{'ok  ' if reason.passed else 'FAIL'} {reason.rule}: {reason.text}" for reason in self.reasons
        )


def decide(candidate: Scores, champion: Scores | None, policy: Policy) -> Verdict:
    """Whether `candidate` may become champion, and why.

    Without a champion only the floor counts, and a reason says that there was nobody to beat.

    Raises:
        GateError: when the two were not scored on the same queries, naming the difference.
    """
    floor = _floor(candidate, policy)
    if champion is None:
        return _verdict(floor, Reason("incumbent", True, "no champion yet, so there is nothing to beat", {}))
    candidate, champion = candidate.ordered(), champion.ordered()
    _check_same_queries(candidate, champion)
    return _verdict(
        floor,
        _gain(candidate, champion, policy),
        _categories(candidate, champion, policy),
        _latency(candidate, champion, policy),
    )


def _verdict(*reasons: Reason) -> Verdict:
    return Verdict(all(reason.passed for reason in reasons), reasons)


def _check_same_queries(candidate: Scores, champion: Scores) -> None:
    if np.array_equal(candidate.queries, champion.queries) and np.array_equal(candidate.items, champion.items):
        return
    only_one = np.setxor1d(candidate.queries, champion.queries)
    raise GateError(
        f"candidate has {len(candidate.queries)} queries and champion {len(champion.queries)}, of which {len(only_one)} are "
        f"not shared (e.g. {only_one[:3].tolist()}): score both on the same split"
    )


def _floor(candidate: Scores, policy: Policy) -> Reason:
    passed = candidate.mean >= policy.floor
    text = (
        f"{policy.metric} is {candidate.mean:.3f}, {'at least' if passed else 'below'} the floor of {policy.floor:.3f}"
    )
    return Reason("floor", passed, text, {"value": candidate.mean, "floor": policy.floor})


def _gain(candidate: Scores, champion: Scores, policy: Policy) -> Reason:
    difference = candidate.values - champion.values
    bound = _lower_bound(difference, candidate.items, policy.confidence, policy)
    passed = bound > policy.min_gain
    text = (
        f"{policy.metric} {champion.mean:.3f} -> {candidate.mean:.3f}, gain {difference.mean():+.3f} over "
        f"{len(difference)} queries of {len(np.unique(candidate.items))} items; with {policy.confidence:.0%} confidence "
        f"it is above {bound:+.3f}, and it must be above {policy.min_gain:+.3f}"
    )
    return Reason("gain", passed, text, {"gain": float(difference.mean()), "bound": bound, "min_gain": policy.min_gain})


def _categories(candidate: Scores, champion: Scores, policy: Policy) -> Reason:
    drops = champion.values - candidate.values
    groups = {str(name): candidate.categories == name for name in np.unique(candidate.categories)}
    means = {name: float(drops[rows].mean()) for name, rows in groups.items()}
    allowed_chance = (1.0 - policy.confidence) / len(groups)
    large = [name for name, drop in means.items() if drop > policy.max_category_drop]
    chance = {name: _chance_of_loss(drops[groups[name]], candidate.items[groups[name]], policy) for name in large}
    collapsed = [name for name in large if chance[name] <= allowed_chance]
    worst = max(means, key=lambda name: means[name])
    limit = f"; limit {policy.max_category_drop:.3f}"
    text = f"largest loss is {means[worst]:+.3f} in {worst!r}{limit}"
    if collapsed:
        text = ", ".join(f"{name!r} loses {means[name]:.3f}" for name in collapsed) + limit
    elif large:
        text += f", but with {int(groups[worst].sum())} queries that may be chance (p = {chance[worst]:.3f})"
    return Reason("category", not collapsed, text, {"largest_loss": means[worst], "limit": policy.max_category_drop})


def _chance_of_loss(drops: Values, items: Labels, policy: Policy) -> float:
    """Probability of a mean loss at least this large if both were equally good in this category.

    Sign-flip test over items, exact for few of them (Fisher 1935): between equals, an item's sum of differences is as likely
    negative as positive. A bootstrap of ten items would call chance a collapse four times too often.
    """
    sums = np.bincount(np.unique(items, return_inverse=True)[1], weights=drops)
    signs = np.random.default_rng(policy.seed).choice([-1.0, 1.0], size=(policy.resamples, len(sums)))
    as_large = int((signs @ sums >= sums.sum() - 1e-9).sum())
    return (1 + as_large) / (1 + policy.resamples)


def _latency(candidate: Scores, champion: Scores, policy: Policy) -> Reason:
    if candidate.latency_ms is None or champion.latency_ms is None:
        return Reason("latency", True, "not measured", {}, volatile=True)
    ratio = candidate.latency_ms / max(champion.latency_ms, 1e-9)
    text = (
        f"{champion.latency_ms:.2f} -> {candidate.latency_ms:.2f} ms a query, {ratio:.2f} times as long; "
        f"limit {policy.max_latency_ratio:.2f}"
    )
    return Reason("latency", ratio <= policy.max_latency_ratio, text, {"ratio": ratio}, volatile=True)


def _lower_bound(difference: Values, items: Labels, confidence: float, policy: Policy) -> float:
    """One-sided percentile bound of the mean, spread by sqrt(n / (n - 1)), which small samples of n items lack.

    One item carries no evidence about others: its bound is minus infinity.
    """
    n_items = len(np.unique(items))
    if n_items < 2:
        return float("-inf")
    means = resampled_means(difference[:, None], items, policy.resamples, policy.seed)[:, 0]
    quantile = float(np.quantile(means, 1.0 - confidence))
    centre = float(difference.mean())
    return centre + (quantile - centre) * float(np.sqrt(n_items / (n_items - 1)))
