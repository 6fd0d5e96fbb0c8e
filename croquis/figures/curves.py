"""Numbers behind the plots: rows that `dvc plots` draws, and the same curves for the tracker."""

from __future__ import annotations

from typing import Any

import numpy as np

from croquis.evaluation.chance_levels import chance_hit_at_k
from croquis.evaluation.results import NO_RERANK, RunResult, SplitResult
from croquis.figures.charts import bar_chart, line_chart

LONGEST = 50
DIGITS = 6


def hit_curve(run: RunResult, longest: int = LONGEST) -> list[float]:
    """hit@1 ... hit@longest of a run, from the rank of each query's first right answer."""
    ranks = run.ranks[:, None]
    found = (ranks > 0) & (ranks <= np.arange(1, longest + 1))
    return [round(float(value), DIGITS) for value in found.mean(axis=0)]


def chance_curve(run: RunResult, longest: int = LONGEST) -> list[float]:
    """Expected hit@1 ... hit@longest of a random order of the same galleries."""
    levels = (chance_hit_at_k(run.gallery_sizes, run.n_relevant, k).mean() for k in range(1, longest + 1))
    return [round(float(level), DIGITS) for level in levels]


def hit_rows(result: SplitResult, method: str) -> list[dict[str, Any]]:
    """One row per k of the split's main run, for a line."""
    run = main_run(result)
    return [_source(result, method) | {"k": k, "hit@k": hit} for k, hit in enumerate(hit_curve(run), start=1)]


def category_rows(result: SplitResult, method: str, metric: str = "hit@1") -> list[dict[str, Any]]:
    """One row per category of the split's main run, for bars."""
    run, rows = main_run(result), []
    for category in sorted(set(run.queries.categories)):
        chosen = run.queries.categories == category
        value = round(float(run.metrics[metric][chosen].mean()), DIGITS)
        rows.append(_source(result, method) | {"category": category, metric: value, "queries": int(chosen.sum())})
    return rows


def _source(result: SplitResult, method: str) -> dict[str, Any]:
    """What a row is about."""
    run = main_run(result)
    return {"method": method, "split": result.split, "pair": run.pair, "path": run.path}


def main_run(result: SplitResult) -> RunResult:
    """The run that stands for a split in single pictures: the first without re-ranking, consumer->shop where it exists."""
    return next(run for run in result.runs if run.rerank == NO_RERANK)


def hit_chart(result: SplitResult, method: str) -> bytes:
    """PNG: hit@k of every run of a split over k, with the chance level of the first."""
    curves = {run.name: list(enumerate(hit_curve(run), start=1)) for run in result.runs}
    chance = list(enumerate(chance_curve(main_run(result)), start=1))
    return line_chart(curves | {"chance": chance}, f"{method}, {result.split}", "k", "hit@k")


def category_chart(summary: dict[str, Any], method: str, split: str, metric: str = "hit@1") -> bytes:
    """PNG: a bar with its interval per category, from one run of `SplitResult.summary()["runs"]`."""
    bars = {}
    for name, found in summary["categories"].items():
        estimate = found["metrics"][metric]
        bars[f"{name} ({found['queries']})"] = (estimate["value"], estimate["low"], estimate["high"])
    overall = summary["metrics"][metric]["value"]
    return bar_chart(bars, f"{method}, {split}: {summary['pair']}", metric, overall)
