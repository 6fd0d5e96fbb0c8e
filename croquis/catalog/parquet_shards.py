"""Parquet shards of images wherever they are: which files count, how they are read, and their columns in our types."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

BUFFER_BYTES = 1 << 20
"""Read ahead per column; without it a whole row group's images are fetched at once, not page by page."""


def is_shard(name: str) -> bool:
    """Whether a file below a folder is one of its Parquet shards: hidden and `_` names are not."""
    return name.endswith(".parquet") and not any(part.startswith((".", "_")) for part in PurePosixPath(name).parts)


def open_shard(stream: Any) -> pq.ParquetFile:
    """A shard that is read page by page."""
    return pq.ParquetFile(stream, buffer_size=BUFFER_BYTES, pre_buffer=False)


def cast_column(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    """A column in the catalogue's type.

    Raises:
        pa.ArrowException: when it does not fit, or is text, which Arrow would take for bytes of files.
    """
    if pa.types.is_binary(wanted) and not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
        raise pa.ArrowTypeError(f"is {column.type}, must hold the bytes of picture files")
    return column.cast(wanted)
