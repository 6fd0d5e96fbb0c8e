"""A version of a store as files that no engine owns: Parquet, from which any engine makes the same version again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from croquis.catalog.product_columns import check_columns
from croquis.files import fresh_folder, read_json, write_json
from croquis.store.image_rows import read_spec, read_whole
from croquis.store.vector_store import StoreChange, Stored, StoredImage, StoreError, StoreSpec, VectorStore
from croquis.store.versions import Stores

IMAGES, DELETIONS, SPEC = "images.parquet", "graves.json", "spec.json"
SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("version", pa.int64(), nullable=False),
        pa.field("category", pa.string(), nullable=False),
        pa.field("domain", pa.string(), nullable=False),
        pa.field("attributes", pa.list_(pa.string()), nullable=False),
        pa.field("predicted", pa.list_(pa.string()), nullable=False),
        pa.field("probabilities", pa.binary()),
        pa.field("vector", pa.binary(), nullable=False),
        pa.field("thumbnail", pa.binary(), nullable=False),
        pa.field("product", pa.string()),  # JSON
    ]
)
ROWS = 4096


def save_snapshot(store: VectorStore, folder: Path) -> int:
    """Writes every image that is there all the while, and the deleted products; returns how many images.

    The folder is whole or absent, and must not exist. What changes meanwhile may be in it or not: stop writing first.

    Raises:
        StoreError: when the folder exists.
    """
    if folder.exists():
        raise StoreError(f"{folder} exists: give a new folder for the snapshot")
    written = 0
    with fresh_folder(folder) as partial:
        partial.chmod(0o700)  # not readable by other users of the machine
        (partial / IMAGES).touch(0o600)
        with pq.ParquetWriter(partial / IMAGES, SCHEMA, compression="zstd") as writer:
            for images, stored in store.scan():
                writer.write_table(_table(images, stored, store.thumbnails([image.image_id for image in images])))
                written += len(images)
        write_json(partial / DELETIONS, store.deletions())
        write_json(partial / SPEC, asdict(store.spec))
    return written


def load_snapshot(folder: Path, stores: Stores) -> VectorStore:
    """A new version of `stores` with what `save_snapshot` wrote; it is not published.

    Raises:
        StoreError: when the folder is no snapshot.
    """
    try:
        spec, deletions = read_spec((folder / SPEC).read_text(encoding="utf-8")), read_json(folder / DELETIONS)
        versions = {item_id: read_whole(version) for item_id, version in deletions.items()}
        with stores.filling(spec) as store:
            store.mark_deleted(versions)
            for images, stored, thumbnails in _parts(folder / IMAGES, spec):
                store.change(StoreChange(images, stored, thumbnails, as_stored=True))
    except (OSError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise StoreError(f"{folder} is no snapshot of a store: {type(error).__name__}: {error}") from error
    return store


def _table(images: list[StoredImage], stored: Stored, thumbnails: Mapping[str, bytes]) -> pa.Table:
    rows = [
        asdict(image)
        | {"vector": vector.tobytes(), "product": json.dumps(image.product, ensure_ascii=False)}
        | {"thumbnail": thumbnails.get(image.image_id, b"")}
        for image, vector in zip(images, stored, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _parts(path: Path, spec: StoreSpec) -> Iterator[tuple[list[StoredImage], Stored, list[bytes]]]:
    for batch in pq.ParquetFile(path).iter_batches(ROWS):
        rows = batch.to_pylist()
        stored = spec.read([row.pop("vector") for row in rows])
        thumbnails = [row.pop("thumbnail") for row in rows]
        words = [{name: tuple(row[name]) for name in ("attributes", "predicted")} for row in rows]
        own = [{"product": check_columns(json.loads(row.get("product") or "{}"))} for row in rows]
        images = [StoredImage(**row | labels | kept) for row, labels, kept in zip(rows, words, own, strict=True)]
        yield images, stored, thumbnails
