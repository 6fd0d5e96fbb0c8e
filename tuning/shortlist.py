"""The val queries' ranked lists, found once, so that a re-ranking costs milliseconds.

Lists, attributes and relevance are those of `retrieval.evaluation.evaluate_split` on the same bundle; a trial therefore
has the very value that the stage `evaluate` would report for its weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from retrieval import metrics
from retrieval.answering import QueryPath, Vectors, answer, same_pictures
from retrieval.catalog import Catalog
from retrieval.images import Uint8Image
from retrieval.protocol import INSTANCE, PAIRS, Gallery, Protocol, open_gallery, open_queries
from retrieval.ranking import NO_ROW, RankedLists, relevance_of
from retrieval.relevance import label_codes
from retrieval.rerank import AttributeReranker, total_scores
from retrieval.retriever import Retriever
from retrieval.vector_index import VectorIndex
from tuning.task import TuneError

GallerySource = Literal["predicted", "catalogue"]
SOURCES: tuple[GallerySource, ...] = ("predicted", "catalogue")
PerQuery = Callable[[metrics.Relevance, metrics.Counts], metrics.PerQuery]


@dataclass
class Recorder:
    """A re-ranker that changes nothing and keeps the first `depth` results that it is shown."""

    retriever: Retriever
    depth: int
    rows: list[npt.NDArray[np.int64]]
    attributes: list[frozenset[str]]

    def __call__(self, pictures: Sequence[Uint8Image], ranked: RankedLists) -> RankedLists:
        self.rows.append(ranked.rows[:, : self.depth])
        self.attributes += self.retriever.predict_attributes(pictures)
        return ranked


@dataclass
class Shortlists:
    """Ranked lists of Q queries, k deep, with what re-ranking and metrics need.

    Attributes:
        rows: (Q, k) gallery rows, -1 where a list has ended.
        relevance: (Q, k) whether the result is right.
        n_relevant: (Q,) right answers in the whole gallery.
        normaliser: of the protocol's average precision.
        overlaps: (gallery source, overlap kind) -> (Q, k) shared attributes, filled as they are asked for.
    """

    rows: npt.NDArray[np.int64]
    relevance: metrics.Relevance
    n_relevant: metrics.Counts
    query_attributes: list[frozenset[str]]
    gallery_attributes: dict[GallerySource, list[list[str]]]
    normaliser: metrics.Normaliser
    overlaps: dict[tuple[str, str], npt.NDArray[np.float64]]

    def score(
        self, metric: str, *, alpha: float, beta: float, depth: int, overlap: str, source: GallerySource
    ) -> float:
        """Mean of `metric` over the queries, re-ranked with these settings; as they are when beta is 0."""
        width = min(depth, self.rows.shape[1])
        found = self._overlaps(source, overlap)[:, :width]
        totals = np.where(self.rows[:, :width] == NO_ROW, -np.inf, total_scores(found, alpha, beta))
        order = np.argsort(-totals, axis=1, kind="stable")
        relevance = self.relevance.copy()
        relevance[:, :width] = np.take_along_axis(self.relevance[:, :width], order, axis=1)
        return float(per_query(metric, self.normaliser)(relevance, self.n_relevant).mean())

    def _overlaps(self, source: GallerySource, kind: str) -> npt.NDArray[np.float64]:
        """Shared attributes of the whole lists; with beta = 0 a re-ranker tells them in the lists' own order."""
        if (source, kind) not in self.overlaps:
            reranker = AttributeReranker(
                self.gallery_attributes[source], depth=max(2, self.rows.shape[1]), alpha=1.0, beta=0.0, overlap=kind
            )
            self.overlaps[source, kind] = reranker.rerank(self.rows, self.query_attributes).overlap
        return self.overlaps[source, kind]


def collect(
    retriever: Retriever,
    catalog: Catalog,
    sketches: Catalog | None,
    pair: str,
    split: str,
    depth: int,
    chunk: int,
    protocol: Protocol = INSTANCE,
) -> Shortlists:
    """Searches every query of a pair in a split, as the product would: sketches by way of the generator if there is one.

    Args:
        depth: length of the lists, `evaluate.depth`, or that of the protocol's average precision if it is longer.
        chunk: queries held at a time.
        protocol: what is right, and who is searched.

    Raises:
        TuneError: when the bundle has no attribute classifier, lacks gallery photos, or the split no such query.
    """
    if not retriever.nets.has_classifier:
        raise TuneError(f"{retriever.bundle.folder} has no attribute classifier, so there is nothing to re-rank by")
    gallery = open_gallery(catalog, split, protocol)
    places = gallery_places(retriever, gallery)
    index = retriever.index.subset(places)
    index.threads = retriever.index.threads
    asked = next(each for each in PAIRS if each.name == pair)
    queries = open_queries(sketches if asked.query_domain == "sketch" and sketches else catalog, split, asked)
    recorder = Recorder(retriever, max(depth, protocol.depth or 0), [], [])
    path = query_path(asked.query_domain, retriever, index, gallery)
    runs = answer(pair, path, queries, gallery, depth=depth, chunk=chunk, reorders={"record": recorder})
    if not runs:
        raise TuneError(
            f"split {split!r} of {catalog.folder} has no {pair} query with an answer; choose another --metric"
        )
    rows = np.concatenate(recorder.rows)
    query_codes, gallery_codes = label_codes(runs[0].queries, gallery)
    relevance = relevance_of(RankedLists(rows, np.zeros(rows.shape, np.float32)), query_codes, gallery_codes)
    attributes = {source: _take(retriever.gallery_attributes(source), places) for source in SOURCES}
    n_relevant = runs[0].n_relevant
    return Shortlists(rows, relevance, n_relevant, recorder.attributes, attributes, protocol.normaliser, {})


def query_path(domain: str, retriever: Retriever, index: VectorIndex, gallery: Gallery) -> QueryPath:
    """What happens to a user's query of this domain."""

    def search(vectors: Vectors, depth: int) -> RankedLists:
        scores, rows = index.search(vectors, depth, tiebreak=gallery.keys)
        return RankedLists(rows, scores)

    if domain != "sketch":
        return QueryPath("encoder", same_pictures, retriever.encode_photos, search)
    painted = retriever.nets.has_generator
    return QueryPath(
        "gan" if painted else "direct",
        retriever.generate if painted else same_pictures,
        retriever.encode_photos,
        search,
    )


def per_query(metric: str, normaliser: metrics.Normaliser = "retrievable") -> PerQuery:
    """The metric of that name, e.g. `hit@1`, as a function of relevance and counts.

    Raises:
        TuneError: for `map@all`, which a shortlist cannot tell.
    """
    if metric.startswith("hit@"):
        return lambda relevance, _: metrics.hit_at_k(relevance, int(metric.removeprefix("hit@")))
    if metric == "map@all":
        raise TuneError("map@all needs lists of the whole gallery; choose --metric hit@1, precision@5 or mrr")
    if metric.startswith("map@"):
        return lambda relevance, counts: metrics.named_average_precision(metric, relevance, counts, normaliser)
    known: dict[str, PerQuery] = {
        "precision@5": lambda relevance, _: metrics.precision_at_k(relevance, 5),
        "mrr": lambda relevance, _: metrics.reciprocal_rank(relevance),
    }
    return known[metric]


def gallery_places(retriever: Retriever, gallery: Gallery) -> npt.NDArray[np.int64]:
    """The bundle's rows of the gallery's photos."""
    known = {image_id: row for row, image_id in enumerate(retriever.items.image_ids)}
    missing = [image_id for image_id in gallery.image_ids if image_id not in known]
    if missing:
        raise TuneError(
            f"{retriever.bundle.folder} lacks {len(missing)} gallery photos, first {missing[0]!r}: it was built on another "
            "catalogue; run `dvc repro index`"
        )
    return np.array([known[image_id] for image_id in gallery.image_ids], dtype=np.int64)


def _take(values: list[list[str]], rows: npt.NDArray[np.int64]) -> list[list[str]]:
    return [values[row] for row in rows.tolist()]
