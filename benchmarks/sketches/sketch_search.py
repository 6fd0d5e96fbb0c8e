"""Drawings against photos on real pictures: `python -m benchmarks.sketches.sketch_search --set shoes`.

`shoes` and `chairs` are drawings by people, each to find the edge map of the photo it was drawn from (sketch_qmul; there are
no photos). On `inshop_luma` and `attr_products` the simulated hand draws one photo of each item, which is to find another
photo of it, or photos of its category. Rows: `zero-shot`, ImageNet features; `siamese`, an encoder that learns from photos;
`joint`, one that learns from photos and drawings; each beside edge maps against edge maps.

Writes reports/benchmarks/sketch-SET.json; with --render, the tables of docs/sketch.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common.benchmark_command import PROJECT, Options, Values, add_options, chosen, make_values, run_command
from benchmarks.common.pretrained import MOBILENET, weights_file
from benchmarks.common.real_sets import merged, real_set
from benchmarks.common.recorded_results import Results, by_name
from benchmarks.common.runner import (
    SPLITS,
    Cell,
    open_cell,
    open_data,
    pack,
    prepare_environment,
    run_cells,
    run_stages,
    short_summary,
    timed,
)
from benchmarks.common.seed_interval import paired, spread
from benchmarks.common.tables import caption, metric_values, table
from croquis.catalog.edge_maps import DRAWN
from croquis.catalog.table import Catalog
from croquis.evaluation.evaluate_bundle import evaluate_split
from croquis.evaluation.protocol import PAIRS
from croquis.evaluation.results import SplitResult
from croquis.files import fresh_folder
from croquis.registry.gating.gate_inputs import evaluation_settings
from stages import sketch, train_embedder

PAIR = "sketch->shop"
PATHS = ("direct", "edges")
METRICS = ("hit@1", "hit@10")
ZERO_SHOT = "zero-shot"
ONE_CATEGORY = ["two_categories", "attribute_tells"]  # rules that a set of one category cannot keep


@dataclass(frozen=True)
class SketchTask:
    """A set, and how nets learn it.

    Attributes:
        source: the real set.
        kind: the category that is kept of it; all where None.
        rows: what is measured of it.
        image_size: pixels of trained nets; `zero_shot_size` those of ImageNet features.
        drawings: by the simulated hand, of each train photo.
        learning_rate: with 0.002 siamese collapses on `attr_products`, whose items are categories.
    """

    source: str
    kind: str | None
    rows: tuple[str, ...]
    image_size: int
    epochs: int
    drawings: int
    learning_rate: float = 0.002
    zero_shot_size: int = 224


HUMAN = (ZERO_SHOT, "joint")
PHOTOS = (ZERO_SHOT, "siamese", "joint")
TASKS = {
    "shoes": SketchTask("sketch_qmul", "shoes", HUMAN, 96, 10, 2),
    "chairs": SketchTask("sketch_qmul", "chairs", HUMAN, 96, 10, 2),
    "inshop_luma": SketchTask("inshop_luma", None, PHOTOS, 96, 6, 1),
    "attr_products": SketchTask("attr_products", None, PHOTOS, 64, 5, 1, learning_rate=0.0007),
}
# Of 115 and 97 test pairs; from the data's README.
PUBLISHED = {"shoes": {"hit@1": 0.10, "hit@10": 0.48}, "chairs": {"hit@1": 0.42, "hit@10": 0.80}}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sketches.sketch_search", description=__doc__)
    parser.add_argument("--set", choices=TASKS, default="shoes")
    parser.add_argument("--rows", help="comma-separated (default: all of the set)")
    parser.add_argument("--shared", type=Path, default=PROJECT.parent / "shared/data", help="folder of the real sets")
    parser.add_argument("--share", type=float, default=1.0, help="part of the items of a set that is kept")
    add_options(parser, seeds="7,8,9")
    run_command(parser, arguments, measure_all)


def measure_all(given: argparse.Namespace, options: Options) -> None:
    task = TASKS[given.set]
    rows = chosen(given.rows or ",".join(task.rows), task.rows, "--rows")
    prepare_environment(options.scratch)
    overrides = [real_set(task.source, given.shared, options.scratch / "sets", given.share)]
    overrides = [kept_kind(overrides[0], task.kind, options.scratch / "sets"), learning(task, given.shared)]

    def cell_of(row: str, seed: int) -> Cell:
        values = make_values(options, seed, *overrides, {"base": {"image_size": size_of(row, task)}})
        data = open_data(values, options.scratch, make=draw_too, sketch=values["sketch"])
        return open_cell(values, method_of(row), data, options.scratch, more=("sketch",))

    head = options.head(set=given.set, share=given.share)
    results = Results(options.reports / f"sketch-{given.set}.json", head, options.scratch)
    if ZERO_SHOT in rows:  # nothing is drawn by chance in it
        run_cells(options.seeds[:1], [ZERO_SHOT], results, options.fresh, cell_of, measure)
    trained = [row for row in rows if row != ZERO_SHOT]
    if trained:
        run_cells(options.seeds, trained, results, options.fresh, cell_of, measure)
    print(sketch_table({"settings": head, "cells": results.cells}))


def kept_kind(data: Values, kind: str | None, work: Path) -> Values:
    """`data` with the rows of one category only."""
    if kind is None:
        return data
    source = Path(data["ingest"]["folder"]["table"])
    header, *lines = source.read_text(encoding="utf-8").splitlines()
    target = work / f"{source.stem}-{kind}.csv"
    target.write_text(
        "\n".join([header, *(line for line in lines if line.endswith(f",{kind}"))]) + "\n", encoding="utf-8"
    )
    return merged(data, {"ingest": {"folder": {"table": str(target)}}, "validate": {"disabled": ONE_CATEGORY}})


def learning(task: SketchTask, shared: Path) -> Values:
    """From ImageNet weights with frozen batch norms; both methods alike."""
    fit = {
        "epochs": task.epochs,
        "patience": task.epochs,
        "learning_rate": task.learning_rate,
        "backbone_rate": 0.2,
        "validate_every": 1,
    }
    block = {"fit": fit, "items_per_batch": 8, "images_per_item": 2 + task.drawings}
    own_drawings = task.source == "sketch_qmul"
    return {
        "train_embedder": {
            "backbone": {"name": MOBILENET[0], "weights": weights_file(shared, MOBILENET[1]), "freeze_bn": True},
        },
        "sketch": {"drawings_per_photo": task.drawings, "edges": DRAWN if own_drawings else "canny"},
        "siamese": block,
        "joint": block,
        "register": {"select_by": f"{PAIR}/hit@1"},
    }


def size_of(row: str, task: SketchTask) -> int:
    return task.zero_shot_size if row == ZERO_SHOT else task.image_size


def method_of(row: str) -> str:
    """The params block that a row's encoder has; ImageNet features are image2vec's, before any training."""
    return "image2vec" if row == ZERO_SHOT else row


def draw_too(folder: Path) -> None:
    run_stages(folder)
    sketch.main(folder)


def measure(cell: Cell) -> Values:
    """Trains unless it is there, and measures both paths; what `edges` finds is the same for every encoder."""
    seconds = timed(cell, lambda: pretrained_net(cell) if cell.method == "image2vec" else trained_net(cell))
    retriever = pack(cell)
    folder, settings = cell.folder, evaluation_settings(cell.params)
    pairs = [pair for pair in PAIRS if pair.name == PAIR]
    catalog, sketches = Catalog.open(folder / "data/catalog"), Catalog.open(folder / "data/sketches")
    found = {split: evaluate_split(retriever, catalog, sketches, split, settings, pairs=pairs) for split in SPLITS}
    return {
        "train_seconds": seconds,
        "pair": PAIR,
        "paths": {path: paths_of(found, path) for path in PATHS},
        "splits": paths_of(found, "direct"),
    }


def paths_of(found: Mapping[str, SplitResult], path: str) -> Values:
    return {split: short_summary(result, PAIR, path) for split, result in found.items()}


def trained_net(cell: Cell) -> None:
    train_embedder.main(cell.method, cell.folder)


def pretrained_net(cell: Cell) -> None:
    """The backbone as it comes, average-pooled."""
    from lightning_modules.nets.retrieval_net import average_pool_net
    from lightning_modules.training.numerics import prepare_torch

    prepare_torch(cell.params.base.seed, cell.params.base.threads)
    with fresh_folder(cell.folder / "models" / cell.method) as target:
        net = average_pool_net(cell.params.train_embedder.backbone)
        train_embedder.export(net, cell.params.base.image_size, target)


def sketch_table(report: Mapping[str, Values]) -> str:
    """Test figures by row: mean and 95 % interval over seeds, or of a single one the bootstrap's over items."""
    cells, name = report["cells"], report["settings"]["set"]
    of_row = by_name(cells)
    lines = [line(row, found, of_row.get("siamese")) for row, found in of_row.items()]
    any_cell = next(iter(cells.values()))
    lines.append(["edge map against edge maps", *bootstrapped(any_cell["paths"]["edges"]["test"]), "", "", ""])
    if name in PUBLISHED:
        stated = [f"{PUBLISHED[name][metric]:.2f}" for metric in METRICS]
        lines.append(["zero-shot, as the data's README has it", *stated, "", "", ""])
    chance = [f"{any_cell['splits']['test']['metrics'][metric]['chance']:.3f}" for metric in METRICS]
    lines.append(["chance", *chance, "", "", ""])
    head = ["path", *METRICS, "hit@1 above siamese", "train s", "seeds"]
    return "\n\n".join([caption(report), table(head, lines)])


def line(row: str, cells: Mapping[int, Values], base: Mapping[int, Values] | None) -> list[str]:
    trained = [cell for cell in cells.values() if row != ZERO_SHOT]
    seconds = [f"{cell['train_seconds']:.0f}" for cell in trained if cell["train_seconds"] is not None]
    gain = None
    if base is not None and row == "joint":
        gain = paired(metric_values(base, "test", "hit@1"), metric_values(cells, "test", "hit@1"))
    told = "" if gain is None else f"{gain:+}{' *' if gain.excludes_zero else ''}"
    figures = (
        bootstrapped(next(iter(cells.values()))["splits"]["test"])
        if len(cells) == 1
        else [str(spread(list(metric_values(cells, "test", metric).values()))) for metric in METRICS]
    )
    return [f"straight, {row}", *figures, told, ", ".join(seconds), str(len(trained) or "")]


def bootstrapped(summary: Values) -> list[str]:
    found = [summary["metrics"][metric] for metric in METRICS]
    return [f"{each['value']:.3f} ({each['low']:.3f} to {each['high']:.3f})" for each in found]


if __name__ == "__main__":
    main()
