"""Products added, replaced and deleted while the server answers."""

from __future__ import annotations

from collections.abc import Callable

from croquis.catalog.product import Product
from croquis.search.changed_gallery import ChangedEntry, ChangedGallery
from croquis.serving.answers.problems import Problem
from croquis.serving.changes.change_log import ChangeLog
from croquis.serving.models.served_models import ServedModels
from croquis.serving.requests.decoding import PictureDecoder


class LiveCatalogue:
    """Changes the gallery of every loaded model, one change after another.

    A change is first prepared for each model, then written to the disk, and only then shown to searches: one that fails
    changes nothing, and one that was answered is there after any end of the process. Searches are never held up: each goes
    on in the gallery that it began with.

    Args:
        fleet: the models.
        log: where changes are kept.
        decoder: opens pictures within the server's limits.
    """

    def __init__(self, fleet: ServedModels, log: ChangeLog, decoder: PictureDecoder) -> None:
        self._fleet = fleet
        self._log = log
        self._decoder = decoder

    def put(self, product: Product, version: int | None = None, *, only_new: bool = False) -> tuple[int, bool]:
        """Adds a product, or replaces all of one, and returns its version and whether it is new.

        Args:
            version: must exceed the product's version so far; one more than that when None.
            only_new: whether a product that is there already is refused.

        Raises:
            Problem: 409 when the version is not newer, or the product is there already.
            ImageError: when a picture cannot be used.
            ChangeLogError: when the change could not be kept.
        """
        with self._fleet.changing:
            new = not self._is_there(product.item_id)
            if only_new and not new:
                limit = "a product that is not there yet; PUT /items/ITEM replaces one"
                raise Problem(409, "item-exists", f"{product.item_id!r} is there already", field="item_id", limit=limit)
            number = self._next_version(product.item_id, version)
            self._change(product.item_id, number, product, lambda gallery: self._describe(gallery, product))
            return number, new

    def delete(self, item_id: str, version: int | None = None) -> int:
        """Takes a product out and returns the version of its deletion.

        With a `version`, also a product that is not there is marked as deleted, so that an older change that comes late does
        not bring it back.

        Raises:
            Problem: 404 when there is no such product, 409 when the version is not newer.
            ChangeLogError: when the change could not be kept.
        """
        with self._fleet.changing:
            if version is None and not self._is_there(item_id):
                raise Problem(404, "not-found", f"there is no product {item_id!r}", field="item_id")
            number = self._next_version(item_id, version)
            self._change(item_id, number, None, lambda _: None)
            return number

    def _is_there(self, item_id: str) -> bool:
        return any(item_id in gallery.items.rows_by_item for gallery in self._fleet.galleries().values())

    def _next_version(self, item_id: str, asked: int | None) -> int:
        newest = self._log.version(item_id)
        if asked is not None and asked <= newest:
            detail = f"version {asked} of {item_id!r} is not newer than version {newest}, which is there"
            raise Problem(409, "stale-version", detail, field="version", limit=f"more than {newest}")
        return newest + 1 if asked is None else asked

    def _describe(self, gallery: ChangedGallery, product: Product) -> ChangedEntry:
        return gallery.entry_of(product, lambda picture: self._decoder.picture(picture.data, picture.bbox))

    def _change(
        self,
        item_id: str,
        version: int,
        product: Product | None,
        entry: Callable[[ChangedGallery], ChangedEntry | None],
    ) -> None:
        prepared = {
            label: gallery.changed({item_id: entry(gallery)}) for label, gallery in self._fleet.galleries().items()
        }
        self._log.write(item_id, version, product)
        self._fleet.publish(prepared)
