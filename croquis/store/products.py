"""Changes of products in a store: the newest version wins, in whatever order and however often changes come.

A product's version stands with each of its images, and that of a deletion in a note, so that the rule holds across restarts
and for every process that writes. Where the engine cannot make a change in one step (`VectorStore.change`), doing it again
after a stop ends in the same state. Two processes must not change the same product at the same time; a stream whose messages
are partitioned by product sees to that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from croquis.arrays import Vectors
from croquis.catalog.product import LOWEST_VERSION, ProductPicture
from croquis.store.vector_store import StoreChange, StoredImage, VectorStore


@dataclass(frozen=True)
class ItemState:
    """A product as it is from a version on; no images mean that it was deleted.

    Attributes:
        vectors: (len(images), dim), row for row.
        thumbnails: of the images, row for row; none at all when empty.
        pictures: the files that the images were made from, where they shall be kept.
    """

    item_id: str
    version: int
    images: tuple[StoredImage, ...] = ()
    vectors: Vectors | None = None
    thumbnails: tuple[bytes, ...] = ()
    pictures: tuple[ProductPicture, ...] = ()


@dataclass(frozen=True)
class ProductState:
    """The newest version of a product in a store, 0 for none, and whether that is a deletion."""

    version: int = 0
    deleted: bool = False

    def admits(self, version: int, deletion: bool) -> bool:
        """Whether a change is not older. The same change may come again; of two at one version the deletion wins."""
        return version > self.version or (version == self.version and (deletion or not self.deleted))


def known_versions(store: VectorStore, item_ids: Sequence[str]) -> dict[str, ProductState]:
    """The state of each of some products."""
    known = {item_id: ProductState() for item_id in item_ids}
    for image in store.images_of(list(known)):
        if image.version > known[image.item_id].version:
            known[image.item_id] = ProductState(image.version)
    for item_id, version in store.deletions_of(list(known)).items():
        if version >= known[item_id].version:
            known[item_id] = ProductState(version, deleted=True)
    return known


def newest(states: Sequence[ItemState]) -> dict[str, ItemState]:
    """Of each product the newest of some states; of those at one version a deletion, else the last."""
    chosen: dict[str, ItemState] = {}
    for state in states:
        before = chosen.get(state.item_id)
        if before is None or ProductState(before.version, not before.images).admits(state.version, not state.images):
            chosen[state.item_id] = state
    return chosen


def apply(store: VectorStore, states: Sequence[ItemState], known: Mapping[str, ProductState] | None = None) -> int:
    """Brings products to the newest of `states` and of what the store has, and returns how many were changed.

    Args:
        known: `known_versions` of the products, where the caller has just read them.
    """
    chosen = newest(states)
    there = known_versions(store, list(chosen)) if known is None else known
    applied = [state for state in chosen.values() if there[state.item_id].admits(state.version, not state.images)]
    if not applied:
        return 0
    written = [state for state in applied if state.vectors is not None and state.images]
    images = [image for state in written for image in state.images]
    kept = {image.image_id for image in images}
    old = store.images_of([state.item_id for state in applied])
    nothing = np.empty((0, store.spec.dim), dtype=np.float32)
    store.change(
        StoreChange(
            images,
            np.concatenate([nothing, *(state.vectors for state in written if state.vectors is not None)]),
            [jpeg for state in written for jpeg in state.thumbnails or [b""] * len(state.images)],
            gone=[image.image_id for image in old if image.image_id not in kept],
            deleted={state.item_id: state.version for state in applied if not state.images},
            pictures=[picture for state in written for picture in state.pictures],
        )
    )
    return len(applied)


def count_anew(store: VectorStore, item_id: str) -> int:
    """Takes a product out whatever its version, and returns that of the deletion, from which versions go on: the lowest.

    For a product whose version is the largest, which no change can follow. An older change that comes late brings it back.
    """
    images = [image.image_id for image in store.images_of([item_id])]
    store.change(StoreChange(gone=images, deleted={item_id: LOWEST_VERSION}))
    return LOWEST_VERSION
