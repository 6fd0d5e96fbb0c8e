"""What a retriever searches: the images of its bundle, or those of a store (`croquis.store.stored_gallery`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from croquis.arrays import Vectors
from croquis.bundle import Bundle
from croquis.bundle.gallery_evidence import attribute_sets, stored_gallery
from croquis.bundle.gallery_table import GalleryTable
from croquis.catalog.filters import Filters
from croquis.index.ranking import RankedLists
from croquis.index.vector_index import VectorIndex
from croquis.lazy import Lazy
from croquis.rerank.chain import Chain

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Listed:
    """The best images for one query, and what is known of them by row.

    Attributes:
        ranked: one list, (1, k).
        chain: gives the bundle's re-rankers over those rows.
        records: for rows (n,) mappings with `image_id`, `item_id`, `category` and `attributes`.
        sets: gives the attributes of each row that the bundle re-ranks with.
    """

    ranked: RankedLists
    chain: Callable[[], Chain]
    records: Callable[[Sequence[int]], Sequence[Record]]
    sets: Callable[[], Sequence[frozenset[str]]]


Find = Callable[[Vectors, int], Listed]
"""From the vector (1, dim) of a query to its best k images."""


@dataclass(frozen=True)
class WordCounts:
    """How many images have each word."""

    category: Mapping[str, int]
    attributes: Mapping[str, int]


class SearchedGallery(Protocol):
    """Images that can be searched and looked up; safe to use from several threads.

    Attributes:
        whole: whether what is rare among all images is known, as the overlap `idf` asks.
        store: name of the store's version that is searched; None for a bundle's own images.
    """

    @property
    def whole(self) -> bool: ...

    @property
    def store(self) -> str | None: ...

    def among(self, filters: Filters | None) -> Find:
        """The search among the images that pass.

        Raises:
            QueryError: where the values that may be asked for are known, on another one.
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
        """What can be filtered by; of a store as it was some seconds ago."""
        ...

    def check(self) -> None:
        """Raises what a search would raise because of the images' keeper, which may not answer."""
        ...


class BundleGallery:
    """The images that a bundle was built with."""

    whole = True
    store: str | None = None

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self.index: VectorIndex = bundle.index
        self.items: GalleryTable = bundle.items
        self._chain = Lazy(self._make_chain)
        self._sets = Lazy(self._make_sets)
        self._counts = Lazy(lambda: WordCounts(self.items.category_counts(), self.items.attribute_counts()))

    def among(self, filters: Filters | None) -> Find:
        rows = None if filters is None or filters.empty else self.items.select(filters)

        def find(vectors: Vectors, k: int) -> Listed:
            scores, found = self.index.search(vectors, k, rows, tiebreak=self.items.keys)
            return Listed(RankedLists(found, scores), self._chain.get, self.items.records, self._sets.get)

        return find

    def vector(self, image_id: str) -> Vectors:
        return self.index.vectors(np.array([self.items.row(image_id)], dtype=np.int64))

    def images_of(self, item_id: str) -> Sequence[Record]:
        return self.items.records(self.items.rows_of(item_id))

    def thumbnail(self, image_id: str) -> bytes:
        return self.items.thumbnail(self.items.row(image_id))

    def counts(self) -> WordCounts:
        return self._counts.get()

    def check(self) -> None:
        """They are in memory."""

    def _make_chain(self) -> Chain:
        block = self._bundle.manifest.rerank
        return Chain(block.steps, block, stored_gallery(self._bundle, self.index, block.gallery_attributes))

    def _make_sets(self) -> list[frozenset[str]]:
        return [
            frozenset(names) for names in attribute_sets(self._bundle, self._bundle.manifest.rerank.gallery_attributes)
        ]
