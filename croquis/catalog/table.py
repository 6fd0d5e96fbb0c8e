"""The table of images: Parquet shards with one row per image, read and written by every stage.

Everything after `ingest` speaks this format and no other. Image files are stored untouched in the `image` column, so a
catalogue of 100,000 photos is some two hundred files that DVC, pandas, Ray and object stores all read well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from croquis.arrays import Rows
from croquis.catalog.product_columns import PRODUCT
from croquis.files import fresh_folder, sha256_file

DOMAINS = ("shop", "consumer", "sketch")
SPLITS = ("train", "val", "test")
ROLES = ("train", "query", "gallery")

SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("domain", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("role", pa.string(), nullable=False),
        pa.field("category", pa.string(), nullable=False),
        pa.field("view", pa.string()),
        pa.field("attributes", pa.list_(pa.string()), nullable=False),
        pa.field("unknown_attributes", pa.list_(pa.string())),
        pa.field("bbox", pa.list_(pa.int32())),
        pa.field("landmarks", pa.list_(pa.int32())),
        pa.field("also_gallery_of", pa.string()),
        pa.field("image", pa.binary(), nullable=False),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("sha256", pa.string()),
        pa.field("phash", pa.string()),
    ]
)
"""Columns that need explaining:

- `landmarks`: x, y, visibility, x, y, visibility, ... in pixels of the image, as many triples as the garment has points;
  visibility is 0 visible, 1 occluded, 2 cut off (x and y then mean nothing).
- `unknown_attributes`: attributes that are not annotated for this image; null for none. All others that
  `attributes` does not name are absent.
- `product`, behind these where a catalogue has it: a struct of the product's own columns
  (`croquis.catalog.product_columns`), the same in every shard. In rows it is an Arrow scalar, which carries its type.
- `also_gallery_of`: another split whose gallery this photo stands in too, as a distractor. The item stays in its own
  split; the photo only makes the other split's search harder.
"""
ADDED_COLUMNS = ("landmarks", "also_gallery_of", "unknown_attributes")
"""Shards that were written before these columns existed are read as if they held nulls there."""
SHARD_BYTES = 64 * 2**20
"""Bounds what a reader or writer holds, however large the photos are."""
METADATA_COLUMNS = tuple(name for name in SCHEMA.names if name != "image")

Row = Mapping[str, Any]


class CatalogError(ValueError):
    """A folder is not a catalogue, or rows do not fit its schema."""


class CatalogWriter:
    """Writes a catalogue folder that is either whole or absent.

    Shards go to a hidden sibling folder, which takes the final name only when the `with` block ends without an error.

    Args:
        folder: where the catalogue will stand; an existing one is replaced at the end.
        shard_rows: images per Parquet file, at most; a file ends earlier when its images reach `SHARD_BYTES`.
        schema: columns of the shards; `SCHEMA` plus any extra columns of the caller.

    Raises:
        CatalogError: when a row does not fit the schema, naming the image.
    """

    def __init__(self, folder: str | Path, shard_rows: int = 512, schema: pa.Schema = SCHEMA) -> None:
        self.folder = Path(folder)
        self.rows_written = 0
        self._schema = schema
        self._shard_rows = shard_rows
        self._fresh = fresh_folder(self.folder)
        self._partial = self.folder
        self._pending: list[Row] = []
        self._pending_bytes = 0
        self._shards = 0

    def __enter__(self) -> Self:
        self._partial = self._fresh.__enter__()
        return self

    def write(self, row: Row) -> None:
        """Adds one image; columns that are left out are stored as null. The first `product` adds the column of its type."""
        if isinstance(product := row.get(PRODUCT), pa.StructScalar) and PRODUCT not in self._schema.names:
            if self.rows_written or self._pending:
                raise CatalogError(
                    f"image {row.get('image_id')!r} is the first with product columns, and not the first"
                )
            self._schema = self._schema.append(pa.field(PRODUCT, product.type))
        self._pending.append(row)
        self._pending_bytes += len(row.get("image") or b"")
        if len(self._pending) >= self._shard_rows or self._pending_bytes >= SHARD_BYTES:
            self._flush()

    def write_all(self, rows: Iterable[Row]) -> None:
        """Adds images in their order, see `write`."""
        for row in rows:
            self.write(row)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and (self._pending or not self._shards):
            self._flush()
        self._fresh.__exit__(kind, error, trace)

    def _flush(self) -> None:
        table = self._to_table(self._pending)
        pq.write_table(table, self._partial / f"part-{self._shards:05d}.parquet", compression="zstd")
        self.rows_written += len(self._pending)
        self._shards += 1
        self._pending, self._pending_bytes = [], 0

    def _to_table(self, rows: Sequence[Row]) -> pa.Table:
        for row in rows:
            unknown = sorted(set(row) - set(self._schema.names))
            if unknown:
                known = self._schema.names
                raise CatalogError(f"image {row.get('image_id')!r} has unknown columns {unknown}; known: {known}")
            missing = [f.name for f in self._schema if not f.nullable and row.get(f.name) is None]
            if missing:
                raise CatalogError(f"image {row.get('image_id')!r} lacks {missing}")
        try:
            return pa.Table.from_pylist([dict(row) for row in rows], schema=self._schema)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            ids = [row.get("image_id") for row in rows[:3]]
            raise CatalogError(f"rows starting at {ids} do not fit the catalogue schema: {error}") from error


class Catalog:
    """A catalogue folder opened for reading: metadata in memory, image bytes read shard by shard.

    Row numbers count over the shards in name order and are the handle that every other part of the project uses.

        >>> from croquis import Catalog
        >>> catalog = Catalog.open("data/catalog")
        >>> queries = catalog.select(split="test", role="query", domain=["shop", "consumer"])
        >>> queries.dtype, len(catalog) > len(queries)
        (dtype('int64'), True)
        >>> sorted(set(catalog.column("domain")[queries]))
        ['consumer', 'shop']
        >>> all(isinstance(image, bytes) for image in catalog.images(queries))
        True

    Attributes:
        folder: where the shards lie.
        table: every column but `image`, a row per image.
    """

    def __init__(self, folder: Path, table: pa.Table, offsets: Rows, shards: Sequence[Path]) -> None:
        self.folder = folder
        self.table = table
        self._offsets = offsets
        self._shards = shards

    @classmethod
    def open(cls, folder: str | Path) -> Catalog:
        """Reads every column but `image`.

        Args:
            folder: holds Parquet shards with the columns of `SCHEMA`, e.g. `data/catalog`.

        Raises:
            CatalogError: when the folder has no shards or a shard lacks a column.
        """
        path = Path(folder)
        shards = sorted(path.glob("*.parquet"))
        if not shards:
            raise CatalogError(f"{path} holds no Parquet shards; run the stage that writes it (dvc repro)")
        tables = [_read_metadata(shard) for shard in shards]
        offsets = np.cumsum([0] + [len(table) for table in tables]).astype(np.int64)
        return cls(path, pa.concat_tables(tables), offsets, shards)

    @classmethod
    def open_if_any(cls, folder: str | Path) -> Catalog | None:
        """As `open`; None where there are no shards, as in `data/sketches` of a project without drawings."""
        return cls.open(folder) if any(Path(folder).glob("*.parquet")) else None

    def __repr__(self) -> str:
        return f"Catalog({str(self.folder)!r}, {len(self)} images)"

    def __len__(self) -> int:
        return int(self._offsets[-1])

    def column(self, name: str) -> npt.NDArray[Any]:
        """A metadata column as a NumPy array of objects, of shape (rows,); lists stay Python lists. Equal values are one
        object: change none.

        Raises:
            CatalogError: when there is no such column, naming those that there are.
        """
        column = self._known(name)
        if pa.types.is_string(column.type):
            return _words(column)
        array = np.empty(len(column), dtype=object)
        known: dict[Any, Any] = {}
        place = 0
        for chunk in column.chunks:
            for value in chunk.to_pylist():
                # Photos of one product say the same: one object for all of them.
                array[place] = known.setdefault(tuple(value) if isinstance(value, list) else value, value)
                place += 1
        return array

    def _known(self, name: str) -> pa.ChunkedArray:
        if name not in self.table.column_names:
            known = ", ".join(self.table.column_names)
            raise CatalogError(f"{self.folder} has no column {name!r} in memory; known: {known}")
        return self.table.column(name)

    def select(self, **wanted: str | Sequence[str]) -> Rows:
        """Row numbers (n,) int64, ascending, whose columns match: each a word, or any of several.

        Raises:
            CatalogError: when there is no such column.
        """
        keep = np.ones(len(self), dtype=bool)
        for name, value in wanted.items():
            allowed = pa.array([value] if isinstance(value, str) else list(value), pa.string())
            keep &= pc.is_in(self._known(name), value_set=allowed).to_numpy()
        return np.flatnonzero(keep).astype(np.int64)

    def images(self, rows: Iterable[int]) -> Iterator[bytes]:
        """The encoded files of `rows`, in that order; fast when `rows` ascend, for one shard is held at a time."""
        held, images = -1, pa.chunked_array([], pa.binary())
        for row in rows:
            shard = int(np.searchsorted(self._offsets, row, side="right")) - 1
            if shard != held:
                held, images = shard, pq.read_table(self._shards[shard], columns=["image"]).column("image")
            yield images[int(row) - int(self._offsets[shard])].as_py()

    def pieces(self, rows: Rows) -> Iterator[tuple[Path, Rows, Rows]]:
        """The shards that hold some of `rows`, ascending: each with its own row numbers, and with places among `rows`."""
        bounds = np.searchsorted(rows, self._offsets)
        for shard, offset, start, stop in zip(self._shards, self._offsets, bounds, bounds[1:], strict=False):
            if start < stop:
                yield shard, rows[start:stop] - offset, np.arange(start, stop)

    def fingerprint(self) -> str:
        """Hex SHA-256 of what decides on the photos: ids, boxes, and the hash of each file, or the shards where rows have
        none."""
        known = hashlib.sha256()
        for batch in self.table.select(["image_id", "bbox", "sha256"]).to_batches():
            known.update(batch.serialize())
        if self.table.column("sha256").null_count:
            for shard in self._shards:
                known.update(sha256_file(shard).encode())
        return known.hexdigest()

    def rows(self, numbers: Iterable[int] | None = None) -> Iterator[dict[str, Any]]:
        """Whole rows as dicts, image bytes included, in the given order (all rows by default)."""
        chosen = range(len(self)) if numbers is None else list(numbers)
        for number, image in zip(chosen, self.images(chosen), strict=True):
            row: dict[str, Any] = self.table.slice(int(number), 1).to_pylist()[0]
            if PRODUCT in row:
                row[PRODUCT] = self.table.column(PRODUCT)[int(number)]
            yield {**row, "image": image}


def _words(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """A column of text, each word one object."""
    encoded = column.combine_chunks().dictionary_encode()
    words = np.array([*encoded.dictionary.to_pylist(), None], dtype=object)
    found: npt.NDArray[Any] = words[encoded.indices.fill_null(-1).to_numpy()]
    return found


def _read_metadata(shard: Path) -> pa.Table:
    schema = pq.read_schema(shard)
    missing = sorted(set(SCHEMA.names) - set(schema.names) - set(ADDED_COLUMNS))
    if missing:
        raise CatalogError(f"{shard} lacks the columns {missing}; it is not a catalogue shard")
    table = pq.read_table(shard, columns=[name for name in schema.names if name != "image"])
    for name in ADDED_COLUMNS:
        if name not in schema.names:
            table = table.append_column(SCHEMA.field(name), pa.nulls(len(table), SCHEMA.field(name).type))
    return table.select([*METADATA_COLUMNS, *(name for name in schema.names if name not in SCHEMA.names)])
