"""Numbers behind the charts of the page, as rows of plain values; figures are those that the stages wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from croquis.report_page.method_results import MethodResult, Way, ways
from croquis.tracking.record import RECORD_FILE, RUNS, RunRecord

Row = dict[str, Any]
METRIC = "hit@1"
LONGEST = 50
BUCKETS = ((1, "1"), (5, "2 to 5"), (10, "6 to 10"), (50, "11 to 50"))
LAST_BUCKET = "behind 50"
TRAINED = "train_embedder-"
PARTS = {"train_classifier": "attribute classifier", "train_gan": "sketch generator"}
DIGITS = 6


def metric_order(name: str) -> tuple[bool, str, int]:
    """hit@1, hit@5, hit@10, ..., then the other metrics by name.

    >>> sorted(["mrr", "hit@10", "hit@5"], key=metric_order)
    ['hit@5', 'hit@10', 'mrr']
    """
    kind, _, k = name.partition("@")
    return not kind.startswith("hit"), kind, int(k) if k.isdigit() else 0


def score_rows(results: Sequence[MethodResult]) -> list[Row]:
    """A row for each method, way and metric: value, 95 % interval, chance."""
    return [
        {
            "method": result.name,
            "queries": Way(run["pair"], run["path"]).title,
            "metric": metric,
            "count": run["queries"],
        }
        | {name: found[name] for name in ("value", "low", "high", "chance")}
        for result in results
        for run in result.runs()
        for metric, found in sorted(run["metrics"].items(), key=lambda each: metric_order(each[0]))
    ]


def curve_rows(results: Sequence[MethodResult]) -> list[Row]:
    """hit@1 ... hit@50 of each method and way, from the stored ranks."""
    rows = []
    for result in results:
        for way in ways([result]):
            ranks = result.ranks(way).ranks
            for k in range(1, LONGEST + 1):
                hit = round(float(((ranks > 0) & (ranks <= k)).mean()), DIGITS)
                rows.append({"method": result.name, "queries": way.title, "k": k, "hit@k": hit})
    return rows


def bucket_rows(results: Sequence[MethodResult], way: Way) -> list[Row]:
    """Share of the queries by the rank of their first right answer."""
    rows = []
    for result in results:
        ranks, reached = result.ranks(way).behind, 0
        for place, (most, name) in enumerate((*BUCKETS, (None, LAST_BUCKET))):
            count = len(ranks) if most is None else int((ranks <= most).sum())
            row = {"method": result.name, "rank": name, "order": place, "count": count - reached}
            rows.append(row | {"share": round((count - reached) / max(len(ranks), 1), DIGITS)})
            reached = count
    return rows


def category_scores(results: Sequence[MethodResult], way: Way) -> list[Row]:
    """hit@1 with its interval by category and method."""
    return [
        {"method": result.name, "category": name, "count": found["queries"]}
        | {part: found["metrics"][METRIC][part] for part in ("value", "low", "high")}
        for result in results
        for run in filter(None, [result.run(way)])
        for name, found in run["categories"].items()
    ]


def cost_rows(results: Sequence[MethodResult], way: Way, costs: Mapping[str, Mapping[str, float]]) -> list[Row]:
    """Quality and the costs of each method, and whether it is on the Pareto front of hit@1 and that cost.

    Args:
        costs: method -> cost -> value, the lower the better.
    """
    rows = []
    for result in results:
        run = result.run(way)
        if run is not None:
            rows.append({"method": result.name, "quality": run["metrics"][METRIC]["value"], **costs[result.name]})
    for cost in costs[results[0].name]:
        front = pareto_front([(row["quality"], row[cost]) for row in rows])
        for row, kept in zip(rows, front, strict=True):
            row[f"front of {cost}"] = kept
    return rows


def pareto_front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Whether no other point has at least the quality at no more cost, and is better in one of the two.

    Args:
        points: (quality, cost) each.

    >>> pareto_front([(0.9, 100), (0.8, 10), (0.7, 10), (0.9, 200)])
    [True, True, False, False]
    """
    return [
        not any(q >= quality and c <= cost and (q, c) != (quality, cost) for q, c in points) for quality, cost in points
    ]


def rerank_rows(results: Sequence[MethodResult]) -> list[Row]:
    """Each re-ranked run beside the plain one: a metric before and after, the paired gain and its interval."""
    rows = []
    for result in results:
        for run in result.runs(rerank=None):
            before = result.run(Way(run["pair"], run["path"]))
            for metric, gain in sorted(run.get("gain", {}).items(), key=lambda each: metric_order(each[0])):
                about = {"method": result.name, "queries": Way(run["pair"], run["path"]).title, "metric": metric}
                values = {"before": before["metrics"][metric]["value"]} if before else {}
                values |= {"after": run["metrics"][metric]["value"], "gain": gain["value"]}
                rows.append(
                    about | values | {"re-ranking": run["rerank"], "gain low": gain["low"], "gain high": gain["high"]}
                )
    return rows


def training_rows(root: Path, results: Sequence[MethodResult]) -> list[Row]:
    """The curves of each method's training; a method that is not trained has none."""
    return [
        {"method": result.name} | row for result in results for row in _curves(root / RUNS / f"{TRAINED}{result.name}")
    ]


def part_rows(root: Path) -> list[Row]:
    """The curves of the nets that all methods share."""
    return [
        row | {"metric": f"{name}: {row['metric']}"}
        for folder, name in PARTS.items()
        for row in _curves(root / RUNS / folder)
    ]


def _curves(folder: Path) -> Iterator[Row]:
    """The metrics of a run that have an epoch axis."""
    if not (folder / RECORD_FILE).is_file():
        return
    for metric, points in sorted(RunRecord.read(folder).metrics.items()):
        if metric.startswith(("train/", "val/")):
            for epoch, value in points:
                if np.isfinite(value):
                    yield {"metric": metric, "epoch": epoch, "value": value}
