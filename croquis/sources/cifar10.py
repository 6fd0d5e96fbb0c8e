"""CIFAR-10 (Krizhevsky 2009) through torchvision, in the two splits that hashing papers use.

- `a` (GPQ and others; `base.protocol: cifar10_a`): of all 60,000 images 1,000 are queries, 5,000 are labelled train
  images, and the other 54,000 are the gallery, which semi-supervised methods may also train on without labels.
- `c` (SPQ and others; `base.protocol: cifar10_c`): the 10,000 official test images are queries, the 50,000 official train
  images are trained on and searched.

Val is `val_share` of the (labelled) train images and is taken from them: with 0.1, split `a` trains on 4,500 and split
`c` on 45,000 images, which are then also its gallery. In `a` a fifth of val is queries and the rest its gallery; in `c`
all of val is queries.

GPQ sorts the 60,000 by class, takes every 60th as a query and the first 500 left of each class as labelled. Here the
numbers per class are the same (100, 500, 5,400), but a seeded hash chooses the images, and rows keep the order of the
official batches, which is mixed: in a gallery sorted by class, ties at equal distance come out in runs of a class.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any, Literal

import numpy as np
from pydantic import Field

from croquis.formats.class_sets.class_rows import (
    TEST,
    TRAIN,
    VAL,
    Place,
    Quotas,
    deal,
    kept_of,
    query_quotas,
    rows_of,
    train_quotas,
)
from croquis.formats.class_sets.class_set import ClassSet
from croquis.formats.class_sets.torchvision_sets import TrainAndTest, open_set
from croquis.sources import Source


class Cifar10(ClassSet):
    """CIFAR-10 through torchvision; `root` holds cifar-10-batches-py/."""

    download: bool
    split: Literal["a", "c"] = Field(description="a: 1,000 queries, 5,000 train, 54,000 gallery; c: the official split")

    @property
    def fitting_protocols(self) -> tuple[str, ...]:
        return ("cifar10_a",) if self.split == "a" else ("cifar10_c", "category")


QUERY_SHARE, LABELLED_SHARE = 1 / 60, 5 / 60
VAL_QUERY_SHARE = 0.2
REMEDY = (
    "unpack cifar-10-python.tar.gz there, so that {root}/cifar-10-batches-py/data_batch_1 exists, or set "
    "ingest.cifar10.download: true in params.yaml"
)


def rows(block: Cifar10, seed: int) -> Iterator[dict[str, Any]]:
    """Catalogue rows in the order of the official batches, train then test.

    Raises:
        SourceError: when the files are absent or are not the official ones (torchvision checks their MD5).
    """
    from torchvision.datasets import CIFAR10

    official = open_set(CIFAR10, block.root, block.download, REMEDY.format(root=block.root))
    places = _split_a(official, block, seed) if block.split == "a" else _split_c(official, block, seed)
    first = len(official.train.labels)
    for images, part in ((official.train, places[:first]), (official.test, places[first:])):
        yield from rows_of(images, part, official.classes)


def _split_a(official: TrainAndTest, block: Cifar10, seed: int) -> list[Place | None]:
    ids = [*official.train.ids, *official.test.ids]
    labels = np.concatenate([official.train.labels, official.test.labels])
    return deal(ids, labels, quotas_a(block.share, block.val_share), seed)


def _split_c(official: TrainAndTest, block: Cifar10, seed: int) -> list[Place | None]:
    parts = (
        (official.train, train_quotas(block.share, block.val_share)),
        (official.test, query_quotas(block.share)),
    )
    return list(chain.from_iterable(deal(images.ids, images.labels, quotas, seed) for images, quotas in parts))


def quotas_a(share: float, val_share: float) -> Quotas:
    """A sixtieth of a class asks, five sixtieths are labelled (val among them), the rest is the gallery."""

    def quotas(count: int) -> list[tuple[Place, int]]:
        kept = kept_of(count, share)
        asked = max(1, round(QUERY_SHARE * kept))
        labelled = max(3, round(LABELLED_SHARE * kept))
        val = max(2, round(val_share * labelled))
        val_asked = max(1, round(VAL_QUERY_SHARE * val))
        return [
            (TEST, asked),
            (VAL, val_asked),
            (("val", "gallery"), val - val_asked),
            (TRAIN, labelled - val),
            (("test", "gallery"), kept - asked - labelled),
        ]

    return quotas


SOURCE = Source(params=Cifar10, rows=rows, fitting_protocols=lambda block: block.fitting_protocols)
