"""All methods on one set over several seeds: `python -m benchmarks.leaderboards.method_leaderboard --set rendered`.

Writes reports/benchmarks/leaderboard-SET.json; with --render, the tables of docs/methods.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from statistics import fmean

from benchmarks.common.benchmark_command import (
    METHODS,
    PROJECT,
    BenchmarkError,
    Options,
    Values,
    add_options,
    chosen,
    make_values,
    run_command,
)
from benchmarks.common.pretrained import pretrained
from benchmarks.common.real_sets import real_set
from benchmarks.common.recorded_results import Results, by_name
from benchmarks.common.runner import Cell, open_cell, open_data, prepare_environment, run_cells, train_and_measure
from benchmarks.common.seed_interval import spread
from benchmarks.common.tables import caption, mean_of, metric_values, one_seed, table
from benchmarks.leaderboards.before_training import BEFORE, add_before
from croquis import plugins
from croquis.evaluation.metrics import headline_metrics

# `joint` needs drawings; benchmarks/sketches/sketch_search.py measures it.
PHOTO_METHODS = tuple(method for method in METHODS if plugins.METHODS.entry(method).add_drawings is None)
SETS = ("rendered", "inshop_luma", "c2s_grocery")
# Its sketches ask nothing here, and the pictures of the others stay the same without them.
RENDERED = {"ingest": {"source": "rendered", "rendered": {"sketches": False}}}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.leaderboards.method_leaderboard", description=__doc__)
    parser.add_argument("--set", choices=SETS, default="rendered")
    parser.add_argument("--methods", default=",".join(PHOTO_METHODS), help="comma-separated (default: all)")
    parser.add_argument("--shared", type=Path, default=PROJECT.parent / "shared/data", help="folder of the real sets")
    parser.add_argument("--share", type=float, default=1.0, help="part of the items of a real set that is kept")
    parser.add_argument(
        "--only-before",
        action="store_true",
        help="train nothing: what nets find before it, beside figures that are there",
    )
    add_options(parser, seeds="7,8,9")
    run_command(parser, arguments, measure_all)


def measure_all(given: argparse.Namespace, options: Options) -> None:
    methods = chosen(given.methods, PHOTO_METHODS, "--methods")
    prepare_environment(options.scratch)
    overrides = [RENDERED]
    if given.set != "rendered":
        data = real_set(given.set, given.shared, options.scratch / "sets", given.share)
        overrides = [data, pretrained(given.set, given.shared)]

    def cell_of(method: str, seed: int, scratch: Path = options.scratch) -> Cell:
        values = make_values(options, seed, *overrides)
        return open_cell(values, method, open_data(values, options.scratch), scratch)

    head = options.head(set=given.set, share=given.share)
    results = Results(options.reports / f"leaderboard-{given.set}.json", head, options.scratch)
    if given.only_before and not results.cells:
        raise BenchmarkError(
            f"{results.path} has no figures yet that others could stand beside: leave out --only-before"
        )
    if not given.only_before:
        run_cells(options.seeds, methods, results, options.fresh, cell_of, train_and_measure)
    for seed, method in product(options.seeds, methods):
        if f"{method}/{seed}" in results.cells:
            add_before(results, f"{method}/{seed}", cell_of(method, seed, options.scratch / BEFORE))
    print(leaderboard({"settings": head, "cells": results.cells}))


def leaderboard(report: Mapping[str, Values]) -> str:
    """The table of a report, best on val first: figures of test, mean and 95 % interval over seeds."""
    of_method = by_name(report["cells"])
    cells = list(report["cells"].values())
    names = headline_metrics(cells[0]["splits"]["test"]["metrics"])
    order = sorted(of_method, key=lambda method: -mean_of(metric_values(of_method[method], "val", "hit@1")))
    head = [
        "method",
        *names,
        "hit@1, one seed",
        "hit@1 before training",
        "val hit@1",
        "bytes/image",
        "queries/s",
        "train s",
    ]
    head += ["epochs", "seeds"]
    lines = [row(method, of_method[method], names) for method in order]
    chance = [f"{fmean(cell['splits']['test']['metrics'][name]['chance'] for cell in cells):.3f}" for name in names]
    padding = [""] * (len(head) - len(names) - 1)
    return "\n\n".join([caption(report), table(head, [*lines, ["chance", *chance, *padding]])])


def row(method: str, cells: Mapping[int, Values], names: tuple[str, ...]) -> list[str]:
    figures = [str(spread(list(metric_values(cells, "test", name).values()))) for name in names]
    val = spread(list(metric_values(cells, "val", "hit@1").values()))
    found = list(cells.values())
    before = [cell[BEFORE]["test"]["metrics"]["hit@1"]["value"] for cell in found if BEFORE in cell]
    seconds = [cell["train_seconds"] for cell in found if cell["train_seconds"] is not None]
    return [
        method,
        *figures,
        one_seed(found, "hit@1"),
        str(spread(before)) if before else "",
        str(val),
        f"{found[0]['bytes_per_image']:,}",
        f"{1000 / fmean(cell['query_ms'] for cell in found):.0f}",
        f"{fmean(seconds):.0f}" if seconds else "",
        f"{fmean(cell['epochs'] for cell in found):.0f}",
        str(len(found)),
    ]


if __name__ == "__main__":
    main()
