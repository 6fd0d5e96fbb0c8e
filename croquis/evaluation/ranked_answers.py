"""Answers queries block by block and keeps what the metrics need: never a query x gallery matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol, TypeVar

import numpy as np

from croquis.arrays import Rows, Uint8Image
from croquis.catalog.prepared_photos import PreparedPhotos
from croquis.evaluation.metrics import PerQuery, first_hit_rank, metric_table
from croquis.evaluation.protocol import JudgedGallery, Queries, count_relevant, label_codes, own_rows
from croquis.evaluation.protocol import Protocol as EvaluationProtocol
from croquis.evaluation.results import NO_RERANK, RunResult
from croquis.index.ranking import NO_ROW, RankedLists, relevance_of
from croquis.rerank.evidence import QueryEvidence
from croquis.rerank.rerank_settings import RerankBlock
from croquis.rerank.reranker import needs_classifier
from croquis.search.composition import EncodedQueries, Found, Reranked

T = TypeVar("T")

PICTURED = 10
BLOCK = 2048  # queries searched at a time: FAISS and BLAS need a third of the time that they take for 64
CELLS = 1 << 22  # results held at a time, whatever the length of the lists: some 200 MB with what is made of them


class Search(Protocol):
    """A `Composition`, or what stands for it; rows are counted in the gallery's order, equal scores ordered by its keys.

    `look` gives what Q pictures, uint8 (H, W, 3), are to the search: vectors, and what the classifier sees when it is
    asked. `rank` gives the best `k` rows for each of them, (Q, k), in each order of `reranks`; `own`, (Q, n) with -1 where
    a query has fewer, are rows that are the query itself and are left out.
    """

    def look(self, pictures: Sequence[Uint8Image]) -> EncodedQueries: ...

    def rank(
        self, encoded: EncodedQueries, k: int, reranks: Mapping[str, RerankBlock] | None, own: Rows | None
    ) -> Found: ...


@dataclass(frozen=True)
class QueryPath:
    """One way of answering queries.

    Attributes:
        name: `encoder`, `gan`, `direct`, `edges`, or `encoder-` and the comparison of codes that the bundle does not use.
        search: among the gallery's photos.
    """

    name: str
    search: Search


@dataclass(frozen=True)
class RelevanceJudge:
    """The right answers of a set of queries under a protocol: codes of items or categories, the rows that are the query
    itself, and counts."""

    query_codes: Rows
    gallery_codes: Rows
    own: Rows
    n_relevant: Rows
    protocol: EvaluationProtocol

    @classmethod
    def of(cls, queries: Queries, gallery: JudgedGallery) -> RelevanceJudge:
        """The judge of some queries on a gallery, under the gallery's protocol."""
        query_codes, gallery_codes = label_codes(queries, gallery)
        own = own_rows(queries, gallery)
        n_relevant = count_relevant(query_codes, gallery_codes, own)
        return cls(query_codes, gallery_codes, own, n_relevant, gallery.protocol)

    def take(self, chosen: Rows) -> RelevanceJudge:
        """The same gallery, some of the queries."""
        queries = (self.query_codes[chosen], self.gallery_codes, self.own[chosen], self.n_relevant[chosen])
        return RelevanceJudge(*queries, self.protocol)

    @property
    def gallery_sizes(self) -> Rows:
        """Candidates per query: the gallery without the query itself; (queries,)."""
        return np.asarray(len(self.gallery_codes) - (self.own != NO_ROW).sum(axis=1), dtype=np.int64)


@dataclass
class MetricAccumulator:
    """Metrics, first ranks and the pictured head, gathered chunk by chunk."""

    metrics: dict[str, list[PerQuery]] = field(default_factory=dict)
    ranks: list[Rows] = field(default_factory=list)
    top: list[Rows] = field(default_factory=list)
    before: list[Rows] = field(default_factory=list)
    reasons: list[list[tuple[str, ...]]] = field(default_factory=list)

    def add(self, ranked: RankedLists, judge: RelevanceJudge, chunk: slice) -> None:
        """Adds the results of a chunk.

        Args:
            ranked: its lists, (queries of the chunk, depth).
            judge: of all queries.
            chunk: which of them these are.
        """
        relevance = relevance_of(ranked, judge.query_codes[chunk], judge.gallery_codes)
        found = metric_table(relevance, judge.n_relevant[chunk], judge.protocol.metrics)
        for name, values in found.items():
            self.metrics.setdefault(name, []).append(values)
        self.ranks.append(first_hit_rank(relevance))
        self.top.append(pictured(ranked.rows))

    def add_reranked(self, asked: QueryEvidence, found: Reranked, judge: RelevanceJudge, chunk: slice) -> None:
        """`add` of lists in their new order, with what moved."""
        self.add(found.ranked, judge, chunk)
        self.before.append(pictured(found.moves.order))
        self.reasons += found.reasons(asked, PICTURED)


def pictured(rows: Rows) -> Rows:
    """The head of each list, (queries, PICTURED); -1 past its end."""
    missing = max(0, PICTURED - rows.shape[1])
    return np.pad(rows[:, :PICTURED], ((0, 0), (0, missing)), constant_values=NO_ROW)


def answer(
    pair: str,
    path: QueryPath,
    queries: Queries,
    gallery: JudgedGallery,
    *,
    depth: int,
    chunk: int,
    reranks: Mapping[str, RerankBlock],
    photos: PreparedPhotos | None = None,
) -> list[RunResult]:
    """Searches every query that has a right answer, and measures the lists as found and after each of `reranks`.

    Args:
        depth: length of the lists where items count, at least every reported k; where categories do, the protocol says
            how long they are.
        chunk: pictures held at a time.
        reranks: name -> re-ranking; each is measured on its own, beside the run without one.
        photos: the squares that the nets see of the queries' catalogue, where they are kept; else its files are decoded.

    Returns:
        One result for the plain lists and one for each re-ranker; none when no query has a right answer.
    """
    everyone = RelevanceJudge.of(queries, gallery)
    matched = np.flatnonzero(everyone.n_relevant > 0)
    if len(matched) == 0:
        return []
    kept, judge = queries.take(matched), everyone.take(matched)
    depth = gallery.protocol.list_depth(depth, len(gallery))
    tallies = {name: MetricAccumulator() for name in (NO_RERANK, *reranks)}
    labelled = any(needs_classifier(block.steps) for block in reranks.values())
    start = 0
    pictures = kept.images() if photos is None else (photos.take(row)[0] for row in kept.rows[:, None])
    for encoded in _blocks(path.search, pictures, chunk, queries_at_a_time(BLOCK, depth), labelled):
        part = slice(start, start + len(encoded.asked.vectors))
        found = path.search.rank(encoded, min(depth, len(gallery)), reranks, judge.own[part])
        tallies[NO_RERANK].add(found.ranked, judge, part)
        for name, reranked in found.reranked.items():
            tallies[name].add_reranked(found.asked, reranked, judge, part)
        start = part.stop
    unmatched = len(queries) - len(kept)
    return [_result(pair, path.name, name, kept, unmatched, judge, tally) for name, tally in tallies.items()]


def _blocks(
    search: Search, images: Iterable[Uint8Image], chunk: int, size: int, labelled: bool
) -> Iterator[EncodedQueries]:
    """Queries to be searched `size` at a time, of whose pictures `chunk` are held at a time.

    Args:
        labelled: whether re-rankers ask for what the classifier sees.
    """
    parts = (search.look(pictures).asked.kept(labelled) for pictures in batches(images, min(chunk, size)))
    for block in batches(parts, max(1, size // chunk)):
        yield EncodedQueries((), QueryEvidence.joined(block))


def batches(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of at most `size` values, in order."""
    source = iter(values)
    while batch := list(islice(source, size)):
        yield batch


def in_gallery_order(
    gallery: JudgedGallery, describe: Callable[[Sequence[Uint8Image]], Iterable[T]], chunk: int
) -> list[T]:
    """What `describe` says of each photo of the gallery, in its order; photos are read in the catalogue's order."""
    order = np.argsort(gallery.rows, kind="stable")
    said = [value for images in batches(gallery.images(order), chunk) for value in describe(images)]
    return [said[place] for place in np.argsort(order).tolist()]


def queries_at_a_time(chunk: int, depth: int) -> int:
    """At most `chunk`, and fewer where lists are so long that more would not fit in memory."""
    return max(1, min(chunk, CELLS // max(depth, 1)))


def _result(
    pair: str, path: str, rerank: str, queries: Queries, unmatched: int, judge: RelevanceJudge, tally: MetricAccumulator
) -> RunResult:
    return RunResult(
        pair=pair,
        path=path,
        rerank=rerank,
        queries=queries,
        unmatched=unmatched,
        n_relevant=judge.n_relevant,
        gallery_sizes=judge.gallery_sizes,
        ranks=np.concatenate(tally.ranks),
        metrics={name: np.concatenate(parts) for name, parts in tally.metrics.items()},
        top=np.concatenate(tally.top),
        before=np.concatenate(tally.before) if tally.before else None,
        reasons=tally.reasons,
    )
