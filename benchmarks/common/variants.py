"""Variants of one method on the rendered catalogue, trained for equally many steps, against the first of them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from statistics import fmean

from benchmarks.common.benchmark_command import (
    BenchmarkError,
    Options,
    Values,
    add_options,
    chosen,
    make_values,
    run_command,
)
from benchmarks.common.real_sets import merged
from benchmarks.common.recorded_results import Results, by_name
from benchmarks.common.runner import Cell, open_cell, open_data, prepare_environment, run_cells, train_and_measure
from benchmarks.common.seed_interval import paired, spread
from benchmarks.common.tables import caption, metric_values, table
from benchmarks.leaderboards.method_leaderboard import RENDERED

Variants = Mapping[str, Values]  # name -> changes of the method's block


def run(name: str, doc: str | None, method: str, variants: Variants, arguments: list[str] | None) -> None:
    """A command that measures `variants` of `method` and prints their table; figures go to NAME.json."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=doc)
    parser.add_argument("--variants", default=",".join(variants), help="comma-separated (default: all)")
    add_options(parser, seeds="7,8,9,10,11")

    def measure(given: argparse.Namespace, options: Options) -> None:
        names = chosen(given.variants, tuple(variants), "--variants")
        measure_all(name, method, {each: variants[each] for each in names}, options)

    run_command(parser, arguments, measure)


def measure_all(name: str, method: str, variants: Variants, options: Options) -> None:
    prepare_environment(options.scratch)

    def cell_of(variant: str, seed: int) -> Cell:
        values = equal_steps(make_values(options, seed, RENDERED, {method: variants[variant]}), method)
        check_untouched(variants[variant], values[method], variant)
        return open_cell(values, method, open_data(values, options.scratch), options.scratch)

    head = options.head(method=method)
    results = Results(options.reports / f"{name}.json", head, options.scratch)
    run_cells(options.seeds, list(variants), results, options.fresh, cell_of, train_and_measure)
    print(comparison({"settings": head, "cells": results.cells}, variants))


def equal_steps(values: Values, method: str) -> Values:
    """No variant stops early; which epoch is exported is still chosen on val."""
    return merged(values, {method: {"fit": {"patience": values[method]["fit"]["epochs"]}}})


def check_untouched(variant: Values, block: Values, name: str) -> None:
    """Refuses a --param that overrules what makes a variant."""
    for key, value in variant.items():
        if block[key] != value:
            raise BenchmarkError(f"--param sets {key} to {block[key]!r}, which is what the variant {name!r} is about")


def comparison(report: Mapping[str, Values], variants: Variants) -> str:
    """Test figures by variant, and the difference in hit@1 to the first, paired by seed; 95 % intervals over seeds."""
    of_variant = by_name(report["cells"])
    first = next(iter(variants))
    base = metric_values(of_variant[first], "test", "hit@1") if first in of_variant else {}
    metrics = ("hit@1", "hit@5", "map@r")
    rows = []
    for name in (name for name in variants if name in of_variant):
        cells = of_variant[name]
        found = [str(spread(list(metric_values(cells, "test", metric).values()))) for metric in metrics]
        gain = None if name == first else paired(base, metric_values(cells, "test", "hit@1"))
        verdict = "" if gain is None else f"{gain:+}{' *' if gain.excludes_zero else ''}"
        seconds = [cell["train_seconds"] for cell in cells.values() if cell["train_seconds"] is not None]
        speed = f"{fmean(seconds):.0f}" if seconds else ""
        rows.append([name, *found, verdict, speed, str(len(cells))])
    head = ["variant", *metrics, f"hit@1 above {first}", "train s", "seeds"]
    return "\n\n".join([caption(report), table(head, rows), "`*`: the interval of the difference excludes 0."])
