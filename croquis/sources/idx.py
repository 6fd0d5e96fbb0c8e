"""Labelled images in IDX files: MNIST and all that copy its format.

Images are idx3, (N, H, W) grey, or idx4, (N, H, W, C) or (N, C, H, W) with 1 or 3 channels; labels are idx1. Test is
asked, train is trained on and searched (`base.protocol: category`); val is `val_share` of every class of train. Where
there is no test pair, `test_share` of every class is test.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from croquis.formats.class_sets.class_rows import (
    TEST,
    LabelledImages,
    Place,
    Quotas,
    deal,
    kept_of,
    query_quotas,
    rows_of,
    train_quotas,
)
from croquis.formats.class_sets.class_set import ClassSet
from croquis.formats.class_sets.idx_format import IdxFile, open_idx
from croquis.formats.errors import SourceError
from croquis.params.block import Block
from croquis.sources import Source


class IdxPair(Block):
    """Two files of equal length: images (idx3 or idx4, unsigned bytes) and their labels (idx1)."""

    images: str
    labels: str


class Idx(ClassSet):
    """Labelled images in IDX files, the format of MNIST."""

    train: IdxPair
    test: IdxPair | None = Field(description="null: `test_share` of the train pair")
    classes: str | None = Field(description="file of class names, one a line in the order of the labels; null: numbers")
    test_share: float = Field(gt=0.0, lt=0.5, description="share of the images for test where there is no test pair")


CHANNELS = (1, 3)


def rows(block: Idx, seed: int) -> Iterator[dict[str, Any]]:
    """Catalogue rows in the files' order, train before test; one image is in memory at a time.

    Raises:
        SourceError: before any row, when a file is absent, malformed, cut off or does not fit its partner.
    """
    root = Path(block.root)
    train = _open_pair(root, block.train, "train")
    test = _open_pair(root, block.test, "test") if block.test else None
    classes = _class_names(root, block.classes, [part.labels for part in (train, test) if part])
    quotas = train_quotas(block.share, block.val_share)
    if test is None:
        quotas = _with_test(block)
    yield from rows_of(train, deal(train.ids, train.labels, quotas, seed), classes)
    if test is not None:
        yield from rows_of(test, deal(test.ids, test.labels, query_quotas(block.share), seed), classes)


def _open_pair(root: Path, pair: IdxPair, name: str) -> LabelledImages:
    images, labels = open_idx(root / pair.images, (3, 4)), open_idx(root / pair.labels, (1,))
    if images.shape[0] != labels.shape[0]:
        raise SourceError(
            f"{images.path} holds {images.shape[0]} images, {labels.path} {labels.shape[0]} labels; "
            "they are not of one pair"
        )
    return LabelledImages(name, labels.values().astype(np.int64), _pictures(images))


def _pictures(images: IdxFile) -> Iterator[npt.NDArray[np.uint8]]:
    """(H, W) or (H, W, C) arrays; the check comes before the first is asked for."""
    channels_first = False
    if len(images.shape) == 4 and images.shape[3] not in CHANNELS:
        channels_first = images.shape[1] in CHANNELS
        if not channels_first:
            sizes = " x ".join(map(str, images.shape))
            raise SourceError(f"{images.path} is {sizes}: neither its second nor its last size is 1 or 3 channels")
    return (entry.transpose(1, 2, 0) if channels_first else entry for entry in images.entries())


def _class_names(root: Path, file: str | None, labels: Sequence[npt.NDArray[np.int64]]) -> list[str]:
    needed = int(max(part.max() for part in labels)) + 1
    if file is None:
        return [str(number) for number in range(needed)]
    path = root / file
    if not path.is_file():
        raise SourceError(f"{path} does not exist; correct ingest.idx.classes, or set it to null")
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is not UTF-8 text: {error}") from error
    if len(names) < needed or len(set(names)) < len(names):
        raise SourceError(
            f"{path} names {len(set(names))} classes on {len(names)} lines, the labels reach {needed - 1}; "
            "it needs one distinct name a line, in the order of the labels from 0"
        )
    return names


def _with_test(block: Idx) -> Quotas:
    of_train = train_quotas(1.0, block.val_share)

    def quotas(count: int) -> list[tuple[Place, int]]:
        kept = kept_of(count, block.share)
        test = max(1, round(block.test_share * kept))
        return [(TEST, test), *of_train(max(1, kept - test))]

    return quotas


SOURCE = Source(params=Idx, rows=rows, fitting_protocols=lambda block: block.fitting_protocols)
