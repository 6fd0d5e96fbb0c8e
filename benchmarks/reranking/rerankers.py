"""The re-rankers that `benchmarks.reranking.rerank_gains` compares: settings tried on val, figures of the best."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

from benchmarks.common.benchmark_command import Values
from croquis.evaluation.bootstrap import bootstrap_interval, paired_gain
from croquis.evaluation.results import rounded
from croquis.rerank.overlap import OVERLAPS
from croquis.rerank.rerank_settings import STANDINGS, RerankBlock
from croquis.rerank.reranker import reranker
from croquis.rerank.rerankers.alpha_qe import AlphaQe
from croquis.rerank.rerankers.k_reciprocal import KReciprocal
from croquis.tuning.shortlist import Shortlists

DEPTH = 100
RANK_RATIOS = (
    0.3,
    0.5,
    1.0,
    1.5,
    2.0,
    3.0,
    5.0,
    8.0,
    15.0,
    30.0,
)  # beta / alpha: ranks for a shared attribute
SCORE_RATIOS = (
    0.01,
    0.02,
    0.05,
    0.08,
    0.12,
    0.18,
    0.25,
    0.4,
    0.8,
    1.6,
)  # shares of the shortlist's range of scores
PLAIN = RerankBlock(
    enabled=False,
    depth=DEPTH,
    alpha=1.0,
    beta=1.0,
    overlap="count",
    standing="rank",
    gallery_attributes="predicted",
    steps=("attributes",),
    compare=(),
    settings={},
)
Tried = Iterator[RerankBlock]


def by_attributes(step: str, source: str, standings: Sequence[str] = STANDINGS) -> Tried:
    """Every kind of overlap with every weight."""
    for standing, overlap in product(standings, OVERLAPS):
        for ratio in RANK_RATIOS if standing == "rank" else SCORE_RATIOS:
            yield replace(
                PLAIN,
                enabled=True,
                steps=(step,),
                gallery_attributes=source,
                standing=standing,
                overlap=overlap,
                beta=ratio,
            )


def by_k_reciprocal() -> Tried:
    for neighbours, expansion, weight in product((5, 10, 20), (1, 3, 6), (0.3, 0.5, 0.8)):
        settings = {"k_reciprocal": KReciprocal(neighbours, expansion, weight)}
        yield replace(PLAIN, enabled=True, steps=("k_reciprocal",), settings=settings)


def by_alpha_qe() -> Tried:
    for neighbours, power in product((1, 2, 3, 5, 10), (0.0, 1.0, 3.0, 6.0)):
        yield replace(PLAIN, enabled=True, steps=("alpha_qe",), settings={"alpha_qe": AlphaQe(neighbours, power)})


def combined() -> Tried:
    """Query expansion, and the expected overlap against its scores."""
    for block, neighbours in product(by_attributes("probability", "predicted", ("score",)), (1, 3)):
        yield replace(block, steps=("alpha_qe", "probability"), settings={"alpha_qe": AlphaQe(neighbours, 3.0)})


RERANKERS: dict[str, Callable[[], Tried]] = {
    "attributes, as in the paper": lambda: by_attributes("attributes", "predicted", ("rank",)),
    "attributes": lambda: by_attributes("attributes", "predicted"),
    "attributes against the catalogue": lambda: by_attributes("attributes", "catalogue"),
    "probability": lambda: by_attributes("probability", "predicted"),
    "probability against the catalogue": lambda: by_attributes("probability", "catalogue"),
    "k_reciprocal": by_k_reciprocal,
    "alpha_qe": by_alpha_qe,
    "alpha_qe+probability": combined,
}
"""Name -> what is tried of it."""


def choose(lists: Shortlists, tried: Tried, metric: str) -> RerankBlock:
    """The block with the best `metric`, of equals the better hit@1, then the first."""
    return max(tried, key=lambda block: (lists.score(metric, block), lists.score("hit@1", block)))


def compare(lists: Shortlists, block: RerankBlock, metrics: Sequence[str], resamples: int, seed: int) -> Values:
    """Before, after and the paired gain of each metric, with 95 % intervals over items."""
    found: Values = {}
    for metric in metrics:
        before, after = lists.values(metric, PLAIN), lists.values(metric, block)
        gain = paired_gain(before, after, lists.items, resamples, seed)
        found[metric] = {
            "before": rounded(bootstrap_interval(before, lists.items, resamples, seed)),
            "after": rounded(bootstrap_interval(after, lists.items, resamples, seed)),
            "gain": rounded(gain.interval),
        }
    return found


def measure(lists: Mapping[str, Shortlists], metrics: Sequence[str], resamples: int, seed: int) -> Values:
    """Every re-ranker with the settings that are best on val, by the first of `metrics`, on val and test.

    Args:
        lists: `val` and `test`.
    """
    found: Values = {}
    for name, tried in RERANKERS.items():
        block = choose(lists["val"], tried(), metrics[0])
        figures = {split: compare(each, block, metrics, resamples, seed) for split, each in lists.items()}
        found[name] = {"settings": said(block), "splits": figures}
    return found


def said(block: RerankBlock) -> Values:
    """The settings that the block's steps look at."""
    values = block.to_json()
    names = ["steps", "depth"]
    if any(reranker(step).weighed for step in block.steps):
        names += ["alpha", "beta", "standing", "overlap", "gallery_attributes"]
    names += [name for name in block.settings if name in block.steps]
    return {name: values[name] for name in names}
