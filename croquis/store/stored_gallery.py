"""A store's images as what a retriever searches: each query's list becomes a small gallery of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TypeVar

import numpy as np

from croquis.arrays import Rows, Vectors
from croquis.bundle import Bundle
from croquis.bundle.gallery_table import held_probabilities
from croquis.catalog.filters import Filters, QueryError
from croquis.index.exact import empty_result
from croquis.index.ranking import RankedLists
from croquis.rerank.chain import Chain
from croquis.rerank.evidence import GalleryEvidence, certain_gallery
from croquis.search.gallery import Find, Listed, Record, WordCounts
from croquis.store.vector_store import Match, StoredImage, StoreError, VectorStore

T = TypeVar("T")
COUNTS_SECONDS = 10.0  # a count of the words is as old as this before the next one begins
NOBODY = "no image has this id: readiness only asks whether the store answers"


class StoreGallery:
    """The images that a store holds at the moment of each search.

    A filter's value that no image has finds nothing: any word may come with the next product.

    Attributes:
        kept: the store.

    Raises:
        StoreError: when the store keeps vectors of another bundle.
    """

    whole = False

    def __init__(self, bundle: Bundle, kept: VectorStore) -> None:
        if kept.spec.bundle != bundle.hash:
            raise StoreError(
                f"{kept.name} keeps vectors of the bundle {kept.spec.bundle[:12]}, not of {bundle.hash[:12]}"
            )
        self.kept = kept
        self._bundle = bundle
        self._lock = threading.Lock()
        self._counts: WordCounts | None = None
        self._counted = 0.0

    @property
    def store(self) -> str | None:
        return self.kept.name

    def among(self, filters: Filters | None) -> Find:
        def find(vectors: Vectors, k: int) -> Listed:
            (matches,) = self.kept.search(vectors, k, filters)
            scores, rows = empty_result(1, k)
            scores[0, : len(matches)] = [match.score for match in matches]
            rows[0, : len(matches)] = np.arange(len(matches))
            images = [match.image for match in matches]
            return Listed(
                RankedLists(rows, scores),
                lambda: self._chain(matches),
                lambda chosen: [asdict(images[row]) for row in chosen],
                lambda: [frozenset(self._words(image)) for image in images],
            )

        return find

    def vector(self, image_id: str) -> Vectors:
        return self._known(image_id, self.kept.vectors)[None]

    def images_of(self, item_id: str) -> Sequence[Record]:
        images = sorted(self.kept.images_of([item_id]), key=lambda image: image.image_id)
        if not images:
            raise QueryError("item_id", item_id, f"is not among the items of the store {self.kept.name}")
        return [asdict(image) for image in images]

    def thumbnail(self, image_id: str) -> bytes:
        jpeg: bytes = self._known(image_id, self.kept.thumbnails)
        if not jpeg:
            raise QueryError("image_id", image_id, f"came into the store {self.kept.name} without a picture")
        return jpeg

    def counts(self) -> WordCounts:
        """The first call counts; later ones get the last count, and a new one begins when it is old."""
        with self._lock:
            if self._counts is None:
                self._count()
            elif time.monotonic() - self._counted > COUNTS_SECONDS:
                self._counted = time.monotonic()
                threading.Thread(target=self._count, daemon=True).start()
            assert self._counts is not None
            return self._counts

    def check(self) -> None:
        self.kept.get([NOBODY])

    def _count(self) -> None:
        words = self.kept.words()
        self._counts, self._counted = WordCounts(words["category"], words["attributes"]), time.monotonic()

    def _known(self, image_id: str, ask: Callable[[Sequence[str]], dict[str, T]]) -> T:
        found = ask([image_id])
        if image_id not in found:
            raise QueryError("image_id", image_id, f"is not among the images of the store {self.kept.name}")
        return found[image_id]

    def _words(self, image: StoredImage) -> tuple[str, ...]:
        """Those that the bundle re-ranks with."""
        return image.predicted if self._bundle.manifest.rerank.gallery_attributes == "predicted" else image.attributes

    def _chain(self, matches: Sequence[Match]) -> Chain:
        block, classifier = self._bundle.manifest.rerank, self._bundle.manifest.classifier
        stacked = np.stack([match.vector for match in matches])
        sets = [list(self._words(match.image)) for match in matches]

        def vectors(rows: Rows) -> Vectors:
            return stacked[rows]

        if classifier is None:
            return Chain(block.steps, block, GalleryEvidence(vectors))
        names, cells = classifier.attributes, [match.image.probabilities for match in matches]
        if block.gallery_attributes != "predicted":
            return Chain(block.steps, block, certain_gallery(vectors, names, sets))
        return Chain(
            block.steps,
            block,
            GalleryEvidence(vectors, names, lambda: sets, lambda: held_probabilities(sets, cells, names)),
        )
