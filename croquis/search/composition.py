"""One search, from pictures to ranked lists. Library, server and evaluation make theirs here: what is measured is served."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from croquis.arrays import Rows, Uint8Image, Vectors
from croquis.catalog.filters import Filters
from croquis.index.ranking import RankedLists, drop_rows
from croquis.nets.colours import Rgb
from croquis.rerank.chain import Chain, Moves
from croquis.rerank.evidence import QueryEvidence
from croquis.rerank.rerank_settings import RerankBlock
from croquis.search.bundle_nets import Nets
from croquis.search.fusion import WordRanking
from croquis.search.gallery import Listed, ListedImages, SearchedGallery
from croquis.search.grouping import AnswerForm, centre, centres
from croquis.search.query import Mode


@dataclass(frozen=True)
class Reranked:
    """Lists in a new order.

    Attributes:
        chain: what ordered them; None where nothing was found.
        moves: how.
        ranked: (Q, k), with the scores of the first search.
    """

    chain: Chain | None
    moves: Moves
    ranked: RankedLists

    @classmethod
    def of(cls, listed: Listed, block: RerankBlock, asked: QueryEvidence, k: int) -> Reranked:
        """The best `k` after a re-ranking of what was found."""
        ranked = listed.ranked
        if not (ranked.rows >= 0).any():
            order = np.tile(np.arange(ranked.rows.shape[1], dtype=np.int64), (len(ranked.rows), 1))
            return cls(None, Moves(order, ranked.rows), ranked.cut(k))
        chain = listed.images.chain(block)
        moves = chain(asked, ranked)
        scores = np.take_along_axis(ranked.scores, moves.order, axis=1)
        return cls(chain, moves, RankedLists(moves.rows, scores).cut(k))

    def reasons(self, asked: QueryEvidence, top: int) -> list[list[tuple[str, ...]]]:
        """See `Chain.explain`."""
        if self.chain is None:
            return [[() for _ in rows[:top]] for rows in self.moves.rows]
        return self.chain.explain(asked, self.moves, top)


@dataclass(frozen=True)
class EncodedQueries:
    """Q queries before they are searched.

    Attributes:
        pictures: that were encoded: the queries, or the photo painted of each, of several the first.
        asked: what is known of them.
    """

    pictures: Sequence[Uint8Image]
    asked: QueryEvidence


@dataclass(frozen=True)
class Found:
    """What a search found for Q pictures.

    Attributes:
        pictures: that were encoded: the queries, or the photo painted of each, of several the first.
        asked: what is known of them.
        images: whom rows name.
        ranked: (Q, k) as found.
        reranked: the same after each re-ranking, by its name.
    """

    pictures: Sequence[Uint8Image]
    asked: QueryEvidence
    images: ListedImages
    ranked: RankedLists
    reranked: Mapping[str, Reranked]


def same_pictures(pictures: Sequence[Uint8Image]) -> Sequence[Uint8Image]:
    """For searches that look at the query as it is."""
    return pictures


def bare(_pictures: Sequence[Uint8Image], vectors: Vectors) -> QueryEvidence:
    """Nothing but the vectors is known of the queries."""
    return QueryEvidence(vectors)


def unwatched(_step: str) -> None:
    """Durations of steps are not recorded."""


@dataclass(frozen=True)
class Composition:
    """The steps of a search, in their order; those of a bundle by `of`.

    Attributes:
        paint: from the queries inside their crop boxes to the pictures that are looked at, `samples` of each query in a row.
        encode: from those to vectors (Q, D).
        find: from vectors, and the length of the lists, to the best images.
        ask: what re-rankers may know of the pictures.
        metric: of the vectors.
        samples: of several pictures of a query, as a generator paints them, the centre of their vectors is searched.
    """

    paint: Callable[[Sequence[Uint8Image]], Sequence[Uint8Image]]
    encode: Callable[[Sequence[Uint8Image]], Vectors]
    find: Callable[[Vectors, int], Listed]
    ask: Callable[[Sequence[Uint8Image], Vectors], QueryEvidence] = bare
    metric: str = "cosine"
    samples: int = 1

    @classmethod
    def of(
        cls,
        nets: Nets,
        gallery: SearchedGallery,
        mode: Mode,
        filters: Filters | None = None,
        colour: Rgb | None = None,
    ) -> Composition:
        """What a bundle's nets do with queries of a mode, among the images of a gallery that pass the filters; `colour` is
        what the generator paints in, None for none."""
        among = filters or Filters()
        paint = partial(nets.generate, colour=colour) if mode == "sketch" else same_pictures
        encode = {"sketch": nets.encode_painted, "sketch-direct": nets.encode_drawings}.get(mode, nets.encode)
        metric = nets.bundle.manifest.encoder.metric
        samples = nets.samples if mode == "sketch" else 1
        return cls(paint, encode, lambda vectors, k: gallery.search(vectors, k, among), nets.asked, metric, samples)

    def __call__(
        self,
        pictures: Sequence[Uint8Image],
        k: int,
        reranks: Mapping[str, RerankBlock] | None = None,
        own: Rows | None = None,
        lap: Callable[[str], None] = unwatched,
    ) -> Found:
        """Searches Q pictures, uint8 (H, W, 3) each, for the best `k` images.

        Args:
            reranks: each is applied to the list as found, which is as long as it needs.
            own: (Q, n) rows that are the query itself and no answer to it, -1 for none; None for none at all.
            lap: is told `encode` and `search` when they are done.
        """
        encoded = self.look(pictures)
        lap("encode")
        return self.rank(encoded, k, reranks, own, lap)

    def together(
        self,
        pictures: Iterable[Uint8Image],
        k: int,
        form: AnswerForm,
        reranks: Mapping[str, RerankBlock] | None = None,
        lap: Callable[[str], None] = unwatched,
        *,
        labelled: bool = False,
        words: WordRanking | None = None,
    ) -> Found:
        """Searches for what all of some pictures show, uint8 (H, W, 3) each, for the best `k` images or products: one list.

        Args:
            pictures: at least one. Of an iterator one is in memory at a time; one alone is looked at again when something
                asks what the classifier sees in it.
            reranks, lap: as of a call; a re-ranking comes before images become products. `lap` is also told `decode`.
            labelled: whether it will be asked what the classifier sees.
            words: whose ranking is fused with that of the pictures, before any re-ranking.
        """
        encoded = self._looked(pictures, labelled, lap)
        every = encoded.asked.vectors
        mean = every if len(every) == 1 else centre(every, self.metric)
        asked = encoded.asked.together(mean)
        vectors = mean if form.combine == "mean" else every
        wanted = reranks or {}
        head = max([0, *(block.longest for block in wanted.values())])

        def find(depth: int) -> Listed:
            return self.find(vectors, depth)

        listed = form.listed(find if words is None else words.beside(find), k, head)
        lap("search")
        whole, images = listed.ranked.rows.shape[1], listed.images
        made = {name: Reranked.of(listed, block, asked, whole) for name, block in wanted.items()}
        reranked = {name: replace(each, ranked=form.answer(each.ranked, images, k)) for name, each in made.items()}
        return Found(encoded.pictures, asked, images, form.answer(listed.ranked, images, k), reranked)

    def _looked(self, pictures: Iterable[Uint8Image], labelled: bool, lap: Callable[[str], None]) -> EncodedQueries:
        """The first half of a search; `pictures` of what comes back is the first one."""
        if isinstance(pictures, Sequence) and len(pictures) == 1:
            encoded = self.look(pictures)
            lap("encode")
            return encoded
        parts: list[EncodedQueries] = []
        for picture in pictures:
            lap("decode")
            looked_at = self.look([picture])
            kept = looked_at.asked.kept(labelled)
            parts.append(EncodedQueries([] if parts else looked_at.pictures, kept))
            lap("encode")
        return EncodedQueries(parts[0].pictures, QueryEvidence.joined([part.asked for part in parts]))

    def look(self, pictures: Sequence[Uint8Image]) -> EncodedQueries:
        """The first half of a search, picture by picture."""
        looked_at = self.paint(pictures)
        vectors, samples = self.encode(looked_at), self.samples
        asked = self.ask(looked_at, vectors)
        if samples > 1:
            asked = asked.in_groups(samples, centres(vectors, self.metric, samples))
        return EncodedQueries(looked_at[::samples], asked)

    def rank(
        self,
        encoded: EncodedQueries,
        k: int,
        reranks: Mapping[str, RerankBlock] | None = None,
        own: Rows | None = None,
        lap: Callable[[str], None] = unwatched,
    ) -> Found:
        """The other half, for as many queries at once as one likes."""
        wanted = reranks or {}
        depth = max([k, *(block.longest for block in wanted.values())])
        listed = nearest(self.find, encoded.asked.vectors, depth, own)
        lap("search")
        reranked = {name: Reranked.of(listed, block, encoded.asked, k) for name, block in wanted.items()}
        return Found(encoded.pictures, encoded.asked, listed.images, listed.ranked.cut(k), reranked)


def nearest(find: Callable[[Vectors, int], Listed], vectors: Vectors, k: int, own: Rows | None) -> Listed:
    """The best `k` without the rows `own`, for which more are asked for."""
    if own is None:
        return find(vectors, k)
    listed = find(vectors, k + own.shape[1])
    return Listed(drop_rows(listed.ranked, own).cut(k), listed.images)
