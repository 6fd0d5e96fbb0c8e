"""A bundle's own gallery as a new version of a store."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from croquis.bundle import Bundle
from croquis.index.kinds import kinds_of
from croquis.store.products import ItemState, apply
from croquis.store.vector_store import StoredImage, StoreError, StoreSpec, VectorStore
from croquis.store.versions import Stores

AT_A_TIME = 512  # products in one write
FIRST = 0  # their version: every event, whose versions begin at 1, is newer


def spec_of(bundle: Bundle, kind: str = "flat") -> StoreSpec:
    """What a store for the vectors of a bundle keeps."""
    encoder = bundle.manifest.encoder
    return StoreSpec(bundle.hash, encoder.head, encoder.metric, encoder.dim, kind)


def fill(stores: Stores, bundle: Bundle, kind: str = "flat") -> VectorStore:
    """A new version with the images of a bundle's gallery, at version 0 of each product; it is not published.

    Raises:
        StoreError: when the bundle's index does not give back the vectors that the encoder made.
    """
    kind_there = kinds_of("dense").get(bundle.index.kind)
    keeps_floats = kind_there is not None and kind_there.keeps_floats
    if not keeps_floats and bundle.manifest.encoder.head != "binary":
        raise StoreError(
            f"the index of the kind {bundle.index.kind} keeps no whole vectors: send the catalogue as events "
            "(croquis events feed)"
        )
    store = stores.create(spec_of(bundle, kind))
    probabilities = bundle.items.probabilities(bundle.manifest.attributes or ())
    products = list(bundle.items.rows_by_item.items())
    for start in range(0, len(products), AT_A_TIME):
        apply(store, [_state(bundle, *product, probabilities) for product in products[start : start + AT_A_TIME]])
    return store


def _state(bundle: Bundle, item_id: str, rows: list[int], probabilities: npt.NDArray[np.uint8]) -> ItemState:
    """A product of the gallery, in the rows given."""
    images = tuple(
        StoredImage(
            image_id=record["image_id"],
            item_id=item_id,
            version=FIRST,
            category=record["category"],
            domain=record["domain"],
            attributes=tuple(record["attributes"]),
            predicted=tuple(record["predicted_attributes"]),
            probabilities=probabilities[row].tobytes() or None,
        )
        for row, record in zip(rows, bundle.items.records(rows), strict=True)
    )
    vectors = bundle.index.vectors(np.array(rows, dtype=np.int64))
    return ItemState(item_id, FIRST, images, vectors, tuple(map(bundle.items.thumbnail, rows)))
