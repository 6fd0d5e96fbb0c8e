"""Precision among the first five by product type: photos, and drawings by each path (the first system's own measure)."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.common.cells import SPLITS, Cell, pack, timed
from benchmarks.common.recorded_results import by_name
from benchmarks.common.seed_interval import spread
from benchmarks.common.studies import Study, Values
from benchmarks.common.tables import caption, in_words, table
from croquis.catalog.table import Catalog
from croquis.evaluation.evaluate_bundle import evaluate_split
from croquis.evaluation.protocol import PAIRS
from stages import train_classifier, train_embedder, train_gan

METRIC = "precision@5"
GAN = "gan"  # the row whose workspace has a generator, too
PHOTO = "shop->shop encoder"
STRAIGHT = "sketch->shop direct"
TOLD = {
    PHOTO: "photo",
    "sketch->shop gan": "drawing -> GAN -> encoder",
    STRAIGHT: "drawing straight",
}


def measure(cell: Cell) -> Values:
    """Photos and drawings of the held-out products, by every path that the cell's bundle serves."""
    seconds = timed(cell, lambda: train(cell))
    retriever, sketches = pack(cell), Catalog.open(cell.folder / "data/sketches")
    pairs = [pair for pair in PAIRS if pair.name in ("shop->shop", "sketch->shop")]
    paths: dict[str, Values] = {}
    for split in SPLITS:
        found = evaluate_split(retriever, cell.catalog, sketches, split, cell.settings, pairs=pairs).summary()
        for run in found["runs"]:
            name = f"{run['pair']} {run['path']}"
            if name in TOLD and run["rerank"] == "none":
                kept = {key: run[key] for key in ("queries", "items", "metrics")}
                paths.setdefault(name, {})[split] = {"gallery": found["gallery"], **kept}
    return {"train_seconds": seconds, "pair": "sketch->shop", "paths": paths, "splits": paths[STRAIGHT]}


def train(cell: Cell) -> None:
    train_embedder.main(cell.method, cell.folder)
    if cell.name == GAN:
        if cell.params.train_gan.choose_by == "retrieval":
            train_classifier.main(cell.folder)  # whose features judge each epoch
        train_gan.main(cell.folder)


def precision_table(report: Mapping[str, Values], study: Study) -> str:
    """Val and test by path and retriever: of one seed the bootstrap's interval over items, else that over seeds."""
    lines = []
    for row, cells in by_name(report["cells"]).items():
        for path, words in TOLD.items():
            found = [cell["paths"][path] for cell in cells.values() if path in cell["paths"]]
            if found:
                name = study.method_of(row) if row == GAN else row
                lines.append([f"{words}, {name}", *(_figures(found, split) for split in SPLITS), str(len(found))])
    any_cell = next(iter(report["cells"].values()))
    chance = [f"{any_cell['splits'][split]['metrics'][METRIC]['chance']:.3f}" for split in SPLITS]
    lines.append(["chance", *chance, ""])
    head = ["path", f"val {METRIC}", f"test {METRIC}", "seeds"]
    return "\n\n".join([caption(report), table(head, lines)])


def _figures(found: list[Values], split: str) -> str:
    figures = [each[split]["metrics"][METRIC] for each in found]
    return in_words(figures[0]) if len(figures) == 1 else str(spread([figure["value"] for figure in figures]))
