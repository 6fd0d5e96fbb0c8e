"""Which images are queries and which are the gallery: the protocols, the pairs of domains, and what makes an answer right.

Queries are a split's photos (or sketches) with role `query`, and shop photos answer. Which of them, and which gallery
images are relevant, depends on the protocol. A query is never an answer to itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from croquis.arrays import Keys, Rows, Uint8Image
from croquis.catalog.drawings import photo_of
from croquis.catalog.table import Catalog
from croquis.evaluation.metrics import Metric, reported_metrics
from croquis.index.ranking import NO_ROW, label_blind_keys
from croquis.search.pictures import open_picture


def own_rows(queries: Queries, gallery: JudgedGallery) -> Rows:
    """Gallery rows that are the query itself, or the photo that a sketch was traced from, which is no answer to it;
    (queries, 2), -1 for none."""
    places = {image_id: row for row, image_id in enumerate(gallery.image_ids)}
    same = [places.get(image_id, NO_ROW) for image_id in queries.image_ids]
    traced = [places.get(photo_of(image_id) or image_id, NO_ROW) for image_id in queries.image_ids]
    pairs = [(a, NO_ROW if a == b else b) for a, b in zip(same, traced, strict=True)]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def label_codes(queries: Queries, gallery: JudgedGallery) -> tuple[Rows, Rows]:
    """Integers that are equal where an answer is right under the gallery's protocol: (queries,), (gallery,)."""
    both = np.concatenate([queries.labels(gallery.protocol), gallery.labels(gallery.protocol)]).astype(str)
    codes = np.unique(both, return_inverse=True)[1].astype(np.int64)
    return codes[: len(queries)], codes[len(queries) :]


def count_relevant(query_codes: Rows, gallery_codes: Rows, own: Rows) -> Rows:
    """How many gallery images are right for each query, its own rows not counted; (queries,)."""
    size = int(max(query_codes.max(initial=-1), gallery_codes.max(initial=-1))) + 1
    totals = np.bincount(gallery_codes, minlength=size)[query_codes]
    present = own != NO_ROW
    own_hits = present & (gallery_codes[np.where(present, own, 0)] == query_codes[:, None])
    return np.asarray(totals - own_hits.sum(axis=1), dtype=np.int64)


Names = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Protocol:
    """What counts as a right answer, who is searched, and over how many results average precision is taken.

    Attributes:
        name: as in `base.protocol`.
        relevance: a result is right when it shares the query's `item` or its `category`.
        gallery: `split` (the queries' own split, role gallery) or `train` (the images that were trained on).
        depth: results that average precision looks at; None for the whole gallery.
        normaliser: what the sum of precisions is divided by (see `croquis.evaluation.metrics.average_precision`).
    """

    name: str
    relevance: Literal["item", "category"]
    gallery: Literal["split", "train"]
    depth: int | None
    normaliser: Literal["retrievable", "hits"]

    @property
    def average_precision(self) -> str:
        """The name of its average precision: `map@r` where items count, else `map@all` or `map@` and the depth."""
        return "map@r" if self.relevance == "item" else f"map@{self.depth or 'all'}"

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What is reported under it."""
        return reported_metrics(self.average_precision, self.normaliser)

    def list_depth(self, asked: int, gallery: int) -> int:
        """Length of the ranked lists: as `asked` where items count, since R is small there (a list shorter than the
        largest R is refused); the whole gallery or the protocol's own depth where a category has thousands of images.
        """
        if self.relevance == "item":
            return asked
        return gallery if self.depth is None else max(asked, self.depth)

    def to_json(self) -> dict[str, Any]:
        """What a report says of it."""
        return asdict(self) | {"average_precision": self.average_precision}


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
INSTANCE = PROTOCOLS["instance"]
GALLERY_DOMAIN = "shop"


@dataclass(frozen=True)
class Pair:
    """The domain of the queries and the domain of the gallery."""

    name: str
    query_domain: str


PAIRS = (Pair("consumer->shop", "consumer"), Pair("shop->shop", "shop"), Pair("sketch->shop", "sketch"))


class ProtocolError(ValueError):
    """A split cannot be evaluated: it has no gallery, or no queries at all."""


@dataclass(frozen=True)
class Pictures:
    """Some images of a catalogue.

    Attributes:
        catalog: where they lie.
        rows: (n,) their row numbers in `catalog`.
        image_ids, item_ids, categories: (n,) each.
        bboxes: (n,) None or [x1, y1, x2, y2].
        draft: with which `images` decodes (`croquis.catalog.images.decode_inside`).
    """

    catalog: Catalog
    rows: Rows
    image_ids: Names
    item_ids: Names
    categories: Names
    bboxes: Names
    draft: int = field(default=0, kw_only=True)

    def __len__(self) -> int:
        return len(self.rows)

    def labels(self, protocol: Protocol) -> Names:
        """What a right answer shares with its query, (n,): items or categories."""
        return self.item_ids if protocol.relevance == "item" else self.categories

    def images(self, chosen: npt.NDArray[np.int64] | None = None) -> Iterator[Uint8Image]:
        """The decoded pictures (the `chosen` ones, by place) in order, cropped to their boxes, uint8 (H, W, 3)."""
        numbers = np.arange(len(self)) if chosen is None else chosen
        for data, bbox in zip(self.catalog.images(self.rows[numbers].tolist()), self.bboxes[numbers], strict=True):
            yield open_picture(data, bbox, self.draft)


@dataclass(frozen=True)
class JudgedGallery(Pictures):
    """The shop photos that may answer, in the order of a hash of their ids, so that storage order means nothing.

    Attributes:
        keys: (n,) the hashes, which also order equal scores.
        protocol: that it was opened under.
    """

    keys: Keys
    protocol: Protocol


@dataclass(frozen=True)
class Queries(Pictures):
    """The query images of one domain."""

    def take(self, chosen: npt.NDArray[np.int64]) -> Queries:
        columns = (column[chosen] for column in (self.image_ids, self.item_ids, self.categories, self.bboxes))
        return Queries(self.catalog, self.rows[chosen], *columns, draft=self.draft)


def open_gallery(catalog: Catalog, split: str, protocol: Protocol = INSTANCE, draft: int = 0) -> JudgedGallery:
    """Who answers the queries of a split: its own gallery (see `split_gallery`), or the train split's shop photos.

    Args:
        draft: of `Pictures`.

    Raises:
        ProtocolError: when there are none.
    """
    if protocol.gallery == "split":
        rows = split_gallery(catalog, split)
    else:
        rows = catalog.select(split="train", role=["train", "gallery"], domain=GALLERY_DOMAIN)
        if not len(rows):
            raise ProtocolError(
                f"protocol {protocol.name!r} searches the train split, and {catalog.folder} has no {GALLERY_DOMAIN} "
                "photos in it"
            )
    image_ids = catalog.column("image_id")[rows]
    keys = label_blind_keys(image_ids.tolist())
    order = np.lexsort((image_ids.astype(str), keys))
    rows = rows[order]
    item_ids, categories, bboxes = (catalog.column(name)[rows] for name in ("item_id", "category", "bbox"))
    columns = image_ids[order], item_ids, categories, bboxes, keys[order], protocol
    return JudgedGallery(catalog, rows, *columns, draft=draft)


def split_gallery(catalog: Catalog, split: str) -> Rows:
    """Rows of the shop photos of a split with role `gallery`, and those of other splits that are its distractors.

    Raises:
        ProtocolError: when the split itself has none.
    """
    offered = catalog.select(role="gallery", domain=GALLERY_DOMAIN)
    own, other = (catalog.column(name)[offered] == split for name in ("split", "also_gallery_of"))
    if not own.any():
        raise ProtocolError(
            f"split {split!r} of {catalog.folder} has no {GALLERY_DOMAIN} photos with role gallery; give it some, or set "
            "base.protocol to one that searches the train split (category, cifar10_c)"
        )
    return np.asarray(offered[own | other], dtype=np.int64)


def open_queries(catalog: Catalog, split: str, pair: Pair, draft: int = 0) -> Queries:
    """The queries of a pair in a split; there may be none. `draft` is that of `Pictures`."""
    rows = catalog.select(split=split, role="query", domain=pair.query_domain)
    columns = (catalog.column(name)[rows] for name in ("image_id", "item_id", "category", "bbox"))
    return Queries(catalog, rows, *columns, draft=draft)
