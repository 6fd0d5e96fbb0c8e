"""The paths of a sketch on the rendered catalogue, side by side, and why the GAN's is weak:
`python -m benchmarks.sketches.sketch_paths --root .` after `make repro`.

Nothing is trained. For each of `--methods` the bundle's paths are measured on val and test; the gain of each over the
straight path of the first method, which saw no drawing, is paired. On val it is then asked what the GAN path loses where:
the same encoder is asked with front photos, with the same photos without their colours, with the hand's drawings of those
photos, and with what the generator paints of them. In all of these the photo that is asked with is no answer.

Writes reports/benchmarks/sketch-rendered.json; with --render, the tables of docs/sketch.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.common.benchmark_command import METHODS, Options, Values, add_options, chosen, run_command
from benchmarks.common.recorded_results import Results
from benchmarks.common.runner import commit, digest
from benchmarks.common.tables import table
from croquis.arrays import Uint8Image
from croquis.catalog.drawings import photo_of
from croquis.catalog.table import Catalog
from croquis.evaluation.bootstrap import bootstrap_interval, paired_gain
from croquis.evaluation.evaluate_bundle import evaluate_split, search_among
from croquis.evaluation.protocol import PAIRS, JudgedGallery, Queries, open_gallery, open_queries
from croquis.evaluation.ranked_answers import QueryPath, answer, same_pictures
from croquis.evaluation.results import RunResult, rounded
from croquis.params import Params
from croquis.params.loader import load_params
from croquis.registry.gating.gate_inputs import evaluation_settings
from croquis.search.local_retriever import LocalRetriever

PAIR, PATHS, SPLITS = "sketch->shop", ("gan", "direct", "edges"), ("val", "test")
METRICS = ("hit@1", "hit@10", "map@r")
TOLD = {
    "gan": "sketch -> GAN -> encoder",
    "direct": "sketch straight into the encoder",
    "edges": "edge map against edge maps",
}
Change = Callable[[Sequence[Uint8Image]], Sequence[Uint8Image]]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sketches.sketch_paths", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(), help="a finished pipeline: its bundles and data")
    parser.add_argument("--methods", default="siamese,joint", help="comma-separated; gains are over the first")
    add_options(parser, seeds="7")
    run_command(parser, arguments, measure_all)


def measure_all(given: argparse.Namespace, options: Options) -> None:
    methods = chosen(given.methods, METHODS, "--methods")
    params = load_params(given.root / "params.yaml")
    retrievers = {
        each: LocalRetriever.load(given.root / "models/bundles" / each, params.base.threads) for each in methods
    }
    head = options.head(set="rendered", methods=methods)
    results = Results(options.reports / "sketch-rendered.json", head, options.scratch)
    hashes = [retriever.bundle.hash for retriever in retrievers.values()]
    key = digest({"bundles": hashes, "evaluate": params.evaluate.model_dump()})
    figures = {"splits": paths(retrievers, params, given.root), "losses": losses(retrievers, params, given.root)}
    about = {"key": key, "seed": params.base.seed, "commit": commit(), "methods": methods}
    results.add(f"paths/{params.base.seed}", {**about, **figures})
    print(paths_table({"cells": results.cells}), losses_table({"cells": results.cells}), sep="\n\n")


def paths(retrievers: dict[str, LocalRetriever], params: Params, root: Path) -> Values:
    """split -> method -> path -> figures with intervals, chance, and the gain in hit@1 over the first straight path."""
    settings, pairs = evaluation_settings(params), [pair for pair in PAIRS if pair.name == PAIR]
    catalog, sketches = Catalog.open(root / "data/catalog"), Catalog.open(root / "data/sketches")
    found: Values = {}
    for split in SPLITS:
        results = {
            name: evaluate_split(retriever, catalog, sketches, split, settings, pairs=pairs)
            for name, retriever in retrievers.items()
        }
        base = next(iter(results.values())).run(PAIR, "direct")
        found[split] = {
            name: {path: told(run, base, params) for path in PATHS if (run := result.run(PAIR, path)) is not None}
            for name, result in results.items()
        }
    return found


def told(run: RunResult, base: RunResult | None, params: Params) -> Values:
    asked, seed = params.evaluate, params.base.seed
    metrics = run.summary(asked.depth, asked.bootstrap, seed)["metrics"]
    figures = {name: metrics[name] for name in METRICS}
    if base is not None:
        items = run.queries.item_ids.astype(str)
        gain = paired_gain(base.metrics["hit@1"], run.metrics["hit@1"], items, asked.bootstrap, seed)
        figures["gain"] = rounded(gain.interval)
    return {"queries": len(run.queries), **figures}


def losses(retrievers: dict[str, LocalRetriever], params: Params, root: Path) -> Values:
    """method -> what it is asked with -> hit@1 on val, with its interval."""
    catalog, sketches = Catalog.open(root / "data/catalog"), Catalog.open(root / "data/sketches")
    gallery = open_gallery(catalog, "val", evaluation_settings(params).protocol)
    drawn = sketches.select(split="val", role="gallery")
    ids = [photo_of(name) for name in sketches.column("image_id")[drawn]]
    place = {name: row for row, name in enumerate(catalog.column("image_id"))}
    photos = queries_of(catalog, np.array([place[name] for name in ids], dtype=np.int64))
    drawings = queries_of(sketches, drawn)
    flats = open_queries(sketches, "val", next(pair for pair in PAIRS if pair.name == PAIR))
    found: Values = {}
    for name, retriever in retrievers.items():
        asked: dict[str, tuple[Queries, Change]] = {
            "front photos": (photos, same_pictures),
            "front photos without their colours": (photos, without_colours),
            "the hand's drawings of them": (drawings, same_pictures),
            "what the generator paints of the hand's drawings": (drawings, retriever.generate),
            "the catalogue's own drawings": (flats, same_pictures),
            "what the generator paints of the catalogue's own": (flats, retriever.generate),
        }
        found[name] = {
            label: hit_at_1(retriever, gallery, queries, change, params) for label, (queries, change) in asked.items()
        }
    return found


def queries_of(catalog: Catalog, rows: npt.NDArray[np.int64]) -> Queries:
    ids, items, categories, boxes = (catalog.column(name)[rows] for name in ("image_id", "item_id", "category", "bbox"))
    return Queries(catalog, rows, ids, items, categories, boxes)


def without_colours(photos: Sequence[Uint8Image]) -> list[Uint8Image]:
    return [np.repeat(photo.mean(axis=2, keepdims=True).round(), 3, axis=2).astype(np.uint8) for photo in photos]


def hit_at_1(
    retriever: LocalRetriever, gallery: JudgedGallery, queries: Queries, change: Change, params: Params
) -> Values:
    rows = np.array([retriever.bundle.items.row(image_id) for image_id in gallery.image_ids], dtype=np.int64)
    search = search_among(retriever.bundle.index.subset(rows), gallery)
    path = QueryPath("asked", change, retriever.encode_photos, search)
    (run,) = answer(PAIR, path, queries, gallery, depth=params.evaluate.depth, chunk=params.evaluate.chunk, reorders={})
    items = run.queries.item_ids.astype(str)
    return rounded(bootstrap_interval(run.metrics["hit@1"], items, params.evaluate.bootstrap, params.base.seed))


def paths_table(report: Mapping[str, Values]) -> str:
    """Val and test by path; the edge path is the same for every method and stands once."""
    (cell,) = report["cells"].values()
    first = cell["methods"][0]
    lines = []
    for name in cell["methods"]:
        for path in cell["splits"]["test"][name]:
            if path != "edges" or name == first:
                val, test = (cell["splits"][split][name][path] for split in ("val", "test"))
                label = TOLD[path] if path == "edges" else f"{TOLD[path]}, {name}"
                figures = [in_words(each[metric]) for each in (val, test) for metric in ("hit@1", "hit@10")]
                gain = "" if (name, path) == (first, "direct") else signed(test["gain"])
                lines.append([label, *figures, gain])
    chance = [cell["splits"][split][first]["direct"] for split in SPLITS]
    levels = [f"{each[metric]['chance']:.3f}" for each in chance for metric in ("hit@1", "hit@10")]
    lines.append(["chance", *levels, ""])
    head = ["path", "val hit@1", "val hit@10", "test hit@1", "test hit@10", f"test hit@1 above straight, {first}"]
    return "\n\n".join([caption(cell), table(head, lines)])


def losses_table(report: Mapping[str, Values]) -> str:
    (cell,) = report["cells"].values()
    methods = cell["methods"]
    labels = list(cell["losses"][methods[0]])
    lines = [[label, *(in_words(cell["losses"][name][label]) for name in methods)] for label in labels]
    return table(["asked with", *(f"val hit@1, {name}" for name in methods)], lines)


def caption(cell: Values) -> str:
    queries = [next(iter(cell["splits"][split].values()))["direct"]["queries"] for split in SPLITS]
    code = f"code {cell['commit']}" if cell["commit"] else "code outside git"
    return f"{queries[0]} and {queries[1]} queries of val and test; seed {cell['seed']}; {code}."


def in_words(found: Values) -> str:
    return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


def signed(gain: Values) -> str:
    """In bold where the interval leaves out 0."""
    words = f"{gain['value']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f})"
    return f"**{words}**" if gain["low"] > 0 or gain["high"] < 0 else words


if __name__ == "__main__":
    main()
