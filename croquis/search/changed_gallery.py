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
from croquis.bundle.gallery_table import GALLERY_SCHEMA, PROBABILITIES
from croquis.catalog.product import Product, ProductPicture, opened
from croquis.index.layered import LayeredIndex
from croquis.search.gallery import BundleGallery
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
        items: who is in the gallery as it is now.
        retriever: answers from it.
    """

    def __init__(self, base: LocalRetriever, entries: Entries | None = None) -> None:
        self._base = base
        self._entries = dict(entries or {})
        self.items = base.bundle.items
        self.retriever = base
        if self._entries:
            gallery = self._rebuilt()
            self.items = gallery.items
            self.retriever = LocalRetriever(base.nets, gallery, base.rerank)

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
            seen = photo_facts(self._base.nets.bundle, [photo], thumbnail_side(self._base.bundle.items))
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

    def _rebuilt(self) -> BundleGallery:
        entries = [entry for entry in self._entries.values() if entry is not None]
        added = pa.concat_tables([ENTRY_SCHEMA.empty_table(), *(entry.rows for entry in entries)])
        nothing = np.empty((0, self._base.bundle.index.dim), dtype=np.float32)
        vectors = np.concatenate([nothing, *(entry.vectors for entry in entries)])
        kept = self._kept(added.column("image_id").to_pylist())
        index = LayeredIndex(self._base.bundle.index, kept, vectors)
        bundle = self._base.bundle
        return BundleGallery(index, bundle.items.changed(kept, added), bundle.manifest.attributes)

    def _kept(self, added: list[str]) -> Rows:
        """The bundle's rows whose product was not changed and whose image was not handed in again."""
        items = self._base.bundle.items
        kept = np.ones(len(items), dtype=np.bool_)
        for item_id in self._entries:
            kept[items.rows_by_item.get(item_id, [])] = False
        kept[[items.places[image_id] for image_id in added if image_id in items.places]] = False
        return np.flatnonzero(kept).astype(np.int64)
