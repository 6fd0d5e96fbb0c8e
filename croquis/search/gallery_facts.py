"""Vectors and labels of the prepared photos of a gallery: what the stage `index` knows of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from croquis.arrays import Rows, Vectors
from croquis.bundle.gallery_file import GALLERY_SCHEMA, PROBABILITIES
from croquis.catalog.images import Batch, to_batch
from croquis.catalog.prepared_photos import Preparation, PreparedPhotos, open_photos, place_beside
from croquis.catalog.table import Catalog
from croquis.files import made_once, sha256_file
from croquis.nets.classifier import AttributeClassifier
from croquis.nets.encoder import Encoder
from croquis.search.bundle_nets import AT_A_TIME
from croquis.search.photo_facts import labels

LABELS = pa.schema([GALLERY_SCHEMA.field("predicted_attributes"), PROBABILITIES])
FILE = "labels.arrow"


def gallery_vectors(encoder: Encoder, photos: PreparedPhotos, rows: Rows) -> Vectors:
    """Vectors (n, dim) of some prepared photos."""
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
    target, key = place_beside(catalog, "labels", how.draft, images=len(rows), threads=threads, **files)

    def make(partial: Path) -> None:
        classifier, photos = AttributeClassifier(folder, threads), open_photos(catalog, described.size, how=how)
        with pa.OSFile(str(partial / FILE), "wb") as sink, pa.ipc.new_file(sink, LABELS) as writer:
            for _, batch in _batches(photos, rows):
                seen = zip(*labels(classifier, batch), strict=True)
                columns = [pa.array(column, kind) for column, kind in zip(seen, LABELS.types, strict=True)]
                writer.write_batch(pa.record_batch(columns, schema=LABELS))

    with pa.memory_map(str(made_once(target, key, make) / FILE)) as source:
        return pa.ipc.open_file(source).read_all()


def _batches(photos: PreparedPhotos, rows: Rows) -> Iterator[tuple[int, Batch]]:
    """Place of the first, and pictures as nets take them."""
    for start in range(0, len(rows), AT_A_TIME):
        yield start, to_batch(list(photos.take(rows[start : start + AT_A_TIME])))
