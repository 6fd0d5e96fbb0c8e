"""A bundle's own gallery as a new version of a store."""

from __future__ import annotations

import numpy as np

from croquis.bundle import Bundle
from croquis.index.code_index import CodeIndex
from croquis.index.coding import ProductCoding
from croquis.store.vector_store import StoreChange, StoredImage, StoreSpec, VectorStore, spelt_codebooks
from croquis.store.versions import Stores

AT_A_TIME = 512  # images in one write
FIRST = 0  # their version: every event, whose versions begin at 1, is newer


def spec_of(bundle: Bundle, kind: str = "flat") -> StoreSpec:
    """What a store for the vectors of a bundle keeps; codes are made and compared as the bundle's."""
    encoder, index = bundle.manifest.encoder, bundle.index
    coding = index.coding if isinstance(index, CodeIndex) else None
    codebooks = spelt_codebooks(coding.codebooks) if isinstance(coding, ProductCoding) else None
    tokenizer = bundle.manifest.word_settings.tokenizer
    return StoreSpec(
        bundle.hash, encoder.head, encoder.metric, encoder.dim, kind, index.comparison, codebooks, tokenizer
    )


def fill(stores: Stores, bundle: Bundle, kind: str = "flat") -> VectorStore:
    """A new version with the images of a bundle's gallery, at version 0 of each product; it is not published, and
    dropped when it cannot be filled."""
    with stores.filling(spec_of(bundle, kind)) as store:
        fill_store(store, bundle)
    return store


def fill_store(store: VectorStore, bundle: Bundle) -> None:
    """Writes a bundle's gallery, with the vectors that its index gives back; `ivfpq` does not give back the encoder's."""
    probabilities = bundle.items.probabilities(bundle.manifest.attributes or ())
    for start in range(0, len(bundle.items), AT_A_TIME):
        rows = list(range(start, min(start + AT_A_TIME, len(bundle.items))))
        images = [
            StoredImage(
                image_id=record["image_id"],
                item_id=record["item_id"],
                version=FIRST,
                category=record["category"],
                domain=record["domain"],
                attributes=tuple(record["attributes"]),
                predicted=tuple(record["predicted_attributes"]),
                probabilities=probabilities[row].tobytes() or None,
                product=record.get("product", {}),
            )
            for row, record in zip(rows, bundle.items.records(rows), strict=True)
        ]
        vectors, thumbnails = bundle.index.vectors(np.array(rows)), list(map(bundle.items.thumbnail, rows))
        store.change(StoreChange(images, vectors, thumbnails, as_stored=store.spec.coding is None))
