"""The gallery of a bundle: who the rows of the index are, which of them pass a filter, and their thumbnails."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from retrieval.query import Filters, QueryError
from retrieval.ranking import label_blind_keys

Rows = npt.NDArray[np.int64]

GALLERY_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("category", pa.string(), nullable=False),
        pa.field("domain", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("role", pa.string(), nullable=False),
        pa.field("view", pa.string()),
        pa.field("attributes", pa.list_(pa.string()), nullable=False),
        pa.field("predicted_attributes", pa.list_(pa.string()), nullable=False),
        pa.field("thumbnail", pa.binary(), nullable=False),
    ]
)
COLOUR = "colour:"  # how the attributes of the catalogue's colour group begin
ROW_GROUP = 512  # rows that are read to show one thumbnail
SHOWN = 30  # known values that an error lists


class ItemsError(ValueError):
    """A table is not the gallery of a bundle."""


def check_gallery(table: pa.Table) -> pa.Table:
    """`table` with the columns of `GALLERY_SCHEMA` in its order.

    Raises:
        ItemsError: when a column is missing, unknown, of another type or null, or the image ids do not ascend.
    """
    if sorted(table.column_names) != sorted(GALLERY_SCHEMA.names):
        raise ItemsError(f"the gallery has the columns {table.column_names}, needs {GALLERY_SCHEMA.names}")
    try:
        table = table.select(GALLERY_SCHEMA.names).cast(GALLERY_SCHEMA)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise ItemsError(f"the gallery does not fit its schema: {error}") from error
    nulls = [field.name for field in GALLERY_SCHEMA if not field.nullable and table.column(field.name).null_count]
    if nulls:
        raise ItemsError(f"the gallery's columns {nulls} hold nulls")
    ids = table.column("image_id").to_pylist()
    if any(first >= second for first, second in pairwise(ids)):
        raise ItemsError("the gallery must be in ascending order of image_id, each once")
    return table


def write_gallery(path: Path, table: pa.Table) -> None:
    """Writes the gallery so that one thumbnail can be read without the others."""
    pq.write_table(check_gallery(table), path, compression="zstd", row_group_size=ROW_GROUP)


class Items:
    """The gallery's metadata in memory; thumbnails are read when asked for. Safe to use from several threads.

    Attributes:
        table: every column but the thumbnails.
        keys: (rows,) uint64, the label-blind order of equal scores.
        categories, domains, attributes: the known values, sorted.
        colours: those of `attributes` that are in the colour group, without its name.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        columns = [name for name in GALLERY_SCHEMA.names if name != "thumbnail"]
        self.table = pq.read_table(self._path, columns=columns)
        self.image_ids: list[str] = self.table.column("image_id").to_pylist()
        self.keys = label_blind_keys(self.image_ids)
        self._rows = {image_id: row for row, image_id in enumerate(self.image_ids)}
        self.categories, self._category_codes = _encode(self.table.column("category"))
        self.domains, self._domain_codes = _encode(self.table.column("domain"))
        self._attribute_rows = _invert(self.table.column("attributes"))
        self.attributes = tuple(sorted(self._attribute_rows))
        self.colours = tuple(name.removeprefix(COLOUR) for name in self.attributes if name.startswith(COLOUR))
        self._file_lock = threading.Lock()
        self._thumbnails = lru_cache(maxsize=16)(self._read_thumbnails)

    def __len__(self) -> int:
        return len(self.image_ids)

    def row(self, image_id: str) -> int:
        """The row of an image.

        Raises:
            QueryError: when the gallery has no such image.
        """
        if image_id not in self._rows:
            raise QueryError("image_id", image_id, f"is not among the {len(self)} gallery images")
        return self._rows[image_id]

    def records(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """The given rows of `table` as dicts, in that order."""
        records: list[dict[str, Any]] = self.table.take(pa.array(rows, type=pa.int64())).to_pylist()
        return records

    def thumbnail(self, row: int) -> bytes:
        """The JPEG of a row."""
        return self._thumbnails(row // ROW_GROUP)[row % ROW_GROUP]

    def select(self, filters: Filters) -> Rows:
        """Rows that pass every filter, ascending.

        Raises:
            QueryError: on a value that no gallery image has, listing those that exist.
        """
        keep = np.ones(len(self), dtype=np.bool_)
        if filters.category:
            keep &= np.isin(self._category_codes, _codes("category", filters.category, self.categories))
        if filters.domain:
            keep &= np.isin(self._domain_codes, _codes("domain", filters.domain, self.domains))
        _codes("attributes", filters.attributes, self.attributes)
        for name in filters.attributes:
            keep &= self._carries([name])
        if filters.colour:
            _codes("colour", filters.colour, self.colours)
            keep &= self._carries([COLOUR + name for name in filters.colour])
        return np.flatnonzero(keep).astype(np.int64)

    def _carries(self, attributes: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Whether each row has at least one of `attributes`."""
        has = np.zeros(len(self), dtype=np.bool_)
        for name in attributes:
            has[self._attribute_rows[name]] = True
        return has

    def _read_thumbnails(self, group: int) -> list[bytes]:
        with self._file_lock, pq.ParquetFile(self._path) as file:
            thumbnails: list[bytes] = file.read_row_group(group, columns=["thumbnail"]).column("thumbnail").to_pylist()
        return thumbnails


def _encode(column: pa.ChunkedArray) -> tuple[tuple[str, ...], Rows]:
    names, codes = np.unique(np.asarray(column.to_pylist(), dtype=np.str_), return_inverse=True)
    return tuple(names.tolist()), codes.astype(np.int64)


def _invert(column: pa.ChunkedArray) -> dict[str, Rows]:
    """The rows that carry each attribute."""
    lists = column.to_pylist()
    names = np.array([name for one in lists for name in one], dtype=np.str_)
    rows = np.repeat(np.arange(len(lists), dtype=np.int64), [len(one) for one in lists])
    known, codes = np.unique(names, return_inverse=True)
    order = np.argsort(codes, kind="stable")
    parts = np.split(rows[order], np.cumsum(np.bincount(codes, minlength=len(known)))[:-1])
    return dict(zip(known.tolist(), parts, strict=False))


def _codes(field: str, wanted: Sequence[str], known: Sequence[str]) -> list[int]:
    for value in wanted:
        if value not in known:
            more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
            raise QueryError(f"filters.{field}", value, f"is not known; known: {', '.join(known[:SHOWN])}{more}")
    return [known.index(value) for value in wanted]
