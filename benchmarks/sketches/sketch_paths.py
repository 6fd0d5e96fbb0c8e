"""The paths of a sketch on the rendered catalogue, side by side, and why the GAN's is weak.

Nothing is trained. Of each bundle the paths are measured on val and test; the gain of each over the straight path of the
first bundle, which saw no drawing, is paired. On val the losses of the GAN path are then located. Queries of one encoder
are front photos, the same photos without their colours, the hand's drawings of those photos, and what the generator
paints of them. The query photo itself is never an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from benchmarks.common.cells import SPLITS, Cell, load_bundle
from benchmarks.common.studies import Study, Values
from benchmarks.common.tables import code_in_words, in_words, sure_in_words, table
from croquis.arrays import Uint8Image
from croquis.catalog.drawings import photo_of
from croquis.catalog.table import Catalog
from croquis.evaluation.bootstrap import bootstrap_interval, paired_gain
from croquis.evaluation.evaluate_bundle import evaluate_split, served_gallery
from croquis.evaluation.protocol import PAIRS, JudgedGallery, Queries, open_gallery, open_queries
from croquis.evaluation.ranked_answers import QueryPath, answer
from croquis.evaluation.results import RunResult, rounded
from croquis.params import Params
from croquis.search.composition import Composition, same_pictures
from croquis.search.gallery import BundleGallery
from croquis.search.local_retriever import LocalRetriever

PAIR = next(pair for pair in PAIRS if pair.name == "sketch->shop")
PATHS = ("gan", "direct", "edges")
METRICS = ("hit@1", "hit@10", "map@r")
TOLD = {
    "gan": "sketch -> GAN -> encoder",
    "direct": "sketch straight into the encoder",
    "edges": "edge map against edge maps",
}
Change = Callable[[Sequence[Uint8Image]], Sequence[Uint8Image]]


def measure(cell: Cell) -> Values:
    """Paths and losses of the bundles of a finished pipeline."""
    sketches = Catalog.open(cell.folder / "data/sketches")
    retrievers = {name: load_bundle(cell, name) for name in cell.bundles}
    return {
        "methods": list(cell.bundles),
        "splits": paths(cell, retrievers, sketches),
        "losses": losses(cell, retrievers, sketches),
    }


def paths(cell: Cell, retrievers: dict[str, LocalRetriever], sketches: Catalog) -> Values:
    """split -> method -> path -> figures with intervals, chance, and the gain in hit@1 over the first straight path."""
    found: Values = {}
    for split in SPLITS:
        results = {
            name: evaluate_split(retriever, cell.catalog, sketches, split, cell.settings, pairs=[PAIR])
            for name, retriever in retrievers.items()
        }
        base = next(iter(results.values())).run(PAIR.name, "direct")
        found[split] = {
            name: {path: told(run, base, cell.params) for path in PATHS if (run := result.run(PAIR.name, path))}
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


def losses(cell: Cell, retrievers: dict[str, LocalRetriever], sketches: Catalog) -> Values:
    """method -> kind of query -> hit@1 on val, with its interval."""
    catalog, params = cell.catalog, cell.params
    gallery = open_gallery(catalog, "val", cell.settings.protocol)
    drawn = sketches.select(split="val", role="gallery")
    ids = [photo_of(name) for name in sketches.column("image_id")[drawn]]
    place = {name: row for row, name in enumerate(catalog.column("image_id"))}
    photos = queries_of(catalog, np.array([place[name] for name in ids], dtype=np.int64))
    drawings = queries_of(sketches, drawn)
    flats = open_queries(sketches, "val", PAIR)
    found: Values = {}
    for name, retriever in retrievers.items():
        asked: dict[str, tuple[Queries, Change | None]] = {
            "front photos": (photos, same_pictures),
            "front photos without their colours": (photos, without_colours),
            "the hand's drawings of them": (drawings, same_pictures),
            "what the generator paints of the hand's drawings": (drawings, None),
            "the catalogue's own drawings": (flats, same_pictures),
            "what the generator paints of the catalogue's own": (flats, None),
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
    retriever: LocalRetriever, gallery: JudgedGallery, queries: Queries, change: Change | None, params: Params
) -> Values:
    """Of queries that are changed before the encoder looks at them; None: painted by the generator, as served."""
    served = served_gallery(BundleGallery.of(retriever.bundle), gallery)
    search = Composition.of(retriever.nets, served, "sketch" if change is None else "photo")
    path, asked = QueryPath("asked", search if change is None else replace(search, paint=change)), params.evaluate
    (run,) = answer(PAIR.name, path, queries, gallery, depth=asked.depth, chunk=asked.chunk, reranks={})
    items = run.queries.item_ids.astype(str)
    return rounded(bootstrap_interval(run.metrics["hit@1"], items, params.evaluate.bootstrap, params.base.seed))


def paths_table(report: Mapping[str, Values], _: Study) -> str:
    """Val and test by path; the edge path is the same for every method and stands once."""
    (cell,) = report["cells"].values()
    first = cell["methods"][0]
    lines = []
    for name in cell["methods"]:
        for path in cell["splits"]["test"][name]:
            if path != "edges" or name == first:
                val, test = (cell["splits"][split][name][path] for split in SPLITS)
                label = TOLD[path] if path == "edges" else f"{TOLD[path]}, {name}"
                figures = [in_words(each[metric]) for each in (val, test) for metric in ("hit@1", "hit@10")]
                gain = "" if (name, path) == (first, "direct") else sure_in_words(test["gain"])
                lines.append([label, *figures, gain])
    chance = [cell["splits"][split][first]["direct"] for split in SPLITS]
    levels = [f"{each[metric]['chance']:.3f}" for each in chance for metric in ("hit@1", "hit@10")]
    lines.append(["chance", *levels, ""])
    head = ["path", "val hit@1", "val hit@10", "test hit@1", "test hit@10", f"test hit@1 above straight, {first}"]
    val, test = (each["queries"] for each in chance)
    words = f"{val} and {test} queries of val and test; seed {cell['seed']}; {code_in_words([cell['commit']])}."
    return "\n\n".join([words, table(head, lines)])


def losses_table(report: Mapping[str, Values], _: Study) -> str:
    (cell,) = report["cells"].values()
    methods = cell["methods"]
    labels = list(cell["losses"][methods[0]])
    lines = [[label, *(in_words(cell["losses"][name][label]) for name in methods)] for label in labels]
    return table(["query", *(f"val hit@1, {name}" for name in methods)], lines)
