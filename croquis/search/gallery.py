"""What a retriever searches: the images of its bundle, or those of a store (`croquis.store.stored_gallery`)."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np

from croquis.arrays import Keys, Rows, Vectors
from croquis.bundle import Bundle
from croquis.bundle.gallery_evidence import stored_gallery
from croquis.bundle.gallery_table import GalleryTable
from croquis.bundle.product_table import ColumnSummary
from croquis.catalog.filters import Filters, QueryError
from croquis.index.ranking import RankedLists, one_list
from croquis.index.vector_index import VectorIndex
from croquis.lazy import Lazy
from croquis.rerank.chain import Chain
from croquis.rerank.evidence import GalleryEvidence
from croquis.rerank.rerank_settings import RerankBlock
from croquis.words.text_file import TextFile
from croquis.words.word_scores import Vocabulary, best_rows
from croquis.words.word_settings import DEFAULT_WORDS, WordSettings

Record = Mapping[str, Any]
"""At least what `RECORD` names of an image."""
NO_WORDS = (
    "cannot be searched: this bundle was made without words; make it again, `croquis repro`, or search by a picture"
)
RECORD = ("image_id", "item_id", "category", "attributes", "product")


class ListedImages(Protocol):
    """Images by the rows that a list names: a whole gallery, or what one search found."""

    def records(self, rows: Sequence[int]) -> Sequence[Record]:
        """Who is in some rows, in that order."""
        ...

    def products(self, rows: Rows) -> Rows:
        """A number for the product of each row (n,), equal where the product is."""
        ...

    def sizes(self, rows: Rows) -> Rows:
        """How many images the product of each row (n,) has at most."""
        ...

    def keys(self, rows: Rows) -> Keys:
        """The label-blind order of equal scores, (n,)."""
        ...

    def chain(self, rerank: RerankBlock) -> Chain:
        """The re-rankers of `rerank.steps` over these images."""
        ...

    def with_others(self, others: Self, rows: Rows) -> tuple[Self, Rows]:
        """These images, whose rows stay, and those in some rows (n,) of others of the same gallery, with their rows then."""
        ...


@dataclass(frozen=True)
class Listed:
    """The best images for Q queries.

    Attributes:
        ranked: Q lists, (Q, k).
        images: whom its rows name.
    """

    ranked: RankedLists
    images: ListedImages


@dataclass(frozen=True)
class WordCounts:
    """How many images have each word.

    Attributes:
        product: what can be asked of the products' own columns; a store does not say.
    """

    category: Mapping[str, int]
    attributes: Mapping[str, int]
    product: Mapping[str, ColumnSummary] = field(default_factory=dict)


class SearchedGallery(Protocol):
    """Images that can be searched and looked up; safe to use from several threads.

    Attributes:
        store: name of the store's version that is searched; None for a bundle's own images.
    """

    @property
    def store(self) -> str | None: ...

    def check(self, filters: Filters) -> None:
        """Refuses filters before anything is decoded for them.

        Raises:
            QueryError: where the values that may be asked for are known, on another one.
        """
        ...

    def search(self, vectors: Vectors, k: int, filters: Filters) -> Listed:
        """The best `k` images that pass the filters, for each of the vectors (Q, dim).

        Raises:
            QueryError: as `check`.
        """
        ...

    @property
    def words(self) -> WordSettings:
        """How words are searched."""
        ...

    def check_words(self, text: str) -> None:
        """Refuses a query of words, before anything is decoded for it, where none can be answered.

        Raises:
            QueryError: saying what answers it.
        """
        ...

    def search_words(self, text: str, k: int, filters: Filters) -> Listed:
        """The best `k` images that pass the filters, by a query that `check_query` lets through: one list, that ends where
        no further image has one of the words; scores as `croquis.words.word_scores` gives them.

        Raises:
            QueryError: as `check` and `check_words`.
        """
        ...

    def vector(self, image_id: str) -> Vectors:
        """The stored vector of an image, (1, dim), decoded where codes are kept.

        Raises:
            QueryError: on an unknown image.
        """
        ...

    def images_of(self, item_id: str) -> Sequence[Record]:
        """The images of a product, at least one.

        Raises:
            QueryError: on an unknown product.
        """
        ...

    def thumbnail(self, image_id: str) -> bytes:
        """A JPEG.

        Raises:
            QueryError: on an unknown image, or one that came without a picture.
        """
        ...

    def counts(self) -> WordCounts:
        """What can be filtered by; of a store in Milvus as it was some seconds ago."""
        ...

    def ping(self) -> None:
        """Raises what a search would raise because of the images' keeper, which may not answer."""
        ...


class BundleGallery:
    """Images in memory: a bundle's index and, row for row with it, the table of who they are.

    Args:
        index: the vectors.
        items: who they are.
        names: attributes of the classifier that looked at them; None without one.
        texts: their words; None without any.
        words: how those are searched.
    """

    store: str | None = None

    def __init__(
        self,
        index: VectorIndex,
        items: GalleryTable,
        names: tuple[str, ...] | None,
        texts: TextFile | None = None,
        words: WordSettings = DEFAULT_WORDS,
    ) -> None:
        self.index = index
        self.items = items
        self.names = names
        self.words = words
        self._texts = texts
        self._seen = Lazy(lambda: (np.arange(len(items)), items.probabilities(names or ())))
        self._vocabulary = Lazy(lambda: Vocabulary(names or (), words.tokenizer, self._seen.get))
        self._chaining = threading.Lock()
        self._chains: list[tuple[RerankBlock, Chain]] = []
        self._counts = Lazy(
            lambda: WordCounts(items.category_counts(), items.attribute_counts(), items.product.summaries())
        )

    @classmethod
    def of(cls, bundle: Bundle) -> BundleGallery:
        """The images that a bundle was built with."""
        manifest = bundle.manifest
        return cls(bundle.index, bundle.items, manifest.attributes, bundle.words, manifest.word_settings)

    def among(self, rows: Rows) -> BundleGallery:
        """Some of the images, in the given order, found as they are among all (see `VectorIndex.subset`)."""
        index = self.index.subset(rows)
        index.threads = self.index.threads
        return BundleGallery(index, self.items.take(rows), self.names)

    def check(self, filters: Filters) -> None:
        self.items.check(filters)

    def search(self, vectors: Vectors, k: int, filters: Filters) -> Listed:
        rows = None if filters.empty else self.items.select(filters)
        scores, found = self.index.search(vectors, k, rows, tiebreak=self.items.keys)
        return Listed(RankedLists(found, scores), self)

    def check_words(self, text: str) -> None:
        self._texts_for(text)

    def _texts_for(self, text: str) -> TextFile:
        if self._texts is None:
            raise QueryError("text", text, NO_WORDS)
        return self._texts

    def search_words(self, text: str, k: int, filters: Filters) -> Listed:
        scores = self._texts_for(text).scores(text, self._vocabulary.get())
        if not filters.empty:
            passing = np.zeros(len(scores), dtype=np.bool_)
            passing[self.items.select(filters)] = True
            scores = np.where(passing, scores, 0.0)
        rows = best_rows(scores, self.keys, k)
        return Listed(one_list(rows, scores[rows]).cut(k), self)

    def with_others(self, others: BundleGallery, rows: Rows) -> tuple[BundleGallery, Rows]:  # noqa: ARG002
        return self, rows  # of a gallery there is one numbering

    def records(self, rows: Sequence[int]) -> Sequence[Record]:
        return self.items.records(rows, RECORD)

    def products(self, rows: Rows) -> Rows:
        return self.items.item_numbers[rows].astype(np.int64)

    def sizes(self, rows: Rows) -> Rows:
        return self.items.item_sizes[self.items.item_numbers[rows]]

    def keys(self, rows: Rows) -> Keys:
        return self.items.keys[rows]

    def chain(self, rerank: RerankBlock) -> Chain:
        """Looks at every image, so that it is made once and kept."""
        with self._chaining:
            kept = next((chain for block, chain in self._chains if block == rerank), None)
            if kept is None:
                kept = Chain(rerank.steps, rerank, self.evidence(rerank.gallery_attributes))
                self._chains.append((rerank, kept))
            return kept

    def evidence(self, source: str) -> GalleryEvidence:
        """What re-ranking may know of the images, their attributes `predicted` or from the `catalogue`."""
        return stored_gallery(self.items, self.index, self.names, source)

    def vector(self, image_id: str) -> Vectors:
        return self.index.vectors(np.array([self.items.row(image_id)], dtype=np.int64))

    def images_of(self, item_id: str) -> Sequence[Record]:
        return self.items.records(self.items.rows_of(item_id), RECORD)

    def thumbnail(self, image_id: str) -> bytes:
        return self.items.thumbnail(self.items.row(image_id))

    def counts(self) -> WordCounts:
        return self._counts.get()

    def ping(self) -> None:
        """They are in memory."""
