"""The images that are read: Parquet shards in the catalogue's format, or any others with an id and a picture in each row."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from croquis.bulk.places import EmbedError, FsspecFolder
from croquis.catalog.parquet_shards import cast_column, is_shard, open_shard
from croquis.catalog.product_columns import PRODUCT, ProductError, kinds_in, product_type
from croquis.catalog.table import SCHEMA
from croquis.search.bundle_nets import AT_A_TIME

NEEDED = ("image_id", "image")
CARRIED = ("image_id", "item_id", "domain", "split", "role", "category", "view", "attributes")
"""Columns that go along with a vector, where a shard has them, as `product` does; `bbox` is used and stays behind."""
READERS = 16  # footers at a time: near the latency of an object store, not of its bandwidth

Only = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Shard:
    """A Parquet file of images.

    Attributes:
        name: within its folder; the vectors get the same one.
        bytes: its size.
        footer: SHA-256 of its Parquet footer, which holds the schema and of every column chunk place, sizes and bounds.
        rows: images in it.
        columns: those of its columns that are read.
        product: names and kinds of the columns of the products' own (`croquis.catalog.product_columns`).
    """

    name: str
    bytes: int
    footer: str
    rows: int
    columns: tuple[str, ...]
    product: tuple[tuple[str, str], ...] = ()

    def column_type(self, name: str) -> pa.DataType:
        """Of a column that is read: the catalogue's."""
        return product_type(dict(self.product)) if name == PRODUCT else SCHEMA.field(name).type


def find_shards(source: FsspecFolder, only: Only) -> list[Shard]:
    """The shards below a place, in the order of their names.

    Raises:
        EmbedError: when there are none, one is damaged or lacks a column, or they do not have the same columns.
    """
    sizes = {name: size for name, size in source.names().items() if is_shard(name)}
    if not sizes:
        raise EmbedError(
            f"{source.uri} holds no .parquet files; give the folder of a catalogue, e.g. --from data/catalog"
        )
    with ThreadPoolExecutor(READERS) as pool:
        shards = list(pool.map(lambda name: describe_shard(source, name), sizes))
    for shard in shards:
        if missing := sorted({*NEEDED, *only} - set(shard.columns)):
            raise EmbedError(f"{shard.name} in {source.uri} lacks the columns {missing}")
        if shard.columns != shards[0].columns:
            differ = sorted(set(shard.columns) ^ set(shards[0].columns))
            raise EmbedError(f"{shard.name} and {shards[0].name} in {source.uri} differ in the columns {differ}")
        if shard.product != shards[0].product:
            differ = sorted({name for name, _ in set(shard.product) ^ set(shards[0].product)})
            where = f"{shard.name} and {shards[0].name} in {source.uri}"
            raise EmbedError(f"{where} differ in the columns {differ} of `{PRODUCT}`, or in their order")
    return shards


def describe_shard(source: FsspecFolder, name: str) -> Shard:
    """What a shard's footer says.

    Raises:
        EmbedError: when it is no Parquet file.
    """
    with _naming(source, name), source.open(name) as stream:
        return _describe(stream, name)


def read_shard(source: FsspecFolder, shard: Shard, only: Only) -> Iterator[pa.Table]:
    """The rows of a shard that `only` lets through, a few at a time; a column's type is the catalogue's.

    Raises:
        EmbedError: when the shard is not the one that was described, is damaged, or holds something else than images.
    """
    with _naming(source, shard.name), source.open(shard.name) as stream:
        if _describe(stream, shard.name) != shard:
            raise EmbedError(f"{shard.name} in {source.uri} was changed while it was embedded: begin again")
        for batch in open_shard(stream).iter_batches(AT_A_TIME, columns=list(shard.columns)):
            table = _cast(batch, shard)
            if table.column("image_id").null_count:
                raise EmbedError(f"{shard.name} in {source.uri} has rows without an image_id; every image needs one")
            yield table.filter(_let_through(table, only))


@contextmanager
def _naming(source: FsspecFolder, name: str) -> Iterator[None]:
    """Says which shard an error of Parquet, of its file system or of its types belongs to."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise EmbedError(f"{name} in {source.uri} cannot be read: {error}") from error


def _describe(stream: Any, name: str) -> Shard:
    metadata = pq.read_metadata(stream)
    schema = metadata.schema.to_arrow_schema()
    size = stream.seek(0, 2)
    stream.seek(size - 8 - metadata.serialized_size)
    footer = hashlib.sha256(stream.read()).hexdigest()
    stream.seek(0)
    product = _product_kinds(schema)
    carried = (*CARRIED, *([PRODUCT] if product else []), "bbox", "image")
    columns = tuple(column for column in carried if column in schema.names)
    return Shard(name, size, footer, metadata.num_rows, columns, product)


def _product_kinds(schema: pa.Schema) -> tuple[tuple[str, str], ...]:
    """None where a column of that name is none of ours: it stays behind, as any other does."""
    try:
        return tuple(kinds_in(schema.field(PRODUCT).type).items()) if PRODUCT in schema.names else ()
    except ProductError:
        return ()


def _cast(batch: pa.RecordBatch, shard: Shard) -> pa.Table:
    columns = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            columns[name] = cast_column(column, shard.column_type(name))
        except pa.ArrowException as error:
            raise pa.ArrowTypeError(f"column {name}: {error}") from error
    return pa.table(columns)


def _let_through(table: pa.Table, only: Only) -> Any:
    keep = pa.array(np.ones(len(table), dtype=bool))
    for name, values in only.items():
        keep = pc.and_(keep, pc.is_in(table.column(name).combine_chunks(), pa.array(values, pa.string())))
    return keep
