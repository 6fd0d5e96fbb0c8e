"""A bundle whose gallery has changed since it was built: products were added, replaced and deleted.

Nothing here is changed in place. Each change gives a new gallery that shares the bundle's nets, its index and its table with
the one before, so that a search that has begun goes on in the gallery that it began with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from croquis.arrays import Rows, Uint8Image, Vectors
from croquis.bundle import Bundle
from croquis.bundle.gallery_table import GALLERY_SCHEMA, PROBABILITIES, GalleryTable
from croquis.catalog.product import Product, ProductPicture, opened
from croquis.index.layered import LayeredIndex
from croquis.index.vector_index import VectorIndex
from croquis.nets.classifier import AttributeClassifier
from croquis.nets.encoder import Encoder
from croquis.nets.generator import Generator
from croquis.search.local_retriever import LocalRetriever
from croquis.search.photo_facts import photo_facts, thumbnail_side

Opener = Callable[[ProductPicture], AbstractContextManager[Uint8Image]]

ENTRY_SCHEMA = GALLERY_SCHEMA.append(PROBABILITIES)
PLACED = {"domain": "shop", "split": "added", "role": "gallery", "view": None}


@dataclass(frozen=True)
class ChangedEntry:
    """A product as a bundle's nets see it: `rows` of `ENTRY_SCHEMA` and `vectors` (n, D), one of each per picture."""

    rows: pa.Table
    vectors: Vectors


Entries = Mapping[str, ChangedEntry | None]


class ChangedGallery:
    """A bundle's gallery under changes.

    Args:
        base: a retriever over the bundle as it was built.
        entries: item id -> what stands in the place of the bundle's product of that id, None for one that was deleted.

    Attributes:
        retriever: answers from the gallery as it is now.
    """

    def __init__(self, base: LocalRetriever, entries: Entries | None = None) -> None:
        self._base = base
        self._entries = dict(entries or {})
        self.retriever = self._rebuilt() if self._entries else base

    def changed(self, entries: Entries) -> ChangedGallery:
        """The gallery after further changes."""
        return ChangedGallery(self._base, {**self._entries, **entries})

    def entry_of(self, product: Product, open_picture: Opener = opened) -> ChangedEntry:
        """Encodes a product's pictures, one at a time, and predicts their attributes where the bundle has a classifier.

        Raises:
            ImageError: when a picture cannot be decoded.
        """
        seen = [self._describe(product, picture, open_picture) for picture in product.pictures]
        table = pa.Table.from_pylist([row for row, _ in seen], schema=ENTRY_SCHEMA)
        return ChangedEntry(table, np.concatenate([vectors for _, vectors in seen]))

    def _describe(
        self, product: Product, picture: ProductPicture, open_picture: Opener
    ) -> tuple[dict[str, Any], Vectors]:
        with open_picture(picture) as photo:
            seen = photo_facts(self._base.bundle, [photo], thumbnail_side(self._base.items))
        row: dict[str, Any] = {
            **PLACED,
            "image_id": picture.image_id,
            "item_id": product.item_id,
            "category": product.category,
            "attributes": list(product.attributes),
            "predicted_attributes": seen.predicted[0],
            PROBABILITIES.name: seen.probabilities[0],
            "thumbnail": seen.thumbnails[0],
        }
        return row, seen.vectors

    def _rebuilt(self) -> LocalRetriever:
        entries = [entry for entry in self._entries.values() if entry is not None]
        added = pa.concat_tables([ENTRY_SCHEMA.empty_table(), *(entry.rows for entry in entries)])
        nothing = np.empty((0, self._base.index.dim), dtype=np.float32)
        vectors = np.concatenate([nothing, *(entry.vectors for entry in entries)])
        kept = self._kept(added.column("image_id").to_pylist())
        index = LayeredIndex(self._base.index, kept, vectors)
        return LocalRetriever(ChangedBundle(self._base.bundle, index, self._base.items.changed(kept, added)))

    def _kept(self, added: list[str]) -> Rows:
        """The bundle's rows whose product was not changed and whose image was not handed in again."""
        items = self._base.items
        kept = np.ones(len(items), dtype=np.bool_)
        for item_id in self._entries:
            kept[items.rows_by_item.get(item_id, [])] = False
        kept[[items.places[image_id] for image_id in added if image_id in items.places]] = False
        return np.flatnonzero(kept).astype(np.int64)


class ChangedBundle(Bundle):
    """The nets and the manifest of a bundle, over other vectors and items; its hash names what it was before."""

    def __init__(self, base: Bundle, index: VectorIndex, items: GalleryTable) -> None:
        super().__init__(base.folder, base.manifest, base.threads)
        self._before = base
        self._gallery = index, items

    @property
    def encoder(self) -> Encoder:
        return self._before.encoder

    @property
    def generator(self) -> Generator | None:
        return self._before.generator

    @property
    def classifier(self) -> AttributeClassifier | None:
        return self._before.classifier

    @property
    def index(self) -> VectorIndex:
        return self._gallery[0]

    @property
    def items(self) -> GalleryTable:
        return self._gallery[1]
