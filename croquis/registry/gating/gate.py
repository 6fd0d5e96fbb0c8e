"""Whether a candidate may replace the champion: a pure function of both retrievers' results on the same queries.

Rules, each with a reason in words and numbers:

- floor: the candidate's mean of the selecting metric reaches `floor`;
- chance: random orders of the gallery reach its mean with a probability of at most 1 - `confidence`, by the bound of
  Hoeffding (1963), which holds for any number of items and any metric in [0, 1];
- baseline: the one-sided bootstrap bound of its paired gain over the baseline that learns nothing, at `confidence`,
  exceeds 0; the baseline itself passes, and it says by how much the best method is above it, where that is not shown;
- size: its index takes at most `max_bytes_per_image` a photo, its nets at most `max_model_megabytes`;
- data: said where the champion, made of other data, was trained on items of these queries: they are left out of all that
  follows, for both, as its results on them would flatter it; a candidate for which no query is left is refused;
- gain: the one-sided bootstrap bound of the paired gain, at `confidence`, exceeds `min_gain`. Items are resampled, and a
  drawn item brings all its queries (Field and Welsh 2007), so that an equal candidate passes at most about one time in
  1 / (1 - confidence);
- category: no category loses more than `max_category_drop`, unless the loss may be chance: the error that `confidence`
  allows is shared between the categories (Bonferroni), or small categories would refuse everything;
- mode: no way of asking that the champion serves (photo, shop photo, sketch with and without the generator) loses more than
  `max_mode_drop`, by the same test, or is missing;
- latency: the candidate needs at most `max_latency_ratio` times as long for a query.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from statistics import NormalDist

import numpy as np

from croquis.evaluation.bootstrap import resampled_means
from croquis.registry.gating.verdict import GateError, Labels, Policy, Reason, Scores, Values, Verdict

POWER = 0.9
NO_CHAMPION = Reason("incumbent", True, "no champion yet, so there is nothing to beat", {})
Pairs = Mapping[str, tuple[Values, Labels]]


def decide(
    candidate: Scores,
    champion: Scores | None,
    policy: Policy,
    absence: Reason = NO_CHAMPION,
    trained_on: Collection[str] = (),
) -> Verdict:
    """Whether `candidate` may become champion, and why.

    Without a champion only floor, chance, baseline and size count, and `absence` says why there is no champion.

    Args:
        trained_on: the items that the champion was trained on.

    Raises:
        GateError: when the two were not scored on the same queries, naming the difference.
    """
    own: tuple[Reason, ...] = (
        _floor(candidate, policy),
        _chance(candidate, policy),
        _baseline(candidate, policy),
        _size(candidate, policy),
    )
    if champion is None:
        return _verdict(*own, absence)
    candidate, champion = candidate.ordered(), champion.ordered()
    _check_same_queries(candidate, champion)
    if seen := set(candidate.items.tolist()) & set(trained_on):
        all_items, (candidate, champion) = (
            len(np.unique(candidate.items)),
            (candidate.without(seen), champion.without(seen)),
        )
        own = (*own, _data(len(seen), all_items))
        if len(seen) == all_items:
            return _verdict(*own)
    return _verdict(
        *own,
        _gain(candidate, champion, policy),
        _categories(candidate, champion, policy),
        _modes(candidate, champion, policy),
        _latency(candidate, champion, policy),
    )


def shown_above_baseline(candidate: Scores, policy: Policy) -> bool:
    """Whether the rule `baseline` lets a candidate through; the baseline itself, and one without a baseline, it does."""
    return _baseline(candidate, policy).passed


def _verdict(*reasons: Reason) -> Verdict:
    return Verdict(all(reason.passed for reason in reasons), reasons)


def _check_same_queries(candidate: Scores, other: Scores, name: str = "champion") -> None:
    if np.array_equal(candidate.queries, other.queries) and np.array_equal(candidate.items, other.items):
        return
    only_one = np.setxor1d(candidate.queries, other.queries)
    raise GateError(
        f"candidate has {len(candidate.queries)} queries and {name} {len(other.queries)}, of which {len(only_one)} are "
        f"not shared (e.g. {only_one[:3].tolist()}): score both on the same split"
    )


def _floor(candidate: Scores, policy: Policy) -> Reason:
    passed = candidate.mean >= policy.floor
    text = (
        f"{policy.metric} is {candidate.mean:.3f}, {'at least' if passed else 'below'} the floor of {policy.floor:.3f}"
    )
    return Reason("floor", passed, text, {"value": candidate.mean, "floor": policy.floor})


def _chance(candidate: Scores, policy: Policy) -> Reason:
    if candidate.chance is None:
        return Reason("chance", True, "not known", {})
    queries, most = len(candidate.values), np.unique(candidate.items, return_counts=True)[1].max()
    probability = _chance_of_mean(candidate.mean, candidate.chance, float(queries / most))
    passed = probability <= 1.0 - policy.confidence
    text = (
        f"{policy.metric} is {candidate.mean:.3f}, {'above' if passed else 'not surely above'} the {candidate.chance:.3f} "
        f"of a random order, which reaches it over {queries} queries of {len(np.unique(candidate.items))} items with a "
        f"probability of at most {np.ceil(probability * 1000) / 1000:.3f}"
    )
    if not passed:
        text += f"; it must be at most {1.0 - policy.confidence:.3f}: train a better one, or judge it on more val items"
    return Reason("chance", passed, text, {"chance": candidate.chance, "probability": probability})


def _chance_of_mean(mean: float, chance: float, count: float) -> float:
    """Upper bound of the probability that random orders reach `mean`: exp(-count * KL(mean || chance)).

    Hoeffding 1963, theorem 1. With an item's queries taken as one draw, `count` is the number of items, or with unequal
    numbers of queries the number of all by that of the item that has most.

    >>> round(_chance_of_mean(1.0, 0.5, 2), 6)
    0.25
    """
    if mean <= chance:
        return 1.0
    if chance <= 0.0:
        return 0.0
    divergence = mean * np.log(mean / chance)
    if mean < 1.0:
        divergence += (1.0 - mean) * np.log((1.0 - mean) / (1.0 - chance))
    return float(np.exp(-count * divergence))


def _baseline(candidate: Scores, policy: Policy) -> Reason:
    if candidate.rival is not None:
        return _no_rival(candidate, candidate.rival, policy)
    if candidate.baseline is None:
        return Reason("baseline", True, "no baseline was measured beside it", {})
    baseline, bound = candidate.baseline, _bound_above(candidate.baseline, candidate, policy)
    text = (
        f"{policy.metric} is {candidate.mean:.3f}, {baseline.mean:.3f} without learning; with {policy.confidence:.0%} "
        f"confidence the gain is above {bound:+.3f}, and it must be above +0.000"
    )
    if not bound > 0.0:
        text += ": train a better one, or judge it on more val items"
    return Reason("baseline", bound > 0.0, text, {"baseline": baseline.mean, "bound": bound})


def _no_rival(baseline: Scores, rival: Scores, policy: Policy) -> Reason:
    bound = _bound_above(baseline, rival, policy)
    text = (
        f"this is the baseline itself, {policy.metric} {baseline.mean:.3f}: no method was shown to be above it. The best "
        f"has {rival.mean:.3f}; with {policy.confidence:.0%} confidence its gain is above {bound:+.3f}, and it must be "
        "above +0.000. More val items show smaller gains"
    )
    return Reason("baseline", True, text, {"best": rival.mean, "bound": bound})


def _bound_above(baseline: Scores, candidate: Scores, policy: Policy) -> float:
    baseline, candidate = baseline.ordered(), candidate.ordered()
    _check_same_queries(candidate, baseline, "baseline")
    return _lower_bound(candidate.values - baseline.values, candidate.items, policy.confidence, policy)[0]


def _data(seen: int, items: int) -> Reason:
    text = f"the champion was trained on {seen} of the {items} items of these queries"
    if seen < items:
        text += ", which are left out"
    else:
        text += ", so that nothing is left to compare the two on: judge them on data whose val items it has not seen"
    return Reason("data", seen < items, text, {"items": float(items), "left_out": float(seen)})


def _gain(candidate: Scores, champion: Scores, policy: Policy) -> Reason:
    difference = candidate.values - champion.values
    bound, error = _lower_bound(difference, candidate.items, policy.confidence, policy)
    passed = bound > policy.min_gain
    # What has to be there for the bound to exceed min_gain nine times in ten (one-sided z-test).
    detectable = policy.min_gain + (_z(policy.confidence) + _z(POWER)) * error
    text = (
        f"{policy.metric} {champion.mean:.3f} -> {candidate.mean:.3f}, gain {difference.mean():+.3f} over "
        f"{len(difference)} queries of {len(np.unique(candidate.items))} items; with {policy.confidence:.0%} confidence "
        f"it is above {bound:+.3f}, and it must be above {policy.min_gain:+.3f}"
    )
    if not passed and np.isfinite(bound):
        text += f"; with this many queries a true gain of about {detectable:+.3f} or more passes with 90% probability"
    return Reason("gain", passed, text, {"gain": float(difference.mean()), "bound": bound, "min_gain": policy.min_gain})


def _size(candidate: Scores, policy: Policy) -> Reason:
    if candidate.size is None:
        return Reason("size", True, "not looked at", {})
    each, nets = candidate.size.bytes_per_image, candidate.size.model_bytes / 1e6
    passed = each <= policy.max_bytes_per_image and nets <= policy.max_model_megabytes
    text = (
        f"the index takes {each} bytes a photo, limit {policy.max_bytes_per_image}; "
        f"the nets take {nets:.1f} MB, limit {policy.max_model_megabytes:g}"
    )
    return Reason("size", passed, text, {"bytes_per_image": float(each), "model_megabytes": nets})


def _categories(candidate: Scores, champion: Scores, policy: Policy) -> Reason:
    drops = champion.values - candidate.values
    groups = {str(name): candidate.categories == name for name in np.unique(candidate.categories)}
    losses = {name: (drops[rows], candidate.items[rows]) for name, rows in groups.items()}
    return _no_collapse("category", losses, policy.max_category_drop, policy)


def _modes(candidate: Scores, champion: Scores, policy: Policy) -> Reason:
    if not champion.modes:
        return Reason("mode", True, "only one way of asking was measured", {})
    missing = sorted(set(champion.modes) - set(candidate.modes))
    if missing:
        return Reason("mode", False, f"the champion answers {', '.join(missing)}, the candidate does not", {})
    losses = {}
    for name, theirs in champion.modes.items():
        ours, theirs = candidate.modes[name].ordered(), theirs.ordered()
        _check_same_queries(ours, theirs)
        losses[name] = (theirs.values - ours.values, ours.items)
    return _no_collapse("mode", losses, policy.max_mode_drop, policy)


def _no_collapse(rule: str, losses: Pairs, limit: float, policy: Policy) -> Reason:
    """Whether no group loses more than `limit` beyond chance; `losses`: name -> loss and item of each query."""
    means = {name: float(drops.mean()) for name, (drops, _) in losses.items()}
    allowed_chance = (1.0 - policy.confidence) / len(losses)
    large = [name for name, drop in means.items() if drop > limit]
    chance = {name: _chance_of_loss(*losses[name], policy) for name in large}
    collapsed = [name for name in large if chance[name] <= allowed_chance]
    worst = max(means, key=lambda name: means[name])
    text = f"largest loss is {means[worst]:+.3f} in {worst!r}; limit {limit:.3f}"
    if collapsed:
        text = ", ".join(f"{name!r} loses {means[name]:.3f}" for name in collapsed) + f"; limit {limit:.3f}"
    elif large:
        text += f", but with {len(losses[worst][0])} queries that may be chance (p = {chance[worst]:.3f})"
    return Reason(rule, not collapsed, text, {"largest_loss": means[worst], "limit": limit})


def _chance_of_loss(drops: Values, items: Labels, policy: Policy) -> float:
    """Probability of a mean loss at least this large if both were equally good in this group.

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


def _lower_bound(difference: Values, items: Labels, confidence: float, policy: Policy) -> tuple[float, float]:
    """One-sided percentile bound of the mean, and its standard error; both spread by sqrt(n / (n - 1)), which small
    samples of n items lack.

    One item carries no evidence about others: its bound is minus infinity.
    """
    n_items = len(np.unique(items))
    if n_items < 2:
        return float("-inf"), float("inf")
    means = resampled_means(difference[:, None], items, policy.resamples, policy.seed)[:, 0]
    spread = float(np.sqrt(n_items / (n_items - 1)))
    centre = float(difference.mean())
    bound = centre + (float(np.quantile(means, 1.0 - confidence)) - centre) * spread
    return bound, float(means.std()) * spread


def _z(probability: float) -> float:
    return NormalDist().inv_cdf(probability)
