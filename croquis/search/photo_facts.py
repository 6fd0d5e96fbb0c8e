"""What a bundle says of a gallery photo, and its thumbnail: the same for the stage `index`, product events and changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Protocol

import numpy as np

from croquis.arrays import Uint8Image, Vectors
from croquis.bundle.gallery_table import GalleryTable
from croquis.catalog.images import Batch, decode_image, encode_jpeg, prepare_image, to_batch
from croquis.nets.classifier import AttributeClassifier
from croquis.nets.encoder import Encoder
from croquis.rerank.overlap import to_bytes
from croquis.search.bundle_nets import AT_A_TIME


class Models(Protocol):
    """What looks at a photo: a `Bundle`, or models of which a bundle will be made.

    `encoder` makes the vectors; `classifier` predicts attributes, None where nothing does.
    """

    @property
    def encoder(self) -> Encoder: ...

    @property
    def classifier(self) -> AttributeClassifier | None: ...


@dataclass(frozen=True)
class PhotoFacts:
    """Of each photo, in order.

    Attributes:
        vectors: (n, dim) of the encoder.
        predicted: the attributes that the classifier sees, sorted; none without a classifier.
        probabilities: a byte for each attribute (`croquis.bundle.gallery_file.PROBABILITIES`); None without a classifier.
        thumbnails: JPEGs.
    """

    vectors: Vectors
    predicted: list[list[str]] = field(default_factory=list)
    probabilities: list[bytes | None] = field(default_factory=list)
    thumbnails: list[bytes] = field(default_factory=list)


def photo_facts(models: Models, photos: Iterable[Uint8Image], side: int) -> PhotoFacts:
    """Looks at photos of any size, uint8 (H, W, 3) each, of which one is in memory at a time where `photos` decodes them
    one by one; what the nets take of a few is.

    Args:
        photos: decoded with the draft of the models' bundle.
        side: of the thumbnails, pixels.
    """
    encoder, classifier, photos = models.encoder, models.classifier, iter(photos)
    sizes = {encoder.size} if classifier is None else {encoder.size, classifier.size}
    vectors = [np.empty((0, encoder.dim), dtype=np.float32)]
    facts = PhotoFacts(vectors[0])
    # `map` lets go of a photo before it asks for the next one.
    while some := list(map(partial(_sized, sizes=sizes, side=side), islice(photos, AT_A_TIME))):
        vectors.append(encoder.encode(to_batch([squares[encoder.size] for squares, _ in some])))
        facts.thumbnails.extend(thumbnail for _, thumbnail in some)
        _add_labels(facts, classifier, [squares for squares, _ in some])
    return PhotoFacts(np.concatenate(vectors), facts.predicted, facts.probabilities, facts.thumbnails)


def _sized(photo: Uint8Image, sizes: Collection[int], side: int) -> tuple[dict[int, Uint8Image], bytes]:
    """What is kept of a photo: a square for each size of a net, and a thumbnail as JPEG."""
    return {size: prepare_image(photo, size) for size in sizes}, encode_jpeg(prepare_image(photo, side))


def _add_labels(
    facts: PhotoFacts, classifier: AttributeClassifier | None, squares: Sequence[Mapping[int, Uint8Image]]
) -> None:
    if classifier is None:
        facts.predicted.extend([] for _ in squares)
        facts.probabilities.extend(None for _ in squares)
        return
    seen = labels(classifier, to_batch([each[classifier.size] for each in squares]))
    facts.predicted.extend(names for names, _ in seen)
    facts.probabilities.extend(cell for _, cell in seen)


def labels(classifier: AttributeClassifier, batch: Batch) -> list[tuple[list[str], bytes]]:
    """The attributes that the classifier sees in each image, sorted, and its probabilities as bytes."""
    found = classifier.probabilities(batch)
    names = (sorted(decided) for decided in classifier.decide(found))
    return list(zip(names, (row.tobytes() for row in to_bytes(found)), strict=True))


def thumbnail_side(items: GalleryTable) -> int:
    """Pixels, of the thumbnails that a bundle has."""
    height, width, _ = decode_image(items.thumbnail(0)).shape
    return int(max(height, width))
