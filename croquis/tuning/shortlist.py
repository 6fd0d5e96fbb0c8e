"""The val queries' ranked lists, found once, so that a re-ranking costs milliseconds.

Lists, attributes and relevance are those of `croquis.evaluation.evaluate_bundle.evaluate_split` on the same bundle; a
trial therefore has the very value that the stage `evaluate` would report for its weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from croquis.arrays import Rows, Uint8Image, Vectors
from croquis.catalog.table import Catalog
from croquis.evaluation import metrics
from croquis.evaluation.evaluate_bundle import served_gallery
from croquis.evaluation.protocol import (
    INSTANCE,
    PAIRS,
    Protocol,
    Queries,
    label_codes,
    open_gallery,
    open_queries,
)
from croquis.evaluation.ranked_answers import QueryPath, answer
from croquis.index.ranking import RankedLists, relevance_of
from croquis.plugins import RERANKERS
from croquis.rerank.chain import make_step, resorted
from croquis.rerank.evidence import GalleryEvidence, QueryEvidence
from croquis.rerank.rerank_settings import GALLERY_ATTRIBUTES, RerankBlock
from croquis.rerank.reranker import needs_classifier, reranker
from croquis.rerank.weighing import totals
from croquis.search.composition import Composition, EncodedQueries, Found
from croquis.search.gallery import BundleGallery
from croquis.search.local_retriever import LocalRetriever
from croquis.tuning.task import TuneError

PerQuery = Callable[[metrics.Relevance, metrics.Counts], metrics.PerQuery]


@dataclass
class Recorder:
    """A search that keeps the lists that it finds, and what is known of the queries."""

    search: Composition
    classified: bool
    lists: list[RankedLists] = field(default_factory=list)
    vectors: list[Vectors] = field(default_factory=list)
    probabilities: list[npt.NDArray[np.float32]] = field(default_factory=list)

    def look(self, pictures: Sequence[Uint8Image]) -> EncodedQueries:
        """As the search's own; vectors and, where asked for, probabilities are kept."""
        encoded = self.search.look(pictures)
        self.vectors.append(encoded.asked.vectors)
        if self.classified:
            self.probabilities.append(encoded.asked.probabilities)
        return encoded

    def rank(
        self, encoded: EncodedQueries, k: int, reranks: Mapping[str, RerankBlock] | None, own: Rows | None
    ) -> Found:
        """As the search's own; the lists before any re-ranking are kept."""
        found = self.search.rank(encoded, k, reranks, own)
        self.lists.append(found.ranked)
        return found


@dataclass
class Shortlists:
    """Ranked lists of Q queries, k deep, with what re-ranking and metrics need.

    Attributes:
        ranked: (Q, k) gallery rows and scores.
        relevance: (Q, k) whether the result is right.
        n_relevant: (Q,) right answers in the whole gallery.
        queries: photos to search with.
        asked: what is known of the queries.
        known: what is known of the gallery, by the source of its attributes.
        normaliser: of the protocol's average precision.
        overlaps: (step, gallery source, overlap kind) -> (Q, k) of the lists as found, filled as they are asked for.
    """

    ranked: RankedLists
    relevance: metrics.Relevance
    n_relevant: metrics.Counts
    queries: Queries
    asked: QueryEvidence
    known: dict[str, GalleryEvidence]
    normaliser: metrics.Normaliser
    overlaps: dict[tuple[str, str, str], npt.NDArray[np.float64]] = field(default_factory=dict)

    @property
    def items(self) -> npt.NDArray[np.str_]:
        """(Q,) item of each query, for intervals."""
        return self.queries.item_ids.astype(str)

    def score(self, metric: str, block: RerankBlock) -> float:
        """Mean of `metric` over the queries, re-ranked as `block` says; as they are where it is not enabled."""
        return float(self.values(metric, block).mean())

    def values(self, metric: str, block: RerankBlock) -> metrics.PerQuery:
        """`metric` of each query, (Q,)."""
        relevance = self.relevance.copy()
        if block.enabled:
            order = self.order(block)
            width = order.shape[1]
            relevance[:, :width] = np.take_along_axis(self.relevance[:, :width], order, axis=1)
        return per_query(metric, self.normaliser)(relevance, self.n_relevant)

    def order(self, block: RerankBlock) -> Rows:
        """The old positions of the first `depth` results in their new order, (Q, width)."""
        head = self.ranked.cut(block.longest)
        order = np.tile(np.arange(head.rows.shape[1], dtype=np.int64), (len(head.rows), 1))
        for step in block.steps:
            if reranker(step).weighed:
                found = np.take_along_axis(self._overlaps(step, block)[:, : order.shape[1]], order, axis=1)
                scores = totals(block, found, head.scores)
            else:
                scores = make_step(step, block, self.known[block.gallery_attributes]).scores(self.asked, head)
            made, head = resorted(head, scores)
            order = np.take_along_axis(order, made, axis=1)
        return order

    def _overlaps(self, step: str, block: RerankBlock) -> npt.NDArray[np.float64]:
        key = (step, block.gallery_attributes, block.overlap)
        if key not in self.overlaps:
            made: Any = make_step(step, block, self.known[block.gallery_attributes])
            self.overlaps[key] = made.overlaps(self.asked, self.ranked.rows)
        return self.overlaps[key]


def collect(
    retriever: LocalRetriever,
    catalog: Catalog,
    sketches: Catalog | None,
    pair: str,
    split: str,
    depth: int,
    chunk: int,
    protocol: Protocol = INSTANCE,
    steps: Sequence[str] = RERANKERS.built_in,
) -> Shortlists:
    """Searches every query of a pair in a split, as the product would: sketches by way of the generator if there is one.

    Args:
        depth: length of the lists, `evaluate.depth`, or that of the protocol's average precision if it is longer.
        chunk: queries held at a time.
        protocol: what is right, and who is searched.
        steps: of the re-rankings that will be asked for.

    Raises:
        TuneError: when the bundle lacks the attribute classifier that a step needs, or the split has no such query.
        ProtocolError: when the split has no gallery, or the bundle lacks photos of it.
    """
    classified = retriever.nets.has_classifier
    if needs_classifier(steps) and not classified:
        raise TuneError(f"{retriever.bundle.folder} has no attribute classifier, so there is nothing to re-rank by")
    draft = retriever.nets.draft
    gallery = open_gallery(catalog, split, protocol, draft)
    searched = served_gallery(BundleGallery.of(retriever.bundle), gallery)
    asked = next(each for each in PAIRS if each.name == pair)
    queries = open_queries(sketches if asked.query_domain == "sketch" and sketches else catalog, split, asked, draft)
    mode = retriever.nets.mode_of(asked.query_domain)
    recorder = Recorder(Composition.of(retriever.nets, searched, mode), classified)
    runs = answer(pair, QueryPath(mode, recorder), queries, gallery, depth=depth, chunk=chunk, reranks={})
    if not runs:
        raise TuneError(
            f"split {split!r} of {catalog.folder} has no {pair} query with an answer; choose another --metric"
        )
    rows, scores = (np.concatenate([getattr(part, name) for part in recorder.lists]) for name in ("rows", "scores"))
    ranked = RankedLists(rows, scores).cut(max(depth, protocol.depth or 0))
    query_codes, gallery_codes = label_codes(runs[0].queries, gallery)
    relevance = relevance_of(ranked, query_codes, gallery_codes)
    known = {source: searched.evidence(source) for source in GALLERY_ATTRIBUTES}
    queries, n_relevant = runs[0].queries, runs[0].n_relevant
    return Shortlists(
        ranked, relevance, n_relevant, queries, remembered(retriever, recorder), known, protocol.normaliser
    )


def remembered(retriever: LocalRetriever, recorder: Recorder) -> QueryEvidence:
    """All queries in one."""
    vectors = np.concatenate(recorder.vectors)
    if not recorder.classified:
        return QueryEvidence(vectors)
    found = np.concatenate(recorder.probabilities)
    return QueryEvidence(vectors, lambda: found, retriever.nets.classifier.decide)


def per_query(metric: str, normaliser: metrics.Normaliser = "retrievable") -> PerQuery:
    """The metric of that name, e.g. `hit@1`, as a function of relevance and counts.

    Raises:
        TuneError: for `map@all`, which a shortlist cannot tell.
    """
    if metric == "map@all":
        raise TuneError("map@all needs lists of the whole gallery; choose --metric hit@1, precision@5 or mrr")
    return metrics.metric_called(metric, normaliser).per_query
