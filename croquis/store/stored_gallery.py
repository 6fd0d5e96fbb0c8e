"""A store's images as what a retriever searches: each query's list becomes a small gallery of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TypeVar

import numpy as np

from croquis.arrays import Keys, Rows, Vectors
from croquis.bundle import Bundle
from croquis.bundle.gallery_table import held_probabilities
from croquis.catalog.filters import Filters, QueryError
from croquis.index.exact import empty_result
from croquis.index.ranking import RankedLists, label_blind_keys, one_list
from croquis.rerank.chain import Chain
from croquis.rerank.evidence import GalleryEvidence, certain_gallery
from croquis.rerank.overlap import AttributeCounts
from croquis.rerank.rerank_settings import RerankBlock
from croquis.search.gallery import Listed, Record, WordCounts
from croquis.store.vector_store import Match, StoredImage, StoreError, VectorStore, WordedStore

T = TypeVar("T")
WORDED = "bundles and the stores of Croquis answer words"
NOBODY = "no image has this id: readiness only asks whether the store answers"


class StoreGallery:
    """The images that a store holds at the moment of each search.

    A filter's value that no image has finds nothing: any word may come with the next product.

    Attributes:
        kept: the store.

    Raises:
        StoreError: when the store keeps vectors of another bundle.
    """

    def __init__(self, bundle: Bundle, kept: VectorStore) -> None:
        if kept.spec.bundle != bundle.hash:
            raise StoreError(
                f"{kept.name} keeps vectors of the bundle {kept.spec.bundle[:12]}, not of {bundle.hash[:12]}"
            )
        self.kept = kept
        self._names = bundle.manifest.attributes
        self.words = bundle.manifest.word_settings

    @property
    def store(self) -> str | None:
        """Name of the store's version."""
        return self.kept.name

    def check(self, filters: Filters) -> None:
        """Any word may be asked for."""

    def search(self, vectors: Vectors, k: int, filters: Filters) -> Listed:
        found = self.kept.search(vectors, k, filters)
        distinct = {match.image.image_id: match for matches in found for match in matches}
        place = {image_id: row for row, image_id in enumerate(distinct)}
        scores, rows = empty_result(len(vectors), k)
        for query, matches in enumerate(found):
            scores[query, : len(matches)] = [match.score for match in matches]
            rows[query, : len(matches)] = [place[match.image.image_id] for match in matches]
        return Listed(RankedLists(rows, scores), StoreMatches(self.kept, list(distinct.values()), self._names))

    def check_words(self, text: str) -> None:
        self._worded(text)

    def search_words(self, text: str, k: int, filters: Filters) -> Listed:
        found = self._worded(text).search_words(text, k, filters, self._names or ())
        scores = np.array([match.score for match in found], dtype=np.float32)
        return Listed(one_list(np.arange(len(found)), scores).cut(k), StoreMatches(self.kept, found, self._names))

    def _worded(self, text: str) -> WordedStore:
        if not isinstance(self.kept, WordedStore):
            raise QueryError("text", text, f"cannot be searched: the store {self.kept.name} has no full text; {WORDED}")
        return self.kept

    def vector(self, image_id: str) -> Vectors:
        return self._known(image_id, self.kept.vectors)[None]

    def images_of(self, item_id: str) -> Sequence[Record]:
        images = self.kept.images_of([item_id])
        if not images:
            raise QueryError("item_id", item_id, f"is not among the items of the store {self.kept.name}")
        return [_record(image) for image in images]

    def thumbnail(self, image_id: str) -> bytes:
        jpeg: bytes = self._known(image_id, self.kept.thumbnails)
        if not jpeg:
            raise QueryError("image_id", image_id, f"came into the store {self.kept.name} without a picture")
        return jpeg

    def counts(self) -> WordCounts:
        words = self.kept.words()
        return WordCounts(words.category, words.attributes)

    def ping(self) -> None:
        self.kept.get([NOBODY])

    def _known(self, image_id: str, ask: Callable[[Sequence[str]], dict[str, T]]) -> T:
        found = ask([image_id])
        if image_id not in found:
            raise QueryError("image_id", image_id, f"is not among the images of the store {self.kept.name}")
        return found[image_id]


class StoreMatches:
    """What one search found, each image once: row n is match n.

    Args:
        kept: the store, which knows what is rare in it.
        names: attributes of the bundle's classifier; None without one.
    """

    def __init__(self, kept: VectorStore, matches: Sequence[Match], names: tuple[str, ...] | None) -> None:
        self._kept = kept
        self._matches = matches
        self._names = names

    def records(self, rows: Sequence[int]) -> Sequence[Record]:
        return [_record(self._matches[row].image) for row in rows]

    def products(self, rows: Rows) -> Rows:
        ids = [self._matches[row].image.item_id for row in rows.tolist()]
        numbers = {item_id: number for number, item_id in enumerate(dict.fromkeys(ids))}
        return np.array([numbers[item_id] for item_id in ids], dtype=np.int64)

    def with_others(self, others: StoreMatches, rows: Rows) -> tuple[StoreMatches, Rows]:
        known = {match.image.image_id: place for place, match in enumerate(self._matches)}
        asked = [others._matches[row] for row in rows.tolist()]
        new = [match for match in asked if match.image.image_id not in known]
        known |= {match.image.image_id: place for place, match in enumerate(new, start=len(known))}
        both = StoreMatches(self._kept, [*self._matches, *new], self._names)
        return both, np.array([known[match.image.image_id] for match in asked], dtype=np.int64)

    def sizes(self, rows: Rows) -> Rows:
        ids = [self._matches[row].image.item_id for row in rows.tolist()]
        counts = Counter(image.item_id for image in self._kept.images_of(list(dict.fromkeys(ids))))
        return np.array([counts[item_id] for item_id in ids], dtype=np.int64)

    def keys(self, rows: Rows) -> Keys:
        return label_blind_keys([self._matches[row].image.image_id for row in rows.tolist()])

    def chain(self, rerank: RerankBlock) -> Chain:
        return Chain(rerank.steps, rerank, self._evidence(rerank.gallery_attributes))

    def _evidence(self, source: str) -> GalleryEvidence:
        stacked = np.stack([match.vector for match in self._matches])

        def vectors(rows: Rows) -> Vectors:
            return stacked[rows]

        images, names = [match.image for match in self._matches], self._names
        if names is None:
            return GalleryEvidence(vectors)

        def counts() -> AttributeCounts:
            return self._kept.words().of_attributes(source, names)

        if source != "predicted":
            return certain_gallery(vectors, names, [image.attributes for image in images], counts)
        sets, cells = [image.predicted for image in images], [image.probabilities for image in images]
        return GalleryEvidence(vectors, names, lambda: sets, lambda: held_probabilities(sets, cells, names), counts)


def _record(image: StoredImage) -> Record:
    return asdict(image) | {"predicted_attributes": image.predicted}
