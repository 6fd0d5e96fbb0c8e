"""A catalogue in our own format: Parquet shards with the columns of `croquis.catalog.table.SCHEMA`, near or far.

`ingest.parquet.path` is a folder (looked through at any depth, hidden and `_` names left out) or a file; anything that
fsspec opens will do: a local path, `s3://`, `gs://`, `memory://`. Shards are read in the order of their names and a few
rows at a time. Measured columns (`width`, `height`, `sha256`, `phash`) are left out, for `validate` measures again, and
columns that are not ours are ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from croquis.catalog.parquet_shards import cast_column, is_shard, open_shard
from croquis.catalog.product_columns import PRODUCT, ProductError, kinds_in
from croquis.catalog.table import SCHEMA
from croquis.formats.errors import SourceError, refuse
from croquis.params.block import Block
from croquis.sources import Source


class Parquet(Block):
    """A catalogue in our own format: Parquet shards of `croquis.catalog.table.SCHEMA`."""

    path: str = Field(min_length=1, description="a folder or a file, local or a URL such as s3://bucket/catalogue")
    storage_options: dict[str, str | int | bool] = Field(
        description="given to fsspec, e.g. `anon: true`; credentials belong into the environment"
    )


MEASURED = ("width", "height", "sha256", "phash")
NEEDED = pa.schema([field for field in SCHEMA if field.name not in MEASURED])
BATCH_ROWS = 64


def rows(block: Parquet, _seed: int) -> Iterator[dict[str, Any]]:
    """Catalogue rows in the order of the shards.

    Raises:
        SourceError: before any row, when there are no shards or one lacks a column or has a wrong type; at a row, when a
            needed cell is empty or does not fit.
    """
    files, shards = _find_shards(block)
    refuse(block.path, [problem for shard in shards for problem in _shard_problems(files, shard)])
    for shard in shards:
        yield from _shard_rows(files, shard)


def _find_shards(block: Parquet) -> tuple[Any, list[str]]:
    """The file system and the names of the shards in it."""
    try:
        files, path = fsspec.core.url_to_fs(block.path, **block.storage_options)
        found = [path] if files.isfile(path) else files.find(path)
    except ImportError as error:
        raise SourceError(
            f"ingest.parquet.path {block.path!r}: {error}; install what it names (pip install s3fs, or gcsfs)"
        ) from error
    except (OSError, ValueError) as error:
        raise SourceError(f"ingest.parquet.path {block.path!r} cannot be listed: {error}") from error
    shards = sorted(name for name in found if name == path or is_shard(name.removeprefix(path)))
    if not shards:
        raise SourceError(f"{block.path!r} holds no .parquet files; correct ingest.parquet.path in params.yaml")
    return files, shards


def _shard_problems(files: Any, shard: str) -> list[str]:
    """What keeps a shard from being read, judged by its footer."""
    try:
        with files.open(shard, "rb") as stream:
            schema = pq.read_schema(stream)
    except (pa.ArrowException, OSError) as error:
        return [f"{shard} cannot be read as Parquet: {error}"]
    missing = [field.name for field in NEEDED if not field.nullable and field.name not in schema.names]
    problems = [f"{shard} lacks the column(s) {missing}; it has {schema.names}"] if missing else []
    for field in NEEDED:
        found = schema.field(field.name).type if field.name in schema.names else field.type
        if not _castable(found, field.type):
            problems.append(f"{shard}, column {field.name}: is {found}, must be {field.type}")
    if PRODUCT in schema.names:
        try:
            kinds_in(schema.field(PRODUCT).type)
        except ProductError as error:
            problems.append(f"{shard}: {error}")
    return problems


def _castable(found: pa.DataType, wanted: pa.DataType) -> bool:
    try:
        cast_column(pa.array([], type=found), wanted)
    except pa.ArrowException:
        return False
    return True


def _shard_rows(files: Any, shard: str) -> Iterator[dict[str, Any]]:
    with files.open(shard, "rb") as stream:
        reader = open_shard(stream)
        names = [name for name in (*NEEDED.names, PRODUCT) if name in reader.schema_arrow.names]
        first = 0
        for batch in reader.iter_batches(BATCH_ROWS, columns=names):
            products = batch.column(PRODUCT) if PRODUCT in names else ()
            rows = _cast(batch.select([name for name in names if name != PRODUCT]), shard, first).to_pylist()
            yield from (
                rows
                if not len(products)
                else (row | {PRODUCT: product} for row, product in zip(rows, products, strict=True))
            )
            first += batch.num_rows


def _cast(batch: pa.RecordBatch, shard: str, first: int) -> pa.Table:
    """The batch in the types of the schema; row numbers in errors count from 0 within the shard."""
    columns = []
    for name in batch.schema.names:
        column, wanted = batch.column(name), NEEDED.field(name)
        if column.null_count and not wanted.nullable:
            row = first + column.is_null().to_pylist().index(True)
            raise SourceError(f"{shard}, row {row}, column {name}: empty; every image needs one")
        try:
            columns.append(cast_column(column, wanted.type))
        except pa.ArrowException as error:
            raise SourceError(f"{shard}, rows {first} to {first + len(column) - 1}, column {name}: {error}") from error
    return pa.Table.from_arrays(columns, names=batch.schema.names)


SOURCE = Source(params=Parquet, rows=rows)
