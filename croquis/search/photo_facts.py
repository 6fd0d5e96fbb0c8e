"""What a bundle's nets say of gallery photos, and their thumbnails, as the stage `index` puts them into a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from croquis.arrays import Uint8Image, Vectors
from croquis.bundle.gallery_table import GalleryTable
from croquis.catalog.images import decode_image, encode_jpeg, prepare_image
from croquis.rerank.overlap import to_bytes
from croquis.search.bundle_nets import Nets


@dataclass(frozen=True)
class PhotoFacts:
    """Of each photo, in order.

    Attributes:
        vectors: (n, dim) of the encoder.
        predicted: the attributes that the classifier sees, sorted; none without a classifier.
        probabilities: a byte for each attribute (`croquis.bundle.gallery_table.PROBABILITIES`); None without a classifier.
        thumbnails: JPEGs.
    """

    vectors: Vectors
    predicted: list[list[str]]
    probabilities: list[bytes | None]
    thumbnails: list[bytes]


def photo_facts(nets: Nets, photos: Sequence[Uint8Image], side: int) -> PhotoFacts:
    """Looks at photos of any size, uint8 (H, W, 3) each; thumbnails get `side` pixels."""
    vectors = nets.encode(photos)
    thumbnails = [encode_jpeg(prepare_image(photo, side)) for photo in photos]
    if not nets.has_classifier:
        return PhotoFacts(vectors, [[] for _ in photos], [None] * len(photos), thumbnails)
    found = nets.probabilities(photos)
    predicted = [sorted(names) for names in nets.classifier.decide(found)]
    return PhotoFacts(vectors, predicted, [row.tobytes() for row in to_bytes(found)], thumbnails)


def thumbnail_side(items: GalleryTable) -> int:
    """Pixels, of the thumbnails that a bundle has."""
    height, width, _ = decode_image(items.thumbnail(0)).shape
    return int(max(height, width))
