"""A bundle's own gallery as a new version of a store."""

from __future__ import annotations

from retrieval.bundle import Bundle
from retrieval.stored_items import ItemState, apply
from retrieval.stores import Stores
from retrieval.vector_store import StoredImage, StoreError, StoreSpec, VectorStore

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
    if bundle.index.kind not in ("flat", "hnsw", "binary_flat", "binary_ivf"):
        raise StoreError(
            f"the index of the kind {bundle.index.kind} keeps no whole vectors: send the catalogue as events "
            "(python -m serving.ingest.feed)"
        )
    store = stores.create(spec_of(bundle, kind))
    items, vectors = bundle.items, bundle.index.vectors()
    names = () if bundle.manifest.classifier is None else bundle.manifest.classifier.attributes
    probabilities = items.probabilities(names)
    records = items.table.to_pylist()
    states = []
    for item_id, rows in items.rows_by_item.items():
        images = [
            StoredImage(
                record["image_id"],
                item_id,
                FIRST,
                record["category"],
                record["domain"],
                tuple(record["attributes"]),
                tuple(record["predicted_attributes"]),
                probabilities[row].tobytes() or None,
            )
            for row, record in ((row, records[row]) for row in rows)
        ]
        states.append(ItemState(item_id, FIRST, tuple(images), vectors[rows], tuple(map(items.thumbnail, rows))))
    for start in range(0, len(states), AT_A_TIME):
        apply(store, states[start : start + AT_A_TIME])
    return store
