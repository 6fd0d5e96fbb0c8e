"""The photos that each method answers some queries with: its bundle is searched as it was when it was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from croquis.arrays import Rows
from croquis.catalog.table import Catalog
from croquis.evaluation.evaluate_bundle import served_gallery
from croquis.evaluation.protocol import PAIRS, PROTOCOLS, JudgedGallery, Queries, open_gallery, open_queries
from croquis.evaluation.ranked_answers import QueryPath, answer
from croquis.evaluation.results import NO_RERANK, RunResult
from croquis.params import Params
from croquis.report_page.method_results import SPLIT, MethodResult, ResultsError, Way
from croquis.rerank.rerank_settings import RerankBlock
from croquis.rerank.reranker import needs_classifier
from croquis.search.composition import Composition
from croquis.search.gallery import BundleGallery
from croquis.search.query import Mode

MODES: dict[str, Mode] = {"encoder": "photo", "gan": "sketch", "direct": "sketch-direct"}


@dataclass(frozen=True)
class AnswerSheet:
    """What a method answers some queries with.

    Attributes:
        places: query id -> its place in the arrays.
        top: (queries, 10) rows of the gallery, best first; -1 past the end.
        before: (queries, 10) where those stood before the re-ranking, from 0; None without one.
    """

    places: Mapping[str, int]
    top: Rows
    before: Rows | None

    @classmethod
    def of(cls, run: RunResult) -> AnswerSheet:
        """The best answers of a run, which holds its queries in order."""
        return cls({name: place for place, name in enumerate(run.queries.image_ids.tolist())}, run.top, run.before)

    def rows(self, query: str, count: int) -> list[int]:
        """Gallery rows of the first `count` answers."""
        return [row for row in self.top[self.places[query], :count].tolist() if row >= 0]


class Questions:
    """The queries and the gallery of the reported split, opened once for all methods.

    Raises:
        ResultsError: when the catalogue is not there.
    """

    def __init__(self, root: Path, params: Params) -> None:
        if not (root / "data/catalog").is_dir():
            raise ResultsError(f"{root / 'data/catalog'} does not exist: run croquis repro (or dvc pull)")
        self.catalog = Catalog.open(root / "data/catalog")
        protocol, self._draft = PROTOCOLS[params.base.protocol], params.prepare.draft
        self.gallery: JudgedGallery = open_gallery(self.catalog, SPLIT, protocol, self._draft)
        self._sketches = Catalog.open_if_any(root / "data/sketches")
        self._evaluate = params.evaluate

    def queries(self, way: Way) -> Queries:
        """All queries of a way."""
        pair = next(each for each in PAIRS if each.name == way.pair)
        source = self._sketches if pair.query_domain == "sketch" and self._sketches else self.catalog
        return open_queries(source, SPLIT, pair, self._draft)

    def answered(
        self, method: MethodResult, way: Way, ids: Sequence[str], rerank: bool = False
    ) -> dict[str, AnswerSheet]:
        """By re-ranking, `none` among them: what the method answers the queries with; a query without a right answer in
        the gallery is left out.

        Args:
            rerank: whether each re-ranking that was measured is applied, too.
        """
        queries = self.queries(way)
        chosen = np.flatnonzero(np.isin(queries.image_ids.astype(str), list(ids)))
        retriever, depth = method.retriever, self._evaluate.depth
        searched = served_gallery(BundleGallery.of(retriever.bundle), self.gallery)
        path = QueryPath(way.path, Composition.of(retriever.nets, searched, MODES[way.path]))
        measured = {
            run["rerank"] for run in method.runs(rerank=None) if (run["pair"], run["path"]) == (way.pair, way.path)
        }
        reranks: dict[str, RerankBlock] = {
            name: replace(retriever.rerank, steps=steps)
            for name, steps in retriever.rerank.chains().items()
            if rerank and name in measured and (retriever.nets.has_classifier or not needs_classifier(steps))
        }
        runs = answer(
            way.pair, path, queries.take(chosen), self.gallery, depth=depth, chunk=self._evaluate.chunk, reranks=reranks
        )
        return {run.rerank: AnswerSheet.of(run) for run in runs}


def plain(sheets: Mapping[str, AnswerSheet]) -> AnswerSheet:
    """The lists as found."""
    return sheets[NO_RERANK]
