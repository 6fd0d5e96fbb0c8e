"""Products added, replaced and deleted while the server answers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager

from croquis.arrays import Uint8Image
from croquis.catalog.product import LARGEST_VERSION, Product, ProductPicture
from croquis.search.bundle_nets import Nets
from croquis.serving.answers.problems import Problem
from croquis.serving.changes.live_stores import LiveStores, encoded
from croquis.serving.models.served_models import ServedModels
from croquis.serving.requests.decoding import PictureDecoder
from croquis.store.products import ItemState, apply, known_versions
from croquis.store.stored_gallery import StoreGallery
from croquis.store.vector_store import StoreError, VectorStore

logger = logging.getLogger(__name__)


class LiveCatalogue:
    """Changes the version of the catalogue that each model searches, one change after another.

    A change is first encoded for each model and then written: one that fails changes nothing, and one that was answered is
    there after any end of the process. A search sees all of a change or nothing of it.

    Args:
        fleet: the models.
        stores: where they search.
        decoder: opens pictures within the server's limits.
    """

    def __init__(self, fleet: ServedModels, stores: LiveStores, decoder: PictureDecoder) -> None:
        self._fleet = fleet
        self._stores = stores
        self._decoder = decoder

    def put(self, product: Product, version: int | None = None, *, only_new: bool = False) -> tuple[int, bool]:
        """Adds a product, or replaces all of one, and returns its version and whether it is new.

        Args:
            version: must exceed the product's version so far; one more than that when None.
            only_new: whether a product that is there already is refused.

        Raises:
            Problem: 409 when the version is not newer, the product has the largest version, or it is there already; 507 when
                it could not be kept.
            ImageError: when a picture cannot be used.
        """
        with self._stores.changing:
            targets = self._targets()
            new = not _is_there(product.item_id, targets)
            if only_new and not new:
                limit = "a product that is not there yet; PUT /items/ITEM replaces one"
                raise Problem(409, "item-exists", f"{product.item_id!r} is there already", field="item_id", limit=limit)
            number = _next_version(product.item_id, version, targets)
            self._write(targets, lambda nets: self._encoded(product, number, nets))
            return number, new

    def delete(self, item_id: str, version: int | None = None) -> int:
        """Takes a product out and returns the version of its deletion.

        With a `version`, also a product that is not there is marked as deleted, so that an older change that comes late does
        not bring it back. Without one, a product of the largest version is taken out too, and its versions count again.

        Raises:
            Problem: 404 when there is no such product, 409 when the version is not newer, 507 when it could not be kept.
        """
        with self._stores.changing:
            targets = self._targets()
            if version is None and _newest_version(item_id, targets) >= LARGEST_VERSION:
                return self._counted_anew(item_id)
            if version is None and not _is_there(item_id, targets):
                raise Problem(404, "not-found", f"there is no product {item_id!r}", field="item_id")
            number = _next_version(item_id, version, targets)
            self._write(targets, lambda _: ItemState(item_id, number))
            return number

    def _targets(self) -> dict[VectorStore, Nets]:
        """The versions that are searched, or will be in a moment, with the nets that fill them."""
        served = [model.retriever for model in self._fleet.models().values()]
        return {
            retriever.gallery.kept: retriever.nets
            for retriever in (*self._stores.newest.values(), *served)
            if isinstance(retriever.gallery, StoreGallery)
        }

    def _encoded(self, product: Product, version: int, nets: Nets) -> ItemState:
        def opened(picture: ProductPicture, draft: int) -> AbstractContextManager[Uint8Image]:
            return self._decoder.picture(picture.data, picture.bbox, draft)

        return encoded(product, version, nets, opened)

    def _counted_anew(self, item_id: str) -> int:
        try:
            return self._stores.count_anew(item_id)
        except StoreError as error:
            logger.error("%r could not be taken out: %s", item_id, error)
            raise Problem(507, "not-kept", f"{item_id!r} could not be taken out everywhere: delete it again") from error

    def _write(self, targets: dict[VectorStore, Nets], state: Callable[[Nets], ItemState]) -> None:
        states = {store: state(nets) for store, nets in targets.items()}
        written = 0
        try:
            for store, prepared in states.items():
                apply(store, [prepared])
                written += 1
        except StoreError as error:
            logger.error("a change was kept for %d of %d models: %s", written, len(states), error)
            detail = "the change could not be kept on disk; nothing has changed"
            if written:
                kept = f"{written} of {len(states)} models"
                detail = f"the change is kept for {kept} only; the others get it at the next start"
            raise Problem(507, "not-kept", detail) from error


def _is_there(item_id: str, stores: dict[VectorStore, Nets]) -> bool:
    return any(store.images_of([item_id]) for store in stores)


def _newest_version(item_id: str, stores: dict[VectorStore, Nets]) -> int:
    return max(known_versions(store, [item_id])[item_id].version for store in stores)


def _next_version(item_id: str, asked: int | None, stores: dict[VectorStore, Nets]) -> int:
    newest = _newest_version(item_id, stores)
    if newest >= LARGEST_VERSION:
        detail = (
            f"{item_id!r} has the largest version, {LARGEST_VERSION}, which no change can follow: DELETE it without a "
            "version, which takes it out and lets its versions count again, and send it again"
        )
        raise Problem(409, "largest-version", detail, field="version", limit=f"at most {LARGEST_VERSION}")
    if asked is not None and asked <= newest:
        detail = f"version {asked} of {item_id!r} is not newer than version {newest}, which is there"
        raise Problem(409, "stale-version", detail, field="version", limit=f"more than {newest}")
    return newest + 1 if asked is None else asked
