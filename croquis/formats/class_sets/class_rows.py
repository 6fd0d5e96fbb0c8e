"""Sets of labelled images without items: each image is an item of its own, and its class is its category.

The class is also the one attribute, `class:NAME`, for the attribute classifier is a stage of the pipeline.

Who lands in which split is dealt class by class in a seeded order, so every class has the same proportions, while the
rows keep the order of the files: a catalogue is sorted by class only where its files are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from croquis.arrays import Uint8Image
from croquis.catalog.images import encode_png
from croquis.formats.tables.hashed_split import position

Labels = npt.NDArray[np.int64]
Place = tuple[str, str]
"""Split and role."""
Quotas = Callable[[int], Sequence[tuple[Place, int]]]
"""From a class's number of images to how many of them go where, in turn; those beyond are left out."""

TRAIN, VAL, TEST = ("train", "train"), ("val", "query"), ("test", "query")


@dataclass(frozen=True)
class LabelledImages:
    """One file or batch of images.

    Attributes:
        name: what image ids begin with.
        labels: (N,) class numbers.
        pixels: N uint8 arrays, (H, W), (H, W, 1) or (H, W, 3), in the order of the labels; gone through once.
    """

    name: str
    labels: Labels
    pixels: Iterable[npt.NDArray[np.uint8]]

    @property
    def ids(self) -> list[str]:
        """`NAME/NUMBER` of each image, with at least five digits."""
        return [f"{self.name}/{number:05d}" for number in range(len(self.labels))]


def deal(ids: Sequence[str], labels: Labels, quotas: Quotas, seed: int) -> list[Place | None]:
    """The place of each image, None for those that are left out.

    Args:
        ids: N image ids; with the seed they fix the order in which a class is dealt.
        labels: (N,) class numbers.
        quotas: applied to each class.
    """
    places: list[Place | None] = [None] * len(ids)
    for label in np.unique(labels):
        members = sorted(np.flatnonzero(labels == label).tolist(), key=lambda row: position(ids[row], seed))
        dealt = [place for place, count in quotas(len(members)) for _ in range(count)]
        for row, place in zip(members, dealt, strict=False):
            places[row] = place
    return places


def train_quotas(share: float, val_share: float) -> Quotas:
    """Of the kept `share` of a class `val_share` is val and the rest train; at least one image each."""

    def quotas(count: int) -> list[tuple[Place, int]]:
        kept = kept_of(count, share)
        val = max(1, round(val_share * kept))
        return [(VAL, val), (TRAIN, max(1, kept - val))]

    return quotas


def query_quotas(share: float) -> Quotas:
    """The kept `share` of a class, all of it queries of test."""
    return lambda count: [(TEST, kept_of(count, share))]


def kept_of(count: int, share: float) -> int:
    """Images kept of `count` when a `share` of them is: at least 1."""
    return max(1, round(share * count))


def rows_of(images: LabelledImages, places: Sequence[Place | None], classes: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Catalogue rows of the images that have a place, as PNG files, in the order of the files."""
    for image_id, label, place, pixels in zip(images.ids, images.labels, places, images.pixels, strict=True):
        if place is None:
            continue
        split, role = place
        yield {
            "image_id": image_id,
            "item_id": image_id,
            "domain": "shop",
            "split": split,
            "role": role,
            "category": classes[label],
            "view": None,
            "attributes": [f"class:{classes[label]}"],
            "bbox": None,
            "image": encode_png(_rgb(pixels)),
        }


def _rgb(pixels: npt.NDArray[np.uint8]) -> Uint8Image:
    grey = pixels[:, :, None] if pixels.ndim == 2 else pixels
    return np.repeat(grey, 3, axis=2) if grey.shape[2] == 1 else grey
