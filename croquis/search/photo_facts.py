"""What a bundle says of a gallery photo, and its thumbnail: the same for the stage `index`, product events and changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa

from croquis.arrays import Rows, Uint8Image, Vectors
from croquis.bundle.gallery_table import GALLERY_SCHEMA, PROBABILITIES, GalleryTable
from croquis.catalog.images import Batch, decode_image, encode_jpeg, prepare_image, to_batch
from croquis.catalog.prepared_photos import FOLDER, Photos, Preparation, open_photos
from croquis.catalog.table import Catalog
from croquis.files import made_once, sha256_file
from croquis.nets.classifier import AttributeClassifier
from croquis.nets.encoder import Encoder
from croquis.rerank.overlap import to_bytes
from croquis.search.bundle_nets import AT_A_TIME, prepared

LABELS = pa.schema([GALLERY_SCHEMA.field("predicted_attributes"), PROBABILITIES])
LABELS_FILE = "labels.arrow"


class Models(Protocol):
    """What looks at a photo: a `Bundle`, or models of which a bundle will be made."""

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
        probabilities: a byte for each attribute (`croquis.bundle.gallery_table.PROBABILITIES`); None without a classifier.
        thumbnails: JPEGs.
    """

    vectors: Vectors
    predicted: list[list[str]] = field(default_factory=list)
    probabilities: list[bytes | None] = field(default_factory=list)
    thumbnails: list[bytes] = field(default_factory=list)


def photo_facts(models: Models, photos: Iterable[Uint8Image], side: int) -> PhotoFacts:
    """Looks at photos of any size, uint8 (H, W, 3) each, of which a few are in memory at a time.

    Args:
        side: of the thumbnails, pixels.
    """
    encoder, classifier, photos = models.encoder, models.classifier, iter(photos)
    vectors = [np.empty((0, encoder.dim), dtype=np.float32)]
    facts = PhotoFacts(vectors[0])
    while some := list(islice(photos, AT_A_TIME)):
        batch = prepared(some, encoder.size)
        vectors.append(encoder.encode(batch))
        facts.thumbnails.extend(encode_jpeg(prepare_image(photo, side)) for photo in some)
        if classifier is None:
            facts.predicted.extend([] for _ in some)
            facts.probabilities.extend(None for _ in some)
            continue
        seen = labels(classifier, batch if classifier.size == encoder.size else prepared(some, classifier.size))
        facts.predicted.extend(names for names, _ in seen)
        facts.probabilities.extend(cell for _, cell in seen)
    return PhotoFacts(np.concatenate(vectors), facts.predicted, facts.probabilities, facts.thumbnails)


def labels(classifier: AttributeClassifier, batch: Batch) -> list[tuple[list[str], bytes]]:
    """The attributes that the classifier sees in each image, sorted, and its probabilities as bytes."""
    found = classifier.probabilities(batch)
    names = (sorted(decided) for decided in classifier.decide(found))
    return list(zip(names, (row.tobytes() for row in to_bytes(found)), strict=True))


def gallery_vectors(encoder: Encoder, photos: Photos, rows: Rows) -> Vectors:
    """Vectors (n, dim) of some prepared photos, in the batches of `photo_facts`."""
    vectors = np.empty((len(rows), encoder.dim), dtype=np.float32)
    for start, batch in _batches(photos, rows):
        vectors[start : start + len(batch)] = encoder.encode(batch)
    return vectors


def gallery_labels(folder: Path | None, catalog: Catalog, rows: Rows, threads: int, how: Preparation) -> pa.Table:
    """What the classifier in `folder` sees in some photos of a catalogue: the columns `LABELS`, memory-mapped; none without
    a classifier. They are made once for the bundles of all methods, and kept beside the catalogue.

    Args:
        threads: of the classifier.
    """
    if folder is None:
        names, cells = LABELS.types
        return pa.table([pa.array([[]] * len(rows), names), pa.nulls(len(rows), cells)], schema=LABELS)
    described = AttributeClassifier.describe(folder)
    files = {name: sha256_file(folder / name) for name in (AttributeClassifier.filename, described.file)}
    key = {"catalog": catalog.fingerprint(), "images": len(rows), "threads": threads, **files}
    target = catalog.folder.parent / FOLDER / f"{catalog.folder.name}-labels"

    def make(partial: Path) -> None:
        classifier, photos = AttributeClassifier(folder, threads), open_photos(catalog, described.size, how=how)
        with pa.OSFile(str(partial / LABELS_FILE), "wb") as sink, pa.ipc.new_file(sink, LABELS) as writer:
            for _, batch in _batches(photos, rows):
                seen = zip(*labels(classifier, batch), strict=True)
                columns = [pa.array(column, kind) for column, kind in zip(seen, LABELS.types, strict=True)]
                writer.write_batch(pa.record_batch(columns, schema=LABELS))

    with pa.memory_map(str(made_once(target, key, make) / LABELS_FILE)) as source:
        return pa.ipc.open_file(source).read_all()


def _batches(photos: Photos, rows: Rows) -> Iterator[tuple[int, Batch]]:
    """Place of the first, and pictures as nets take them."""
    for start in range(0, len(rows), AT_A_TIME):
        yield start, to_batch(list(photos.take(rows[start : start + AT_A_TIME])))


def thumbnail_side(items: GalleryTable) -> int:
    """Pixels, of the thumbnails that a bundle has."""
    height, width, _ = decode_image(items.thumbnail(0)).shape
    return int(max(height, width))
