"""A small catalogue in shards, and bundles whose gallery is part of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from croquis.bundle import Bundle, write_bundle
from croquis.bundle.gallery_file import GALLERY_SCHEMA
from croquis.bundle.gallery_table import GalleryTable
from croquis.catalog.images import crop, decode_image, prepare_image, to_batch
from croquis.catalog.table import Catalog, CatalogWriter
from croquis.files import write_json
from croquis.index.coding import read_codebooks
from croquis.nets.encoder import describe_encoder, describe_fixed, load_encoder
from tests.support.catalogues.blob_catalogue import RERANK, SIZE, encoder, rows
from tests.support.coded_encoders import save_coded_encoder
from tests.support.indexes import index_of

SHARD_ROWS, SHARDS = 3, 12  # the last one is not full
HEADS = ("dense", "binary", "pq")


def write_catalogue(folder: Path) -> Catalog:
    """Photos of shops and of consumers, some with a box; ids do not ascend."""
    listed = [row for row in rows() if row["domain"] != "sketch"][: SHARD_ROWS * SHARDS - 1]
    with CatalogWriter(folder, SHARD_ROWS) as writer:
        writer.write_all(listed)
    return Catalog.open(folder)


def write_tiny_bundle(folder: Path, catalog: Catalog, head: str) -> Bundle:
    """A bundle with the shop photos of a catalogue in the order of their ids, encoded in one batch."""
    models = folder.with_name(f"{folder.name}-models")
    if head == "dense":
        write_json(models / "encoder.json", describe_fixed(encoder()))
    else:
        save_coded_encoder(models, head, SIZE)
    shop = catalog.select(domain="shop")
    shop = shop[np.argsort(catalog.column("image_id")[shop].astype(str))]
    described = describe_encoder(models)
    index = index_of(
        load_encoder(models).encode(to_batch(prepared(catalog, shop))),
        metric=described.metric,
        head=described.head,
        codebooks=read_codebooks(models, described.dim) if head == "pq" else None,
    )
    records = catalog.table.take(pa.array(shop)).to_pylist()
    columns: dict[str, Any] = {name: [record.get(name) for record in records] for name in GALLERY_SCHEMA.names}
    columns |= {"predicted_attributes": [[]] * len(shop), "thumbnail": [b""] * len(shop)}
    return write_bundle(
        folder,
        method=head,
        encoder_folder=models,
        generator_folder=None,
        classifier_folder=None,
        index=index,
        gallery_table=pa.table(columns, schema=GALLERY_SCHEMA),
        rerank=RERANK,
        image_size=SIZE,
    )


def prepared(catalog: Catalog, chosen: np.ndarray) -> list[np.ndarray]:
    boxes, files = catalog.column("bbox"), catalog.images(chosen)
    return [prepare_image(crop(decode_image(data), boxes[row]), SIZE) for row, data in zip(chosen, files, strict=True)]


def read_vectors(folder: Path) -> pa.Table:
    """Every embedded image of a folder, in the order of the shards."""
    return pa.concat_tables([pq.read_table(path) for path in sorted(folder.glob("*.parquet"))])


def by_id(table: pa.Table, column: str, items: GalleryTable) -> list[Any]:
    """A column's values in the order of a gallery."""
    found = dict(zip(table.column("image_id").to_pylist(), table.column(column).to_pylist(), strict=True))
    return [found[image_id] for image_id in items.image_ids]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
