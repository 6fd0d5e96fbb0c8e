"""The vectors of one shard as a Parquet file, and what that file says about itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from croquis.bulk.places import EmbedError, FsspecFolder
from croquis.bulk.shards import CARRIED, Shard
from croquis.catalog.product_columns import PRODUCT

VECTOR, CODE = "vector", "code"
RECORD = b"croquis.embedded"
GROUP_ROWS = 4096  # of a row group


@dataclass(frozen=True)
class ShardRecord:
    """The outcome for a shard's images; it stands in the footer of the file of their vectors.

    Attributes:
        name, footer: of the shard that was read.
        bundle: hash of the bundle whose encoder made the vectors.
        embedded: images with a vector.
        left_out: images that were not asked for.
        unreadable: (image_id, reason) of those that are no picture, or whose box holds none of it; they have no row.
    """

    name: str
    footer: str
    bundle: str
    embedded: int
    left_out: int
    unreadable: tuple[tuple[str, str], ...]

    def belongs_to(self, shard: Shard, bundle: str) -> bool:
        """Whether the file was made of this shard, unchanged since, by the bundle of that hash."""
        return (self.name, self.footer, self.bundle) == (shard.name, shard.footer, bundle)


def schema_of(shard: Shard, dim: int, code_bytes: int | None) -> pa.Schema:
    """What was carried along, then `vector`: dim x float32, and of a coding head `code`: packed codes, so many bytes."""
    fields = [pa.field(name, shard.column_type(name)) for name in (*CARRIED, PRODUCT) if name in shard.columns]
    fields.append(pa.field(VECTOR, pa.list_(pa.field("element", pa.float32(), nullable=False), dim), nullable=False))
    if code_bytes is not None:
        fields.append(pa.field(CODE, pa.binary(code_bytes), nullable=False))
    return pa.schema(fields)


def rows_of(
    carried: pa.Table, schema: pa.Schema, vectors: npt.NDArray[Any], codes: npt.NDArray[Any] | None
) -> pa.Table:
    """Rows of the file: vectors (n, dim) float32 and codes (n, bytes) uint8 beside what goes along with them."""
    columns = {name: carried.column(name) for name in schema.names if name not in (VECTOR, CODE)}
    columns[VECTOR] = pa.FixedSizeListArray.from_arrays(
        pa.array(vectors.reshape(-1), pa.float32()), type=schema.field(VECTOR).type
    )
    if codes is not None:
        columns[CODE] = pa.array([code.tobytes() for code in codes], schema.field(CODE).type)
    return pa.table(columns, schema=schema)


class ShardWriter:
    """Collects rows into row groups; equal rows give equal bytes."""

    def __init__(self, writer: pq.ParquetWriter) -> None:
        self._writer = writer
        self._pending: list[pa.Table] = []
        self.rows = 0

    def add(self, table: pa.Table) -> None:
        """Adds rows of the file's schema; a row group is written as soon as there are `GROUP_ROWS` rows for it."""
        self._pending.append(table)
        self.rows += len(table)
        if sum(map(len, self._pending)) >= GROUP_ROWS:
            self.flush()

    def flush(self) -> None:
        """Writes what has no row group yet as a last, smaller one."""
        if self._pending:
            self._writer.write_table(pa.concat_tables(self._pending).combine_chunks())
            self._pending.clear()

    def describe(self, record: ShardRecord) -> None:
        """Keeps the record in the Parquet footer, where `read_record` finds it."""
        self._writer.add_key_value_metadata({RECORD: json.dumps(asdict(record)).encode()})


@contextmanager
def writing_shard(to: FsspecFolder, name: str, schema: pa.Schema) -> Iterator[ShardWriter]:
    """The file of a shard's vectors, there when the block has ended without an error."""
    text = [field.name for field in schema if field.name not in (PRODUCT, VECTOR, CODE)]
    with (
        to.writing(name) as stream,
        pq.ParquetWriter(stream, schema, compression="zstd", use_dictionary=text) as writer,
    ):
        shard = ShardWriter(writer)
        yield shard
        shard.flush()


def read_record(to: FsspecFolder, name: str) -> ShardRecord | None:
    """What a file of vectors says about itself; None when it is not whole.

    Raises:
        EmbedError: when the Parquet file was not written by this command.
    """
    with to.open(name) as stream:
        try:
            found = pq.read_metadata(stream).metadata or {}
        except pa.ArrowInvalid:
            return None
    if RECORD not in found:
        raise EmbedError(f"{name} in {to.uri} was not written by `croquis embed`: give a folder of its own to --to")
    values = json.loads(found[RECORD])
    return ShardRecord(**values | {"unreadable": tuple((image, reason) for image, reason in values["unreadable"])})
