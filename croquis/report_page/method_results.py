"""What the stages left of each method: its report, its results query by query, and its bundle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from croquis.arrays import Rows
from croquis.bundle import Bundle
from croquis.evaluation.results import NO_RERANK
from croquis.params import Params
from croquis.registry.evaluation_reports import EvaluationReport
from croquis.search.local_retriever import LocalRetriever

SPLIT = "test"  # the one that is reported
REPORTS, BUNDLES = Path("reports/evaluation"), Path("models/bundles")


class ResultsError(RuntimeError):
    """The outputs of the pipeline do not make a page; the message names what is missing and the fix."""


@dataclass(frozen=True, order=True)
class Way:
    """One way of answering queries: the pair of domains, and how a query becomes a vector."""

    pair: str
    path: str

    @property
    def title(self) -> str:
        """In words: `consumer to shop`, `sketch to shop by gan`."""
        return self.pair.replace("->", " to ") + ("" if self.path == "encoder" else f" by {self.path}")


@dataclass(frozen=True)
class QueryRanks:
    """The queries of one run, in the order of their ids.

    Attributes:
        ids, items, categories: (n,) strings.
        ranks: (n,) place of the first right answer, from 1; 0 where it is beyond the depth of the lists.
    """

    ids: Sequence[str]
    items: Sequence[str]
    categories: Sequence[str]
    ranks: Rows

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Query id -> its place."""
        return {name: place for place, name in enumerate(self.ids)}

    @property
    def behind(self) -> Rows:
        """Ranks that can be ordered: what was not found stands behind all others; (n,)."""
        return np.where(self.ranks == 0, np.iinfo(np.int64).max, self.ranks)


@dataclass(frozen=True)
class MethodResult:
    """One method that was trained, packed and measured."""

    report: EvaluationReport
    retriever: LocalRetriever
    queries: pa.Table

    @property
    def name(self) -> str:
        """The method, as params.yaml names it."""
        return self.report.method

    def runs(self, rerank: str | None = NO_RERANK) -> Iterator[Mapping[str, Any]]:
        """The report's runs of the reported split with that re-ranking; None: with any."""
        for run in self.report.splits[SPLIT]["runs"]:
            if rerank is None or run["rerank"] == rerank:
                yield run

    def run(self, way: Way, rerank: str = NO_RERANK) -> Mapping[str, Any] | None:
        """That run of the report; None where the method has none."""
        return next((run for run in self.runs(rerank) if (run["pair"], run["path"]) == (way.pair, way.path)), None)

    def ranks(self, way: Way, rerank: str = NO_RERANK) -> QueryRanks:
        """The queries of a run and where the first right answer stood."""
        wanted = {"split": SPLIT, "pair": way.pair, "path": way.path, "rerank": rerank}
        rows = self.queries
        for column, value in wanted.items():
            rows = rows.filter(pc.equal(rows[column], value))
        rows = rows.sort_by("query_id")
        ids, items, categories = (rows[name].to_pylist() for name in ("query_id", "item_id", "category"))
        return QueryRanks(ids, items, categories, rows["rank"].to_numpy().astype(np.int64))


def read_results(root: Path, params: Params) -> list[MethodResult]:
    """The methods of `retrievers` whose evaluation and bundle are there, in that order.

    Raises:
        ResultsError: when there is none, or a bundle is another one than was measured.
    """
    found = []
    for name in params.retrievers:
        file, table = root / REPORTS / f"{name}.json", root / REPORTS / f"{name}.queries.parquet"
        if not (file.is_file() and table.is_file() and (root / BUNDLES / name).is_dir()):
            continue
        report = EvaluationReport.read(file)
        bundle = Bundle.load(root / BUNDLES / name, params.base.threads)
        if report.bundle != bundle.hash:
            raise ResultsError(
                f"{file} was measured with another bundle than {root / BUNDLES / name}: run croquis repro"
            )
        found.append(MethodResult(report, LocalRetriever.of(bundle), pq.read_table(table)))
    if not found:
        raise ResultsError(
            f"no method of {', '.join(params.retrievers)} has an evaluation with its queries in {root / REPORTS} and a "
            f"bundle in {root / BUNDLES}: run croquis repro (or dvc pull)"
        )
    return found


def main_way(results: Sequence[MethodResult]) -> Way:
    """The way that stands for a split in single charts: the first that was measured, consumer->shop where it exists."""
    run = next(results[0].runs())
    return Way(run["pair"], run["path"])


def ways(results: Sequence[MethodResult]) -> list[Way]:
    """All ways of all methods, in the order of the reports."""
    return list(dict.fromkeys(Way(run["pair"], run["path"]) for result in results for run in result.runs()))
