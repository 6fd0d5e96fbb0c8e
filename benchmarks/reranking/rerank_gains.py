"""Re-ranking before and after: `python -m benchmarks.reranking.rerank_gains --set rendered`.

For each re-ranker the settings are chosen on val, then it is measured on val and test beside the plain list, with paired
intervals. Writes reports/benchmarks/rerank-SET.json; with --render, the tables of docs/methods.md. `--root FOLDER` takes
bundle and data of a finished pipeline instead of training.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.common.benchmark_command import PROJECT, Options, Values, add_options, make_values, run_command
from benchmarks.common.pretrained import pretrained
from benchmarks.common.real_sets import merged, real_set
from benchmarks.common.recorded_results import Results
from benchmarks.common.runner import (
    Cell,
    commit,
    digest,
    open_cell,
    open_data,
    pack,
    prepare_environment,
    run_cells,
    timed,
)
from benchmarks.common.tables import flat, settings_in_words, table
from benchmarks.reranking.rerankers import PLAIN, compare, measure, said
from croquis.catalog.table import Catalog
from croquis.evaluation.protocol import PROTOCOLS, open_gallery
from croquis.params.loader import load_params
from croquis.rerank.evidence import QueryEvidence
from croquis.search.local_retriever import LocalRetriever
from croquis.tuning.shortlist import Shortlists, collect
from lightning_modules.attributes.attribute_labels import read_labels
from lightning_modules.attributes.report import figures
from stages import train_classifier, train_embedder

SETS = ("rendered", "inshop_luma", "attr_products")
SPLITS = ("val", "test")
RENDERED: Values = {"ingest": {"source": "rendered", "rendered": {"sketches": False}}}
# The first is what settings are chosen by: finer than hit@1, which a few queries decide.
METRICS = {"item": ("map@r", "hit@1", "hit@10", "mrr"), "category": ("precision@5", "hit@1", "hit@10", "mrr")}
LEFT_OUT = ("hit@10", "mrr")
ORACLE = "true attributes of the query"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reranking.rerank_gains", description=__doc__)
    parser.add_argument("--set", choices=SETS, default="rendered")
    parser.add_argument("--method", default="siamese", help="whose lists are re-ranked (default %(default)s)")
    parser.add_argument("--root", type=Path, help="a finished pipeline: its bundle and data, and nothing is trained")
    parser.add_argument("--shared", type=Path, default=PROJECT.parent / "shared/data", help="folder of the real sets")
    parser.add_argument("--share", type=float, default=1.0, help="part of the items of a real set that is kept")
    add_options(parser, seeds="7")
    run_command(parser, arguments, measure_all)


def measure_all(given: argparse.Namespace, options: Options) -> None:
    head = options.head(set=given.set, share=given.share)
    results = Results(options.reports / f"rerank-{given.set}.json", head, options.scratch)
    if given.root is not None:
        cell = finished(given.root, given.method)
        label = f"{given.method}/{cell.params.base.seed}"
        retriever = LocalRetriever.load(cell.folder / "models/bundles" / cell.method, cell.params.base.threads)
        results.add(
            label, {"key": cell.key, "seed": cell.params.base.seed, "commit": commit(), **figures_of(cell, retriever)}
        )
    else:
        prepare_environment(options.scratch)
        overrides = overrides_of(given.set, given.shared, options.scratch / "sets", given.share)

        def cell_of(method: str, seed: int) -> Cell:
            values = make_values(options, seed, *overrides)
            data = open_data(values, options.scratch)
            return open_cell(values, method, data, options.scratch, more=("train_classifier",))

        run_cells(options.seeds, [given.method], results, options.fresh, cell_of, train_and_compare)
    print(rerank_table({"settings": head, "cells": results.cells}))


def overrides_of(name: str, shared: Path, work: Path, share: float) -> list[Values]:
    """The params under which the pipeline reads the set."""
    if name == "rendered":
        return [RENDERED]
    work.mkdir(parents=True, exist_ok=True)
    data = real_set(name, shared, work, share)
    if name == "attr_products":
        data = by_type_and_colour(data, shared.resolve() / name / "styles.csv", work / "attr_products-colour.csv")
    return [data, learning(name, shared)]


def learning(name: str, shared: Path) -> Values:
    """How retriever and classifier learn a small real set: both from the same pre-trained backbone."""
    values = pretrained(name, shared)
    own = {"backbone": values["train_embedder"]["backbone"], "fit": values["siamese"]["fit"]}
    return values | {"train_classifier": own}


def by_type_and_colour(data: Values, source: Path, target: Path) -> Values:
    """`data` with a table whose category is article type and colour: that is what counts as right."""
    with source.open(encoding="utf-8", newline="") as stream:
        rows = [row | {"kind": f"{row['articleType']}, {row['baseColour']}"} for row in csv.DictReader(stream)]
    with target.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    columns = dict(data["ingest"]["folder"]["columns"]) | {
        "category": "kind",
        "attributes": ["articleType", "gender", "baseColour", "season", "usage"],
    }
    block = {"ingest": {"folder": {"table": str(target), "columns": columns}}, "validate": {"max_categories": 10_000}}
    return merged(data, block)


def finished(root: Path, method: str) -> Cell:
    """A cell of a pipeline that has run; its key names the bundle."""
    params = load_params(root / "params.yaml")
    bundle = LocalRetriever.load(root / "models/bundles" / method).bundle.hash
    return Cell(root, method, params, digest({"bundle": bundle, "evaluate": params.evaluate.model_dump()}))


def train_and_compare(cell: Cell) -> Values:
    """Trains retriever and classifier unless they are there, and measures."""
    timed(cell, lambda: train_embedder.main(cell.method, cell.folder))
    if not (cell.folder / "models/attributes").is_dir():
        train_classifier.main(cell.folder)
    return figures_of(cell, pack(cell))


def figures_of(cell: Cell, retriever: LocalRetriever) -> Values:
    """Everything that the table shows of a cell."""
    protocol, asked = PROTOCOLS[cell.params.base.protocol], cell.params.evaluate
    catalog = Catalog.open(cell.folder / "data/catalog")
    given = (asked.depth, asked.chunk, protocol)
    lists = {split: collect(retriever, catalog, None, cell.pair, split, *given) for split in SPLITS}
    metrics, seed = METRICS[protocol.relevance], cell.params.base.seed
    found = measure(lists, metrics, asked.bootstrap, seed)
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


def with_true_attributes(lists: Shortlists, catalog: Catalog) -> Shortlists:
    """The same queries, asked with the attributes that the catalogue gives them: what a perfect classifier would say."""
    sets = [frozenset(names) for names in catalog.column("attributes")[lists.queries.rows]]
    nothing = np.empty((len(sets), 0), dtype=np.float32)
    return replace(lists, asked=QueryEvidence(lists.asked.vectors, lambda: nothing, lambda _: sets), overlaps={})


def told_attributes(lists: Shortlists, catalog: Catalog, retriever: LocalRetriever) -> Values:
    """How well the classifier tells the queries' attributes."""
    classifier = retriever.nets.classifier
    truth = catalog.column("attributes")[lists.queries.rows].tolist()
    labels = read_labels(truth, [None] * len(truth), classifier.attributes)
    return figures(lists.asked.probabilities, classifier.holds(lists.asked.probabilities), labels)


def rerank_table(report: Mapping[str, Values]) -> str:
    """The table of a report: a line per re-ranker, gains over the plain list on val and test with paired intervals."""
    parts = []
    for label, cell in report["cells"].items():
        lines = [plain_row(cell), *(row(name, found, cell) for name, found in cell["rerankers"].items())]
        head = ["re-ranker", "chosen on val"] + [f"{split} {name}" for split in SPLITS for name in shown(cell)]
        parts += [caption(label, cell, report["settings"]), table(head, lines)]
    return "\n\n".join(parts)


def shown(cell: Values) -> list[str]:
    """The metrics that there is room for."""
    return [name for name in cell["metrics"] if name not in LEFT_OUT]


def plain_row(cell: Values) -> list[str]:
    first = next(iter(cell["rerankers"].values()))["splits"]
    values = [first[split][name]["before"] for split in SPLITS for name in shown(cell)]
    return ["none", "", *(f"{each['value']:.3f} ({each['low']:.3f} to {each['high']:.3f})" for each in values)]


def row(name: str, found: Values, cell: Values) -> list[str]:
    """The values after it, and the gain with its paired 95 % interval; in bold where that leaves out 0."""
    cells = []
    for split in SPLITS:
        for metric in shown(cell):
            each = found["splits"][split][metric]
            gain, after = each["gain"], each["after"]["value"]
            told = f"{gain['value']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f})"
            sure = gain["low"] > 0 or gain["high"] < 0
            cells.append(f"{after:.3f}, " + (f"**{told}**" if sure else told))
    return [name, in_words(found["settings"]), *cells]


def in_words(settings: Values) -> str:
    """Only what a reader needs to set it again."""
    words = [
        f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}" for key, value in flat(settings).items()
    ]
    return ", ".join(word for word in words if not word.startswith(("steps", "depth", "alpha ")))


def caption(label: str, cell: Values, settings: Values) -> str:
    told = cell["classifier"]["test"]
    parts = [
        f"`{label.rpartition('/')[0]}`, {cell['pair']}, seed {cell['seed']}",
        f"{cell['queries']['val']:,} and {cell['queries']['test']:,} queries, {cell['gallery']['test']:,} gallery images",
        f"classifier on the test queries: micro F1 {told['micro_f1']:.3f}, macro F1 {told['macro_f1']:.3f}, macro average "
        f"precision {told['macro_average_precision']:.3f}, calibration error {told['calibration_error']:.3f}, "
        f"{told['decided_per_image']:.1f} attributes per photo where {told['true_per_image']:.1f} are true",
        *settings_in_words(settings),
        f"code {cell['commit']}" if cell["commit"] else "code outside git",
    ]
    return "; ".join(parts) + "."


if __name__ == "__main__":
    main()
