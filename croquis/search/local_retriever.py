"""The retriever: a bundle that answers photos, sketches and filters with ranked products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from croquis.arrays import Rows, Scores, Uint8Image, Vectors
from croquis.bundle import Bundle
from croquis.bundle.gallery_evidence import attribute_sets
from croquis.bundle.gallery_table import GalleryTable
from croquis.catalog.filters import Filters, QueryError, as_filters
from croquis.catalog.images import DEFAULT_LIMITS, DecodeLimits, crop
from croquis.index.vector_index import VectorIndex
from croquis.rerank.reranker import needs_classifier
from croquis.search.answer import Answer, Hit, Stopwatch
from croquis.search.bundle_nets import AT_A_TIME, Nets
from croquis.search.gallery import BundleGallery, Listed, SearchedGallery
from croquis.search.pictures import Picture, check_pictures, open_picture
from croquis.search.query import Mode, check_k, check_mode

__all__ = ["Answer", "Filters", "Hit", "LocalRetriever", "QueryError"]


class LocalRetriever:
    """The `croquis.Retriever` of a bundle; one instance may be used by several threads at once.

    Attributes:
        bundle: the verified folder.
        nets: encoder, generator and classifier, opened when first needed.
        gallery: what is searched, the bundle's own images unless another one is given.
        index: the bundle's own vectors.
        items: who they are.
    """

    def __init__(
        self, bundle: Bundle, limits: DecodeLimits = DEFAULT_LIMITS, gallery: SearchedGallery | None = None
    ) -> None:
        self.bundle = bundle
        self.nets = Nets(bundle)
        self.gallery = gallery or BundleGallery(bundle)
        self._limits = limits

    @classmethod
    def load(cls, path: str | Path, threads: int = 1) -> LocalRetriever:
        """Verifies the bundle in `path` and opens it.

        Args:
            path: a bundle folder.
            threads: threads of ONNX Runtime and FAISS for one query.

        Raises:
            BundleError: when a file is missing, changed or unexpected.
        """
        return cls(Bundle.load(path, threads))

    def over(self, gallery: SearchedGallery) -> LocalRetriever:
        """The same nets, searching other images."""
        return LocalRetriever(self.bundle, self._limits, gallery)

    def with_nets_of(self, bundle: Bundle) -> LocalRetriever:
        """The same bundle in another guise, searching what is searched here."""
        own = isinstance(self.gallery, BundleGallery)
        return LocalRetriever(bundle, self._limits, None if own else self.gallery)

    @property
    def index(self) -> VectorIndex:
        return self.bundle.index

    @property
    def items(self) -> GalleryTable:
        return self.bundle.items

    def search(
        self,
        picture: Picture,
        k: int = 10,
        mode: Mode = "photo",
        filters: Filters | Mapping[str, Any] | None = None,
        rerank: bool | None = None,
        bbox: Sequence[int] | None = None,
    ) -> list[Hit]:
        """The `k` best gallery images, fewer when fewer pass the filters.

        Args:
            picture: a path, the bytes of an image file, a Pillow image, or uint8 (H, W, 3) RGB.
            k: 1 to 1000.
            mode: `photo`; `sketch` (the generator paints a photo of it first); `sketch-direct` (no generator).
            filters: which gallery images may be found, e.g. `{"category": ["dress"]}`; the search among them is exact.
            rerank: re-order the head of the list by the bundle's `rerank.steps`; None for the bundle's own setting.
            bbox: x1, y1, x2, y2 of the garment in pixels of the upright picture.

        Raises:
            QueryError: naming the field, its value and what is allowed.
            ImageError: when the query is not a picture that we accept.
        """
        return self.answer(picture, k, mode, filters, rerank, bbox).hits

    def answer(
        self,
        picture: Picture,
        k: int = 10,
        mode: Mode = "photo",
        filters: Filters | Mapping[str, Any] | None = None,
        rerank: bool | None = None,
        bbox: Sequence[int] | None = None,
        *,
        describe: bool = False,
    ) -> Answer:
        """`search`, with what was looked at on the way and the time of each step; `describe` predicts the query's attributes
        also when it is not re-ranked, where there is a classifier."""
        check_k(k)
        check_mode(mode)
        reranked = self._wants_rerank(rerank)
        watch = Stopwatch()
        find = self.gallery.among(as_filters(filters))
        watch.lap("search")
        cropped = crop(open_picture(picture, self._limits), bbox)
        watch.lap("decode")
        encoded = self.generate([cropped])[0] if mode == "sketch" else cropped
        vectors = self.encode_photos([encoded])
        watch.lap("encode")
        depth = max(k, self.bundle.manifest.rerank.depth) if reranked else k
        listed = find(vectors, depth)
        watch.lap("search")
        scores, found = listed.ranked.scores, listed.ranked.rows
        asked = self.nets.asked([encoded], vectors)
        if reranked and (found >= 0).any():
            moves = listed.chain()(asked, listed.ranked)
            scores, found = np.take_along_axis(scores, moves.order, axis=1), moves.rows
        by_attributes = reranked and needs_classifier(self.bundle.manifest.rerank.steps)
        described = by_attributes or (describe and self.nets.has_classifier)
        attributes = asked.attributes[0] if described else None
        hits = _hits(listed, scores[0, :k], found[0, :k], attributes if by_attributes else None)
        watch.lap("rerank")
        return Answer(hits, encoded, attributes, watch.seconds)

    def similar(self, image_id: str, k: int = 10, filters: Filters | Mapping[str, Any] | None = None) -> list[Hit]:
        """The gallery images most like one of them, itself left out by its id.

        Raises:
            QueryError: on an unknown image, k or filter.
        """
        check_k(k)
        listed = self.gallery.among(as_filters(filters))(self.gallery.vector(image_id), k + 1)
        rows = listed.ranked.rows[0]
        there = rows >= 0
        ids = [record["image_id"] for record in listed.records(rows[there].tolist())]
        others = [place for place, name in enumerate(ids) if name != image_id][:k]
        return _hits(listed, listed.ranked.scores[0][others], rows[others])

    def embed(self, pictures: Sequence[Picture]) -> Vectors:
        """Vectors (n, D) float32 of n pictures, comparable with those of the index; (0, D) for none.

        Raises:
            QueryError: when `pictures` is a single picture.
            ImageError: when one is not a picture that we accept.
        """
        given = check_pictures(pictures)
        parts = [
            self.encode_photos([open_picture(picture, self._limits) for picture in given[start : start + AT_A_TIME]])
            for start in range(0, max(1, len(given)), AT_A_TIME)
        ]
        return np.concatenate(parts)

    def search_vectors(self, vectors: Vectors, k: int, rows: Rows | None = None) -> tuple[Scores, Rows]:
        """Scores and rows (Q, k) among the bundle's own images; equal scores in label-blind order, -inf and -1 last."""
        return self.index.search(vectors, k, rows, tiebreak=self.items.keys)

    def encode_photos(self, images: Sequence[Uint8Image]) -> Vectors:
        """Vectors (B, D) float32 of pictures of any size, uint8 (H, W, 3) each."""
        return self.nets.encode(images)

    def generate(self, sketches: Sequence[Uint8Image]) -> list[Uint8Image]:
        """What the generator paints for sketches of any size, dark lines on white.

        Raises:
            QueryError: when the bundle has no generator.
        """
        return self.nets.generate(sketches)

    def predict_attributes(self, images: Sequence[Uint8Image]) -> list[frozenset[str]]:
        """The attributes that the classifier sees in each picture.

        Raises:
            QueryError: when the bundle has no classifier.
        """
        return self.nets.classifier.decide(self.nets.probabilities(images))

    def gallery_attributes(self, source: Literal["predicted", "catalogue"] | None = None) -> list[list[str]]:
        """The attributes of each gallery row; None for the source that the bundle re-ranks with."""
        return attribute_sets(self.bundle, source or self.bundle.manifest.rerank.gallery_attributes)

    def warm_up(self) -> None:
        """Opens every net and answers one blank query in each way, so that the first real one is not slow."""
        blank = np.full((self.nets.size, self.nets.size, 3), 255, dtype=np.uint8)
        self.search(blank, k=1, mode="sketch" if self.nets.has_generator else "photo", rerank=self._can_rerank())

    def _can_rerank(self) -> bool:
        block = self.bundle.manifest.rerank
        if not needs_classifier(block.steps):
            return True
        return self.nets.has_classifier and (self.gallery.whole or block.overlap != "idf")

    def _wants_rerank(self, asked: bool | None) -> bool:
        if asked and not self._can_rerank():
            lacks = "an attribute classifier, which this bundle lacks"
            rare = "counts of each attribute (overlap idf), which a store does not keep"
            raise QueryError("rerank", asked, f"needs {rare if self.nets.has_classifier else lacks}")
        default = self.bundle.manifest.rerank.enabled and self._can_rerank()
        return default if asked is None else asked


def _hits(listed: Listed, scores: Scores, rows: Rows, attributes: frozenset[str] | None = None) -> list[Hit]:
    """Hits of one list; what they share with `attributes` is told where re-ranking looked at it."""
    found = rows[rows >= 0].tolist()
    held = None if attributes is None else listed.sets()
    shared = [() if held is None or attributes is None else tuple(sorted(attributes & held[row])) for row in found]
    return [
        Hit(
            rank=rank,
            image_id=record["image_id"],
            item_id=record["item_id"],
            category=record["category"],
            attributes=tuple(record["attributes"]),
            score=float(scores[rank - 1]),
            shared_attributes=shared[rank - 1],
        )
        for rank, record in enumerate(listed.records(found), start=1)
    ]
