"""Re-rankers side by side: settings chosen on val, then gains over the plain list on val and test, paired."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from benchmarks.common.cells import SPLITS, Cell, pack, timed
from benchmarks.common.studies import Study, Values
from benchmarks.common.tables import code_in_words, in_words, settings_in_words, sure_in_words, table
from croquis.catalog.table import Catalog
from croquis.evaluation.bootstrap import bootstrap_interval, paired_gain
from croquis.evaluation.protocol import PROTOCOLS, open_gallery
from croquis.evaluation.results import rounded
from croquis.rerank.evidence import QueryEvidence
from croquis.rerank.overlap import OVERLAPS
from croquis.rerank.rerank_settings import STANDINGS, RerankBlock
from croquis.rerank.reranker import reranker
from croquis.rerank.rerankers.alpha_qe import AlphaQe
from croquis.rerank.rerankers.k_reciprocal import KReciprocal
from croquis.search.local_retriever import LocalRetriever
from croquis.tracking.record import flatten
from croquis.tuning.shortlist import Shortlists, collect
from lightning_modules.attributes.attribute_labels import read_labels
from lightning_modules.attributes.report import figures
from stages import train_classifier, train_embedder

# The first is what settings are chosen by: finer than hit@1, which a few queries decide.
METRICS = {"item": ("map@r", "hit@1", "hit@10", "mrr"), "category": ("precision@5", "hit@1", "hit@10", "mrr")}
LEFT_OUT = ("hit@10", "mrr")  # of the table
ORACLE = "true attributes of the query"
RATIOS = {
    "rank": (0.3, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 15.0, 30.0),  # beta / alpha: ranks for a shared attribute
    "score": (0.01, 0.02, 0.05, 0.08, 0.12, 0.18, 0.25, 0.4, 0.8, 1.6),  # shares of the shortlist's range of scores
}
PLAIN = RerankBlock(
    enabled=False,
    depth=100,
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
    block = replace(PLAIN, enabled=True, steps=(step,), gallery_attributes=source)
    for standing, overlap in product(standings, OVERLAPS):
        for ratio in RATIOS[standing]:
            yield replace(block, standing=standing, overlap=overlap, beta=ratio)


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


def measure(cell: Cell) -> Values:
    """Trains retriever and classifier unless they are there, and tells everything that the table shows."""
    if not cell.finished:
        timed(cell, lambda: train_embedder.main(cell.method, cell.folder))
        if not (cell.folder / "models/attributes").is_dir():
            train_classifier.main(cell.folder)
    retriever, catalog, asked = pack(cell), cell.catalog, cell.params.evaluate
    protocol, seed = PROTOCOLS[cell.params.base.protocol], cell.params.base.seed
    given = (asked.depth, asked.chunk, protocol)
    lists = {split: collect(retriever, catalog, None, cell.pair, split, *given) for split in SPLITS}
    metrics = METRICS[protocol.relevance]
    found = gains(lists, metrics, asked.bootstrap, seed)
    told = {split: with_true_attributes(each, catalog) for split, each in lists.items()}
    certain = replace(PLAIN, enabled=True, standing="score", gallery_attributes="catalogue", beta=1.0)
    splits = {split: compare(each, certain, metrics, asked.bootstrap, seed) for split, each in told.items()}
    return {
        "pair": cell.pair,
        "metrics": list(metrics),
        "queries": {split: len(each.items) for split, each in lists.items()},
        "gallery": {split: len(open_gallery(catalog, split, protocol)) for split in SPLITS},
        "classifier": {split: told_attributes(each, catalog, retriever) for split, each in lists.items()},
        "rerankers": found | {ORACLE: {"settings": said(certain), "splits": splits}},
    }


def gains(lists: Mapping[str, Shortlists], metrics: Sequence[str], resamples: int, seed: int) -> Values:
    """Every re-ranker with the settings that are best on val, by the first of `metrics`, on val and test.

    Args:
        lists: `val` and `test`.
    """
    found: Values = {}
    for name, tried in RERANKERS.items():
        block = choose(lists["val"], tried(), metrics[0])
        splits = {split: compare(each, block, metrics, resamples, seed) for split, each in lists.items()}
        found[name] = {"settings": said(block), "splits": splits}
    return found


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


def said(block: RerankBlock) -> Values:
    """The settings that the block's steps look at."""
    values = block.to_json()
    names = ["steps", "depth"]
    if any(reranker(step).weighed for step in block.steps):
        names += ["alpha", "beta", "standing", "overlap", "gallery_attributes"]
    names += [name for name in block.settings if name in block.steps]
    return {name: values[name] for name in names}


def with_true_attributes(lists: Shortlists, catalog: Catalog) -> Shortlists:
    """The same queries with the attributes of the catalogue: what a perfect classifier would predict."""
    sets = [frozenset(names) for names in catalog.column("attributes")[lists.queries.rows]]
    nothing = np.empty((len(sets), 0), dtype=np.float32)
    return replace(lists, asked=QueryEvidence(lists.asked.vectors, lambda: nothing, lambda _: sets), overlaps={})


def told_attributes(lists: Shortlists, catalog: Catalog, retriever: LocalRetriever) -> Values:
    """How well the classifier tells the queries' attributes."""
    classifier = retriever.nets.classifier
    truth = catalog.column("attributes")[lists.queries.rows].tolist()
    labels = read_labels(truth, [None] * len(truth), classifier.attributes)
    return figures(lists.asked.probabilities, classifier.holds(lists.asked.probabilities), labels)


def rerank_table(report: Mapping[str, Values], _: Study) -> str:
    """A line per re-ranker: values after it, and gains over the plain list on val and test with paired intervals."""
    parts = []
    for label, cell in report["cells"].items():
        shown = [(split, name) for split in SPLITS for name in cell["metrics"] if name not in LEFT_OUT]
        plain = next(iter(cell["rerankers"].values()))["splits"]
        lines = [["none", "", *(in_words(plain[split][name]["before"]) for split, name in shown)]]
        for reranked, found in cell["rerankers"].items():
            figures = [found["splits"][split][name] for split, name in shown]
            told = [f"{each['after']['value']:.3f}, {sure_in_words(each['gain'])}" for each in figures]
            lines.append([reranked, chosen_in_words(found["settings"]), *told])
        head = ["re-ranker", "chosen on val", *(f"{split} {name}" for split, name in shown)]
        parts += [rerank_caption(label, cell, report["settings"]), table(head, lines)]
    return "\n\n".join(parts)


def chosen_in_words(settings: Values) -> str:
    """Only what a reader needs to set it again."""
    words = [
        f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}" for key, value in flatten(settings).items()
    ]
    return ", ".join(word for word in words if not word.startswith(("steps", "depth", "alpha ")))


def rerank_caption(label: str, cell: Values, settings: Values) -> str:
    told = cell["classifier"]["test"]
    parts = [
        f"`{label.rpartition('/')[0]}`, {cell['pair']}, seed {cell['seed']}",
        f"{cell['queries']['val']:,} and {cell['queries']['test']:,} queries, {cell['gallery']['test']:,} gallery images",
        f"classifier on the test queries: micro F1 {told['micro_f1']:.3f}, macro F1 {told['macro_f1']:.3f}, macro average "
        f"precision {told['macro_average_precision']:.3f}, calibration error {told['calibration_error']:.3f}, "
        f"{told['decided_per_image']:.1f} attributes per photo where {told['true_per_image']:.1f} are true",
        *settings_in_words(settings),
        code_in_words([cell["commit"]]),
    ]
    return "; ".join(parts) + "."
