"""The reports of the stage `evaluate`: which run of a retriever counts, who is best, and the results query by query."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from croquis.evaluation.bootstrap import Interval, paired_gain
from croquis.evaluation.metrics import headline_metrics
from croquis.evaluation.results import NO_RERANK, SERVED_PATHS, headline
from croquis.files import read_json
from croquis.registry.gating.verdict import Scores

KEY = ("pair", "path", "rerank")


class EvaluationError(ValueError):
    """The reports do not hold what was asked for; the message names the file and the fix."""


@dataclass(frozen=True)
class Measure:
    """What retrievers are compared by, e.g. `consumer->shop/hit@1`."""

    pair: str
    metric: str

    @classmethod
    def parse(cls, text: str) -> Measure:
        """Reads `PAIR/METRIC`, e.g. `consumer->shop/hit@1`.

        Raises:
            EvaluationError: when the text is not of that form.
        """
        pair, separator, metric = text.rpartition("/")
        if not separator or not pair or not metric:
            raise EvaluationError(f"{text!r} is not of the form PAIR/METRIC, e.g. consumer->shop/hit@1")
        return cls(pair, metric)

    def __str__(self) -> str:
        return f"{self.pair}/{self.metric}"


@dataclass(frozen=True)
class EvaluationReport:
    """reports/evaluation/METHOD.json."""

    method: str
    bundle: str
    splits: Mapping[str, Any]
    path: Path

    @classmethod
    def read(cls, path: Path) -> EvaluationReport:
        """Reads a report.

        Raises:
            EvaluationError: when the file is not there.
        """
        if not path.is_file():
            raise EvaluationError(f"{path} does not exist; run `dvc repro evaluate@{path.stem}`")
        report = read_json(path)
        return cls(report["method"], report["bundle"], report["splits"], path)

    def run(self, split: str, pair: str, reranked: bool = False) -> Mapping[str, Any]:
        """The run of a pair that answers as the served retriever does.

        Raises:
            EvaluationError: when the split has no query of that pair.
        """
        runs: list[Mapping[str, Any]] = self.splits[split]["runs"]
        keys = [(run["pair"], run["path"], run["rerank"]) for run in runs]
        return runs[_served(keys, pair, reranked, str(self.path))]

    def value(self, split: str, measure: Measure, reranked: bool = False) -> float:
        """The mean of a metric over the queries of a split, in [0, 1].

        Raises:
            EvaluationError: when the split has no query of that pair.
        """
        return float(self.run(split, measure.pair, reranked)["metrics"][measure.metric]["value"])

    def chance(self, split: str, measure: Measure, reranked: bool = False) -> float:
        """Mean of the metric that random orders of the gallery have on the same queries."""
        return float(self.run(split, measure.pair, reranked)["metrics"][measure.metric]["chance"])

    def scores(self, split: str, measure: Measure, reranked: bool = False) -> Scores:
        """The results query by query, as `evaluate` stored them beside the report."""
        path = self.path.with_name(f"{self.method}.queries.parquet")
        return query_scores(pq.read_table(path), split, measure, reranked, str(path))

    def headline_figures(self) -> Iterator[tuple[str, float]]:
        """The few means that short tables hold, by a name such as `test/consumer->shop/hit@1`, as the stage reports them."""
        for split, summary in self.splits.items():
            for run, found in headline(summary).items():
                for metric in headline_metrics(found):
                    yield f"{split}/{run}/{metric}", float(found[metric])

    def figures(self) -> Iterator[tuple[str, float]]:
        """Every mean by a name such as `test/consumer->shop/encoder/hit@1`."""
        for split, summary in self.splits.items():
            for run in summary["runs"]:
                rerank = "" if run["rerank"] == NO_RERANK else f"+{run['rerank']}"
                for metric, found in run["metrics"].items():
                    yield f"{split}/{run['pair']}/{run['path']}{rerank}/{metric}", float(found["value"])


def read_evaluations(folder: Path, methods: Iterable[str]) -> list[EvaluationReport]:
    """One report per method, in that order."""
    return [EvaluationReport.read(folder / f"{method}.json") for method in methods]


def rank(
    evaluations: Sequence[EvaluationReport], split: str, measure: Measure, reranked: bool
) -> list[EvaluationReport]:
    """Best first; equals in the order they came in."""
    return sorted(evaluations, key=lambda evaluation: -evaluation.value(split, measure, reranked))


def gains(
    base: EvaluationReport, others: Iterable[EvaluationReport], split: str, measure: Measure
) -> dict[str, Interval]:
    """By method: how far its mean is above that of `base` on the same queries, with the paired 95 % interval over items.

    The paired interval is the one to judge by: two methods meet the same easy and hard queries, which their own intervals
    count twice.
    """
    first = base.scores(split, measure).ordered()
    found = {}
    for other in others:
        second = other.scores(split, measure).ordered()
        found[other.method] = paired_gain(first.values, second.values, second.items).interval
    return found


def query_scores(table: pa.Table, split: str, measure: Measure, reranked: bool, source: str) -> Scores:
    """The results of one split and pair, query by query, from a table as `evaluate` writes it.

    Args:
        table: columns split, pair, path, rerank, query_id, item_id, category and one per metric.
        source: named in errors.

    Raises:
        EvaluationError: when the table has no such queries or metric.
    """
    rows = table.filter(pc.equal(table["split"], split))
    keys = list(zip(*(rows[name].to_pylist() for name in KEY), strict=True))
    if measure.metric not in rows.column_names:
        raise EvaluationError(f"{source} has no metric {measure.metric!r}; it has {rows.column_names}")
    return _scores(rows, keys[_served(keys, measure.pair, reranked, source)], measure.metric)


def mode_scores(table: pa.Table, split: str, metric: str, reranked: bool) -> dict[str, Scores]:
    """By `PAIR PATH`: the results of every way of asking that is served, re-ranked where that is done."""
    rows = table.filter(pc.equal(table["split"], split))
    keys = sorted(set(zip(*(rows[name].to_pylist() for name in KEY), strict=True)))
    found: dict[str, Scores] = {}
    for pair, path, rerank in sorted(keys, key=lambda key: (key[2] != NO_RERANK) != reranked):
        if path in SERVED_PATHS:
            found.setdefault(f"{pair} {path}", _scores(rows, (pair, path, rerank), metric))
    return dict(sorted(found.items()))


def _scores(rows: pa.Table, key: tuple[str, str, str], metric: str) -> Scores:
    for name, value in zip(KEY, key, strict=True):
        rows = rows.filter(pc.equal(rows[name], value))
    queries, items, categories = (np.array(rows[name].to_pylist()) for name in ("query_id", "item_id", "category"))
    return Scores(queries, items, categories, rows[metric].to_numpy().astype(np.float64))


def _served(keys: Sequence[tuple[str, str, str]], pair: str, reranked: bool, source: str) -> int:
    """The place among (pair, path, rerank) of the run that answers as the served retriever does."""

    def preference(place: int) -> tuple[int, bool]:
        return SERVED_PATHS.index(keys[place][1]), (keys[place][2] != NO_RERANK) != reranked

    fitting = [place for place, (found, path, _) in enumerate(keys) if found == pair and path in SERVED_PATHS]
    if not fitting:
        known = sorted({found for found, _, _ in keys})
        raise EvaluationError(f"{source} has no queries {pair!r} (it has {known}); choose another register.select_by")
    return min(fitting, key=preference)
