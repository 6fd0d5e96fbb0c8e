"""Who asks and who answers: the pairs of domains, and the queries and the gallery of a split.

The protocol is `instance`: a result is right when it shows the query's item. The gallery of a split is its shop photos
with role `gallery`; queries are its photos (or sketches) with role `query`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from retrieval.catalog import Catalog, Rows
from retrieval.images import Uint8Image, crop, decode_image
from retrieval.ranking import NO_ROW, Keys, label_blind_keys

Names = npt.NDArray[np.object_]

@dataclass(frozen=True)
class Protocol:
    """What counts as a right answer, who is searched, and over how many results average precision is taken.

    Attributes:
        name: as in `base.protocol`.
        relevance: a result is right when it shares the query's `item` or its `category`.
        gallery: `split` (the queries' own split, role gallery) or `train` (the images that were trained on).
        depth: results that average precision looks at; None for the whole gallery.
        normaliser: what the sum of precisions is divided by (see `retrieval.metrics.average_precision`).
    """

    name: str
    relevance: Literal["item", "category"]
    gallery: Literal["split", "train"]
    depth: int | None
    normaliser: Literal["retrievable", "hits"]


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("instance", "item", "split", None, "retrievable"),
        Protocol("category", "category", "train", None, "retrievable"),
        # 1,000 queries, 5,000 labelled, 54,000 unlabelled images that are also the gallery; mAP@all (GPQ).
        Protocol("cifar10_a", "category", "split", None, "retrievable"),
        # 10,000 queries, 50,000 training images that are also the gallery; mAP@1000 by the hits found (SPQ).
        Protocol("cifar10_c", "category", "train", 1000, "hits"),
    )
}
PROTOCOL = "instance"
GALLERY_DOMAIN = "shop"
# A sketch that was traced from a photo is named after it, and that photo is no answer to it.
SKETCH_PREFIX = "sketch-of/"


@dataclass(frozen=True)
class Pair:
    """A domain that asks and the domain that answers."""

    name: str
    query_domain: str


PAIRS = (Pair("consumer->shop", "consumer"), Pair("shop->shop", "shop"), Pair("sketch->shop", "sketch"))


class ProtocolError(ValueError):
    """A split cannot be evaluated: it has no gallery, or no queries at all."""


@dataclass(frozen=True)
class Gallery:
    """The shop photos that may answer, in the order of a hash of their ids, so that storage order means nothing.

    Attributes:
        catalog: where the photos lie.
        rows: (n,) their row numbers in `catalog`.
        keys: (n,) the hashes, which also order equal scores.
        image_ids, item_ids, categories: (n,) each.
        bboxes: (n,) None or [x1, y1, x2, y2].
    """

    catalog: Catalog
    rows: Rows
    keys: Keys
    image_ids: Names
    item_ids: Names
    categories: Names
    bboxes: Names

    def __len__(self) -> int:
        return len(self.rows)

    def images(self, chosen: npt.NDArray[np.int64] | None = None) -> Iterator[Uint8Image]:
        """The decoded photos (of the `chosen` rows) in order, cropped to their boxes, uint8 (H, W, 3)."""
        numbers = np.arange(len(self)) if chosen is None else chosen
        return _decoded(self.catalog, self.rows[numbers], self.bboxes[numbers])


@dataclass(frozen=True)
class Queries:
    """The images of one domain that ask; arrays are (n,). `bboxes` holds None or [x1, y1, x2, y2]."""

    catalog: Catalog
    rows: Rows
    image_ids: Names
    item_ids: Names
    categories: Names
    bboxes: Names

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, chosen: npt.NDArray[np.int64]) -> Queries:
        columns = (column[chosen] for column in (self.image_ids, self.item_ids, self.categories, self.bboxes))
        return Queries(self.catalog, self.rows[chosen], *columns)

    def images(self) -> Iterator[Uint8Image]:
        """The decoded pictures, cropped to their boxes, uint8 (H, W, 3)."""
        return _decoded(self.catalog, self.rows, self.bboxes)


def open_gallery(catalog: Catalog, split: str) -> Gallery:
    """The gallery of a split.

    Raises:
        ProtocolError: when the split has no shop photo with role `gallery`.
    """
    rows = catalog.select(split=split, role="gallery", domain=GALLERY_DOMAIN)
    if len(rows) == 0:
        raise ProtocolError(f"split {split!r} of {catalog.folder} has no {GALLERY_DOMAIN} photos with role gallery")
    image_ids = catalog.column("image_id")[rows]
    keys = label_blind_keys(image_ids.tolist())
    order = np.lexsort((image_ids.astype(str), keys))
    rows = rows[order]
    columns = (catalog.column(name)[rows] for name in ("image_id", "item_id", "category", "bbox"))
    return Gallery(catalog, rows, keys[order], *columns)


def open_queries(catalog: Catalog, split: str, pair: Pair) -> Queries:
    """The queries of a pair in a split; there may be none."""
    rows = catalog.select(split=split, role="query", domain=pair.query_domain)
    columns = (catalog.column(name)[rows] for name in ("image_id", "item_id", "category", "bbox"))
    return Queries(catalog, rows, *columns)


def own_rows(queries: Queries, gallery: Gallery) -> Rows:
    """Gallery rows that are the query itself, or the photo that a sketch was traced from; (queries, 2), -1 for none."""
    places = {image_id: row for row, image_id in enumerate(gallery.image_ids)}
    same = [places.get(image_id, NO_ROW) for image_id in queries.image_ids]
    traced = [places.get(image_id.removeprefix(SKETCH_PREFIX), NO_ROW) for image_id in queries.image_ids]
    pairs = [(a, NO_ROW if a == b else b) for a, b in zip(same, traced, strict=True)]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def item_codes(queries: Queries, gallery: Gallery) -> tuple[Rows, Rows]:
    """Integers that are equal where the items are: (queries,), (gallery,)."""
    both = np.concatenate([queries.item_ids, gallery.item_ids]).astype(str)
    codes = np.unique(both, return_inverse=True)[1].astype(np.int64)
    return codes[: len(queries)], codes[len(queries) :]


def count_relevant(query_codes: Rows, gallery_codes: Rows, own: Rows) -> Rows:
    """How many gallery images are right for each query, its own rows not counted; (queries,)."""
    size = int(max(query_codes.max(initial=-1), gallery_codes.max(initial=-1))) + 1
    totals = np.bincount(gallery_codes, minlength=size)[query_codes]
    present = own != NO_ROW
    own_hits = present & (gallery_codes[np.where(present, own, 0)] == query_codes[:, None])
    return np.asarray(totals - own_hits.sum(axis=1), dtype=np.int64)


def _decoded(catalog: Catalog, rows: Rows, bboxes: Names) -> Iterator[Uint8Image]:
    for data, bbox in zip(catalog.images(rows.tolist()), bboxes, strict=True):
        yield crop(decode_image(data), bbox)
