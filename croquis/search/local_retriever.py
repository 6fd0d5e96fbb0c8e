"""The retriever: nets and a gallery that answer photos, sketches and filters with ranked products."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from croquis.arrays import Uint8Image, Vectors
from croquis.bundle import Bundle
from croquis.catalog.filters import Filters, QueryError, as_filters
from croquis.index.ranking import RankedLists
from croquis.rerank.rerank_settings import RerankBlock
from croquis.rerank.reranker import needed, needs_classifier
from croquis.search.answer import Answer, Hit, Stopwatch
from croquis.search.bundle_nets import AT_A_TIME, Nets
from croquis.search.composition import Composition
from croquis.search.fusion import WordRanking
from croquis.search.gallery import BundleGallery, Listed, ListedImages, SearchedGallery
from croquis.search.grouping import AnswerForm, without
from croquis.search.pictures import Picture, check_pictures, open_picture, query_pictures
from croquis.search.query import Combine, GroupBy, Mode, check_colour, check_k, check_mode, check_without_picture
from croquis.words.word_query import check_query

__all__ = ["Answer", "Filters", "Hit", "LocalRetriever", "QueryError"]

IMAGES = AnswerForm()
SERVED = "served"  # the name of the re-ranking that requests get


class LocalRetriever:
    """The `croquis.Retriever` in this process; one instance may be used by several threads at once.

    Args:
        nets: a bundle's encoder, text tower, generator and classifier.
        gallery: what is searched.
        rerank: how, and whether by default.
    """

    def __init__(self, nets: Nets, gallery: SearchedGallery, rerank: RerankBlock) -> None:
        self.nets = nets
        self.gallery = gallery
        self.rerank = rerank

    @classmethod
    def of(cls, bundle: Bundle) -> LocalRetriever:
        """A bundle's nets over the images that it was built with."""
        return cls(Nets(bundle), BundleGallery.of(bundle), bundle.manifest.rerank)

    @classmethod
    def load(cls, path: str | Path, threads: int = 1) -> LocalRetriever:
        """Verifies the bundle in `path` and opens it.

        Args:
            path: a bundle folder.
            threads: threads of ONNX Runtime and FAISS for one query.

        Raises:
            BundleError: when a file is missing, changed or unexpected.
        """
        return cls.of(Bundle.load(path, threads))

    @property
    def bundle(self) -> Bundle:
        """The verified folder that the nets come from."""
        return self.nets.bundle

    def search(
        self,
        picture: Picture | Sequence[Picture] | None = None,
        k: int = 10,
        mode: Mode = "photo",
        filters: Filters | Mapping[str, Any] | None = None,
        rerank: bool | None = None,
        bbox: Sequence[int] | None = None,
        *,
        group_by: GroupBy = "none",
        max_per_item: int = 1,
        combine: Combine = "max",
        text: str | None = None,
        colour: str | None = None,
    ) -> list[Hit]:
        """See `Searches.search`; `k` is 1 to 1000, and the search among the images that pass the filters is exact."""
        form = AnswerForm(group_by, max_per_item, combine)
        return self.answer(picture, k, mode, filters, rerank, bbox, form=form, text=text, colour=colour).hits

    def answer(
        self,
        picture: Picture | Iterable[Picture] | None = None,
        k: int = 10,
        mode: Mode = "photo",
        filters: Filters | Mapping[str, Any] | None = None,
        rerank: bool | None = None,
        bbox: Sequence[int] | None = None,
        *,
        form: AnswerForm = IMAGES,
        describe: bool = False,
        text: str | None = None,
        colour: str | None = None,
    ) -> Answer:
        """`search`, with what was looked at on the way and the time of each step; `describe` predicts the query's attributes
        also when it is not re-ranked, where there is a classifier. An iterator of pictures is asked for one at a time."""
        check_k(k)
        check_mode(mode)
        check_colour(colour, mode)
        painted = None if colour is None else self.nets.read_colour(colour)
        words = self._words(text)
        if picture is None:
            check_without_picture(text, mode, rerank, bbox)
        reranked = picture is not None and self._wants_rerank(rerank)
        watch = Stopwatch()
        among = as_filters(filters)
        if not among.empty:
            self.gallery.check(among)
        ranking = None if words is None else self._by_text(words, among)
        watch.lap("search")
        if picture is None:
            return self._by_words(needed(ranking), k, form, watch)
        cropped = query_pictures(picture, bbox, self.nets.draft)
        watch.lap("decode")
        by_attributes = reranked and needs_classifier(self.rerank.steps)
        described = by_attributes or (describe and self.nets.has_classifier)
        search = Composition.of(self.nets, self.gallery, mode, among, painted)
        reranks = {SERVED: self.rerank} if reranked else None
        found = search.together(cropped, k, form, reranks, watch.lap, labelled=described, words=ranking)
        attributes = found.asked.attributes[0] if described else None
        ranked = found.reranked[SERVED].ranked if reranked else found.ranked
        hits = self._hits(found.images, ranked, attributes or frozenset())
        watch.lap("rerank")
        return Answer(hits, found.pictures[0], attributes, watch.seconds)

    def _by_words(self, ranking: WordRanking, k: int, form: AnswerForm, watch: Stopwatch) -> Answer:
        watch.lap("decode")
        watch.lap("encode")
        listed = form.listed(ranking.alone(), k)
        watch.lap("search")
        hits = self._hits(listed.images, form.answer(listed.ranked, listed.images, k), frozenset())
        watch.lap("rerank")
        return Answer(hits, None, None, watch.seconds)

    def _by_text(self, text: str, among: Filters) -> WordRanking:
        words = self.gallery.words

        def find(depth: int) -> Listed:
            return self.gallery.search_words(text, depth, among)

        def by_tower(depth: int) -> Listed:
            return self.gallery.search(self.nets.encode_words(text), depth, among)

        used = self.nets.has_text_tower and words.tower_weight > 0
        return WordRanking(find, words.weight, by_tower if used else None, words.tower_weight)

    def _words(self, text: str | None) -> str | None:
        if text is not None:
            check_query(text)
            self.gallery.check_words(text)
        return text

    def similar(
        self,
        image_id: str,
        k: int = 10,
        filters: Filters | Mapping[str, Any] | None = None,
        *,
        item_id: str | None = None,
        group_by: GroupBy = "none",
        max_per_item: int = 1,
    ) -> list[Hit]:
        """The gallery images most like one of them, or their products.

        Args:
            image_id: of the image, which is left out.
            item_id: of its product, all of which is left out then.
            group_by, max_per_item: as in `Searches.search`.

        Raises:
            QueryError: on an unknown image, k, filter or form of the answer.
        """
        check_k(k)
        form, among = AnswerForm(group_by, max_per_item), as_filters(filters)
        vector = self.gallery.vector(image_id)
        own = 1 if item_id is None or group_by == "item" else len(self.gallery.images_of(item_id))
        listed = form.listed(lambda depth: self.gallery.search(vector, depth, among), k + own)
        others = without(listed, image_id, item_id)
        return self._hits(listed.images, form.answer(others, listed.images, k), frozenset())

    def embed(self, pictures: Sequence[Picture]) -> Vectors:
        """See `Searches.embed`; (0, D) for no picture."""
        given = check_pictures(pictures)
        parts = [
            self.encode_photos(
                [open_picture(picture, draft=self.nets.draft) for picture in given[start : start + AT_A_TIME]]
            )
            for start in range(0, max(1, len(given)), AT_A_TIME)
        ]
        return np.concatenate(parts)

    def encode_photos(self, images: Sequence[Uint8Image]) -> Vectors:
        """Vectors (B, D) float32 of pictures of any size, uint8 (H, W, 3) each."""
        return self.nets.encode(images)

    def warm_up(self) -> None:
        """Opens every net and answers one blank query in each way, so that the first real one is not slow."""
        blank = np.full((self.nets.size, self.nets.size, 3), 255, dtype=np.uint8)
        self.search(blank, k=1, mode="sketch" if self.nets.has_generator else "photo", rerank=self._can_rerank())
        if self.nets.has_text_tower:
            self.nets.encode_words("")

    def _can_rerank(self) -> bool:
        return self.nets.has_classifier or not needs_classifier(self.rerank.steps)

    def _wants_rerank(self, asked: bool | None) -> bool:
        if asked and not self._can_rerank():
            raise QueryError("rerank", asked, "needs an attribute classifier, which this bundle lacks")
        default = self.rerank.enabled and self._can_rerank()
        return default if asked is None else asked

    def _hits(self, images: ListedImages, ranked: RankedLists, seen: frozenset[str]) -> list[Hit]:
        """Hits of one list; `seen` in the query are the attributes that a result may share."""
        rows = ranked.rows[0]
        found = zip(images.records(rows[rows >= 0].tolist()), ranked.scores[0].tolist(), strict=False)
        return [
            Hit(
                rank=rank,
                image_id=record["image_id"],
                item_id=record["item_id"],
                category=record["category"],
                attributes=tuple(record["attributes"]),
                score=score,
                shared_attributes=tuple([name for name in record["attributes"] if name in seen] if seen else ()),
                product=record["product"],
            )
            for rank, (record, score) in enumerate(found, start=1)
        ]
