"""From embedded shards into a store, without embedding anything twice."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from croquis.arrays import Vectors
from croquis.bulk.places import EmbedError
from croquis.bulk.run import Embedding
from croquis.bulk.shard_file import VECTOR
from croquis.catalog.product_columns import PRODUCT, known
from croquis.store.vector_store import StoredImage, StoreSpec, VectorStore
from croquis.store.versions import Stores

NEEDED = ("image_id", "item_id", "category", "domain", "attributes")
AT_A_TIME = 4096  # images in one call of the store


def load(whole: Embedding, spec: StoreSpec, stores: Stores, version: int) -> VectorStore:
    """A new version of `stores` with every embedded image; it is not published, and dropped when it cannot be filled.

    Args:
        spec: of the bundle that embedded them.
        version: of every product: a later change of one has a higher number (docs/scale.md, Products).

    Raises:
        EmbedError: when a shard lacks a column that a store keeps.
        StoreError: when the store fails.
    """
    with stores.filling(spec) as store:
        for images, vectors in stored_images(whole, spec.dim, version):
            store.upsert(images, vectors)
    return store


def stored_images(whole: Embedding, dim: int, version: int) -> Iterator[tuple[list[StoredImage], Vectors]]:
    """All images, some at a time, with the vectors (n, dim) that the encoder gave them."""
    for record in whole.records:
        with whole.to.open(record.name) as stream:
            file = pq.ParquetFile(stream)
            if missing := [column for column in NEEDED if column not in file.schema_arrow.names]:
                raise EmbedError(f"{record.name} in {whole.to.uri} lacks {missing}, which a store keeps of each image")
            own = [PRODUCT] if PRODUCT in file.schema_arrow.names else []
            for batch in file.iter_batches(AT_A_TIME, columns=[*NEEDED, *own, VECTOR]):
                yield _images(batch, version), _vectors(batch, dim)


def _images(batch: pa.RecordBatch, version: int) -> list[StoredImage]:
    described = batch.drop_columns([VECTOR]).to_pylist()
    return [
        StoredImage(
            **row | {"attributes": tuple(row["attributes"] or ()), PRODUCT: known(row.get(PRODUCT))}, version=version
        )
        for row in described
    ]


def _vectors(batch: pa.RecordBatch, dim: int) -> Vectors:
    flat = batch.column(VECTOR).flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat, dtype=np.float32).reshape(-1, dim)
