"""Are several paths of a drawing better together? Their rankings fused, with weights chosen on val.

The weights, and the best path alone, are chosen on each half of val's items and judged on the other: so the figures of val
are made. Those of test, which is read once, are by the choice on all of val. Both are set against the path chosen in the
same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np
import optuna

from benchmarks.common.cells import SPLITS, Cell, pack, timed
from benchmarks.common.studies import Study, Values
from benchmarks.common.tables import code_in_words, in_words, settings_in_words, sure_in_words, table
from benchmarks.sketches.path_fusion import BY_PLACES, BY_SCORES, FusedPaths, Weights
from croquis.catalog.table import Catalog
from croquis.evaluation.bootstrap import bootstrap_interval, paired_gain
from croquis.evaluation.evaluate_bundle import served_gallery
from croquis.evaluation.metrics import PerQuery
from croquis.evaluation.protocol import PAIRS, open_gallery, open_queries
from croquis.evaluation.ranked_answers import QueryPath, RelevanceJudge, answer
from croquis.evaluation.results import rounded
from croquis.index.ranking import RankedLists
from croquis.search.composition import Composition
from croquis.search.gallery import BundleGallery
from croquis.search.local_retriever import LocalRetriever
from croquis.search.query import Mode
from croquis.tuning.shortlist import Recorder
from stages import train_classifier, train_embedder, train_gan

PAIR = next(pair for pair in PAIRS if pair.name == "sketch->shop")
CHOSEN_BY = "map@r"
METRICS = ("hit@1", "map@r")
TRIALS = 200
TOLD: dict[Mode, str] = {"sketch": "through the generator", "sketch-direct": "straight"}
FUSED = {BY_PLACES: "fused by places", BY_SCORES: "fused by scores"}
GENERATED = ("siamese", "joint")  # whose bundles get a generator here
Choose = Callable[[FusedPaths], Weights]


def measure(cell: Cell) -> Values:
    """Each path alone, and both fusions, of the bundles of a row; what a workspace lacks is trained."""
    seconds = None if cell.finished else timed(cell, lambda: train(cell))
    retrievers = {name: pack(replace(cell, method=name)) for name in cell.bundles}
    val, test = (collect(cell, retrievers, split) for split in SPLITS)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = cell.params.base.seed
    found = {path: _alone(cell, val, test, place) for place, path in enumerate(val.names)}
    fused = {kind: _fused(cell, val, test, kind, seed) for kind in FUSED}
    counts = {"queries": [len(val.items), len(test.items)], "images": len(test.judge.gallery_codes)}
    best = val.names[val.best_alone(CHOSEN_BY)]
    return {"train_seconds": seconds, "best_alone": best, "alone": found, "fused": fused, **counts}


def train(cell: Cell) -> None:
    """What the bundles of a row are made of, in the cell's workspace."""
    if any(name in GENERATED for name in cell.bundles):
        train_classifier.main(cell.folder)
        train_gan.main(cell.folder)
    for name in cell.bundles:
        train_embedder.main(name, cell.folder)


def collect(cell: Cell, retrievers: Mapping[str, LocalRetriever], split: str) -> FusedPaths:
    """Whole rankings of a split's drawings, by every way that each bundle takes them."""
    sketches = Catalog.open(cell.folder / "data/sketches")
    gallery = open_gallery(cell.catalog, split, cell.settings.protocol)
    queries, depth, chunk = open_queries(sketches, split, PAIR), len(gallery), cell.settings.chunk
    asked, lists = queries, {}
    for name, retriever in retrievers.items():
        searched = served_gallery(BundleGallery.of(retriever.bundle), gallery)
        modes: Iterable[Mode] = TOLD if retriever.nets.has_generator else ("sketch-direct",)
        for mode in modes:
            recorder = Recorder(Composition.of(retriever.nets, searched, mode), classified=False)
            path = QueryPath(mode, recorder)
            (run,) = answer(PAIR.name, path, queries, gallery, depth=depth, chunk=chunk, reranks={})
            asked = run.queries
            rows, scores = (
                np.concatenate([getattr(each, part) for each in recorder.lists]) for part in ("rows", "scores")
            )
            lists[f"{TOLD[mode]}, {name}"] = RankedLists(rows, scores)
    return FusedPaths.of(lists, RelevanceJudge.of(asked, gallery), asked.item_ids.astype(str))


def across_halves(paths: FusedPaths, choose: Choose, kind: str, seed: int) -> dict[str, PerQuery]:
    """metric -> value of each query by the weights that `choose` finds on the half of the items that it is not of."""
    items = np.unique(paths.items)
    first = np.random.default_rng([seed, len(items)]).permutation(items)[: len(items) // 2]
    inside = np.isin(paths.items, first)
    found = {metric: np.zeros(len(paths.items)) for metric in METRICS}
    for half in (inside, ~inside):
        weights, judged = choose(paths.take(np.flatnonzero(~half))), paths.take(np.flatnonzero(half))
        for metric in METRICS:
            found[metric][half] = judged.values(kind, weights, metric)
    return found


def _alone(cell: Cell, val: FusedPaths, test: FusedPaths, path: int) -> Values:
    sides = zip(SPLITS, (val, test), strict=True)
    return {
        split: {metric: _interval(cell, each, each.values(BY_SCORES, each.alone(path), metric)) for metric in METRICS}
        for split, each in sides
    }


def _fused(cell: Cell, val: FusedPaths, test: FusedPaths, kind: str, seed: int) -> Values:
    def tuned(paths: FusedPaths) -> Weights:
        return paths.best_weights(kind, CHOSEN_BY, TRIALS, seed)

    def single(paths: FusedPaths) -> Weights:
        return paths.alone(paths.best_alone(CHOSEN_BY))

    own, base = (across_halves(val, choose, kind, seed) for choose in (tuned, single))
    weights, alone = tuned(val), single(val)
    of_test = [{metric: test.values(kind, each, metric) for metric in METRICS} for each in (weights, alone)]
    return {
        "weights": dict(zip(val.names, weights.round(3).tolist(), strict=True)),
        "val": _against(cell, val, own, base),
        "test": _against(cell, test, *of_test),
    }


def _against(cell: Cell, paths: FusedPaths, own: Mapping[str, PerQuery], base: Mapping[str, PerQuery]) -> Values:
    found = {metric: _interval(cell, paths, own[metric]) for metric in METRICS}
    gains = {metric: _gain(cell, paths, base[metric], own[metric]) for metric in METRICS}
    return {**found, "gain": gains}


def _interval(cell: Cell, paths: FusedPaths, values: PerQuery) -> Values:
    return rounded(bootstrap_interval(values, paths.items, cell.params.evaluate.bootstrap, cell.params.base.seed))


def _gain(cell: Cell, paths: FusedPaths, first: PerQuery, second: PerQuery) -> Values:
    return rounded(
        paired_gain(first, second, paths.items, cell.params.evaluate.bootstrap, cell.params.base.seed).interval
    )


def fusion_table(report: Mapping[str, Values], study: Study) -> str:
    """Each row of the study in a table of its own: paths alone, then the fusions with their gain over the best path."""
    parts = []
    for row in study.all_rows:
        cells = [cell for label, cell in report["cells"].items() if label.rpartition("/")[0] == row]
        parts += [_one_table(row, cell, report["settings"]) for cell in cells]
    return "\n\n".join(parts)


def _one_table(row: str, cell: Values, settings: Values) -> str:
    lines = []
    for path, found in cell["alone"].items():
        weights = [f"{cell['fused'][kind]['weights'][path]:.2f}" for kind in FUSED]
        figures = [in_words(found[split][metric]) for split in SPLITS for metric in METRICS]
        lines.append([path, *figures, "", "", *weights])
    for kind, name in FUSED.items():
        found = cell["fused"][kind]
        figures = [in_words(found[split][metric]) for split in SPLITS for metric in METRICS]
        gains = [sure_in_words(found[split]["gain"][CHOSEN_BY]) for split in SPLITS]
        lines.append([name, *figures, *gains, "", ""])
    head = ["path", *(f"{split} {metric}" for split in SPLITS for metric in METRICS)]
    head += [f"{split} {CHOSEN_BY} above the best path" for split in SPLITS]
    head += [f"weight by {kind}" for kind in FUSED]
    val, test = cell["queries"]
    about = [
        f"Row `{row}`: {val} and {test} queries of val and test",
        f"{cell['images']} gallery images of test",
        f"seed {cell['seed']}",
        *settings_in_words(settings),
        code_in_words([cell["commit"]]),
    ]
    return "\n\n".join([f"{'; '.join(about)}.", table(head, lines)])
