"""The stores of `croquis serve --changes FOLDER`: for the bundle of each model a version of its own, in one folder.

A version is filled with its bundle's gallery, and then brought up to the newest state of every product that any version
in the folder knows: so a new champion has the changes made under the old one, encoded by its own nets from the pictures that
are kept with them, and what a stop left in one version alone is in all of them after the next start.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from croquis.arrays import Uint8Image
from croquis.bundle import Bundle
from croquis.catalog.images import ImageError
from croquis.catalog.product import Product, ProductPicture, opened
from croquis.registry.bundle_options import ModelSourceError
from croquis.search.bundle_nets import Nets
from croquis.search.local_retriever import LocalRetriever
from croquis.search.photo_facts import photo_facts, thumbnail_side
from croquis.serving.models.bundle_sources import ModelSource
from croquis.serving.models.loaded_model import LoadedModel
from croquis.serving.models.served_models import DEFAULT_LABEL
from croquis.store.faiss_store import FaissStore, FaissStores
from croquis.store.fill import fill_store, spec_of
from croquis.store.products import ItemState, apply, count_anew, known_versions
from croquis.store.stored_gallery import StoreGallery
from croquis.store.vector_store import StoredImage, StoreError

CATALOGUE = "catalogue"
OLD_LOG = "catalogue.sqlite"  # what earlier versions kept in the folder
DOMAIN = "shop"

Opener = Callable[[ProductPicture, int], AbstractContextManager[Uint8Image]]
"""From a picture and the draft of `croquis.catalog.images.decode_inside`."""


class LiveStores:
    """Versions of a catalogue that requests change; one process at a time may use the folder.

    Attributes:
        changing: held while products are changed, so that no version joins or is written meanwhile.
        newest: label -> the retriever that was placed last, which may not be served yet.

    Raises:
        StoreError: when the folder holds what an earlier version kept there, or lacks its current version.
    """

    def __init__(self, folder: Path) -> None:
        if (folder / OLD_LOG).is_file():
            raise StoreError(
                f"{folder / OLD_LOG} is the log of changes of an earlier version, which this one does not read: "
                "give --changes another folder, and send the changed products again"
            )
        self.changing = threading.Lock()
        self.newest: dict[str, LocalRetriever] = {}
        self._stores = FaissStores(f"faiss:{folder}", CATALOGUE, folder)
        current = self._stores.current
        if current is not None and current not in self._stores.versions():
            raise StoreError(
                f"{folder / CATALOGUE / current}.sqlite, the current version of {folder}, is not there: put a copy of "
                f"it back, or delete {folder / CATALOGUE} to begin with the bundle's gallery and no change"
            )

    def place(self, label: str, model: LoadedModel) -> LoadedModel:
        """The model over its bundle's version, with every change that was ever made in this folder.

        Raises:
            ModelSourceError: when the store fails, or a kept picture cannot be encoded.
        """
        retriever = model.retriever
        try:
            store = self._version_of(retriever.bundle)
            self._catch_up(store, retriever.nets)
            over = LocalRetriever(retriever.nets, StoreGallery(retriever.bundle, store), retriever.rerank)
            placed = replace(model, retriever=over)
            placed.prepare()
            with self.changing:
                self._catch_up(store, retriever.nets)
                self.newest[label] = over
                if label == DEFAULT_LABEL:
                    self._stores.publish(store.name)
        except StoreError as error:
            raise ModelSourceError(str(error)) from error
        return placed

    def count_anew(self, item_id: str) -> int:
        """`croquis.store.products.count_anew` in every version, so that none brings the product back to the others."""
        return max(count_anew(self._stores.look_at(name), item_id) for name in self._stores.versions())

    def drop_unused(self) -> None:
        """Deletes the versions that are neither searched nor the champion's one before: others have all that is in them."""
        used = {retriever.gallery.store for retriever in self.newest.values()}
        for name in set(self._stores.versions()) - used - {self._stores.current, self._stores.previous}:
            self._stores.drop(name)

    def close(self) -> None:
        """Closes every store that was opened."""
        self._stores.close()

    def _version_of(self, bundle: Bundle) -> FaissStore:
        for name in self._stores.versions():
            store = self._stores.look_at(name)
            if store.spec.bundle == bundle.hash:
                return store
        kind = "hnsw" if bundle.index.kind == "hnsw" else "flat"
        return self._stores.create_filled(spec_of(bundle, kind), lambda store: fill_store(store, bundle))

    def _catch_up(self, store: FaissStore, nets: Nets) -> None:
        """Brings products to the newest state that another version knows."""
        for name in self._stores.versions():
            other = self._stores.look_at(name)
            changed = [] if other is store else other.changed_products()
            theirs, ours = known_versions(other, changed), known_versions(store, changed)
            for item_id in changed:
                version = theirs[item_id].version
                if version > ours[item_id].version:
                    apply(store, [_state_in(other, item_id, version, nets)])


@dataclass(frozen=True)
class LiveSource:
    """A source whose models search the live stores."""

    label: str
    source: ModelSource
    stores: LiveStores

    def current(self) -> str:
        return self.source.current()

    def load(self) -> tuple[str, LoadedModel]:
        identity, model = self.source.load()
        return identity, self.stores.place(self.label, model)


def encoded(product: Product, version: int, nets: Nets, open_picture: Opener = opened) -> ItemState:
    """A product as a bundle's nets see it, one picture at a time.

    Raises:
        ImageError: when a picture cannot be decoded.
    """
    side = thumbnail_side(nets.bundle.items)
    images, vectors, thumbnails = [], [], []
    for picture in product.pictures:
        with open_picture(picture, nets.draft) as photo:
            seen = photo_facts(nets.bundle, [photo], side)
        known = picture.image_id, product.item_id, version, product.category, DOMAIN, product.attributes
        images.append(StoredImage(*known, tuple(seen.predicted[0]), seen.probabilities[0], product.columns))
        vectors.append(seen.vectors)
        thumbnails += seen.thumbnails
    return ItemState(
        product.item_id, version, tuple(images), np.concatenate(vectors), tuple(thumbnails), product.pictures
    )


def _state_in(store: FaissStore, item_id: str, version: int, nets: Nets) -> ItemState:
    """What a version knows of a product, encoded again."""
    images = store.images_of([item_id])
    if not images:
        return ItemState(item_id, version)
    kept = store.pictures([image.image_id for image in images])
    if len(kept) < len(images):
        raise ModelSourceError(
            f"{item_id!r} of {store.name} came without its pictures: delete it, or send it by PUT /items"
        )
    pictures = tuple(kept[image.image_id] for image in images)
    try:
        first = images[0]
        return encoded(Product(item_id, first.category, first.attributes, pictures, first.product), version, nets)
    except ImageError as error:
        raise ModelSourceError(f"{item_id!r} of the changed catalogue cannot be encoded: {error}") from error
