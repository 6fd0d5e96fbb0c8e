"""The gallery of a bundle: who the rows of the index are, which of them pass a filter, and their thumbnails."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from croquis.arrays import Keys, Rows
from croquis.catalog.filters import Filters, QueryError
from croquis.index.ranking import label_blind_keys
from croquis.lazy import Lazy
from croquis.rerank.overlap import LEVELS, flags


def encode(column: pa.Array) -> tuple[tuple[str, ...], Rows]:
    """The values of a column of text, sorted, and the place of each row's value among them."""
    encoded = column.dictionary_encode()
    found = encoded.dictionary.to_pylist()
    names = tuple(sorted(found))
    place = {name: number for number, name in enumerate(names)}
    numbers = np.array([place[name] for name in found], dtype=np.int64)
    return names, numbers[encoded.indices.to_numpy()]


def invert(column: pa.Array) -> dict[str, Rows]:
    """The rows that each word is in, for a column of lists of words; the words are sorted."""
    rows = pc.list_parent_indices(column).to_numpy().astype(np.int64)
    known, codes = encode(pc.list_flatten(column))
    order = np.argsort(codes, kind="stable")
    parts = np.split(rows[order], np.cumsum(np.bincount(codes, minlength=len(known)))[:-1])
    return dict(zip(known, parts, strict=False))


ROW_GROUP = 512  # rows that are read to show one thumbnail


class ThumbnailFile:
    """Row number -> JPEG, of what `croquis.bundle.gallery_table.write_gallery` wrote; safe to use from several threads."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        self._groups = lru_cache(maxsize=16)(self._read)

    def __call__(self, row: int) -> bytes:
        """The JPEG of a row."""
        return self._groups(row // ROW_GROUP)[row % ROW_GROUP]

    def _read(self, group: int) -> list[bytes]:
        with self._lock, pq.ParquetFile(self._path) as file:
            thumbnails: list[bytes] = file.read_row_group(group, columns=["thumbnail"]).column("thumbnail").to_pylist()
        return thumbnails


Cells = Callable[[], list[bytes | None]]

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
PROBABILITIES = pa.field("attribute_probabilities", pa.binary())
"""May follow the columns of `GALLERY_SCHEMA`: for each image a byte per attribute of the bundle's classifier, in its order,
in steps of 1 / 255 (`croquis.rerank.overlap.to_bytes`); null where nobody looked."""
METADATA = pa.schema([field for field in GALLERY_SCHEMA if field.name != "thumbnail"])
COLOUR = "colour:"  # how the attributes of the catalogue's colour group begin
SHOWN = 30  # known values that an error lists


class ItemsError(ValueError):
    """A table is not the gallery of a bundle."""


def check_gallery(table: pa.Table) -> pa.Table:
    """`table` with the columns of `GALLERY_SCHEMA` in its order, and `PROBABILITIES` where it has that.

    Raises:
        ItemsError: when a column is missing, unknown, of another type or null, or the image ids do not ascend.
    """
    schema = GALLERY_SCHEMA.append(PROBABILITIES) if PROBABILITIES.name in table.column_names else GALLERY_SCHEMA
    if sorted(table.column_names) != sorted(schema.names):
        raise ItemsError(f"the gallery has the columns {table.column_names}, needs {GALLERY_SCHEMA.names}")
    try:
        table = table.select(schema.names).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise ItemsError(f"the gallery does not fit its schema: {error}") from error
    check_rows(table)
    return table


def check_rows(table: pa.Table) -> None:
    """Refuses nulls where the schema has none, and image ids that do not ascend, by an ItemsError."""
    columns = {field.name: table.column(field.name) for field in table.schema if not field.nullable}
    nulls = [name for name, column in columns.items() if column.null_count or _has_null_words(column)]
    if nulls:
        raise ItemsError(f"the gallery's columns {nulls} hold nulls")
    ids = table.column("image_id").to_pylist()
    if any(first >= second for first, second in pairwise(ids)):
        raise ItemsError("the gallery must be in ascending order of image_id, each once")


def _has_null_words(column: pa.ChunkedArray) -> bool:
    return pa.types.is_list(column.type) and bool(pc.list_flatten(column).null_count)


def check_layout(file: pq.ParquetFile) -> None:
    """Refuses another schema than that of a gallery, and groups of rows in which `ThumbnailFile` finds nothing.

    Raises:
        ItemsError: naming the columns or the sizes.
    """
    found = file.schema_arrow.remove_metadata()
    own = pa.schema([found.field(name) for name in found.names if name != PROBABILITIES.name])
    if not own.equals(GALLERY_SCHEMA):
        raise ItemsError(f"the gallery has the columns {found.names} of types {found.types}, needs {GALLERY_SCHEMA}")
    sizes = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
    if any(size != ROW_GROUP for size in sizes[:-1]) or any(size > ROW_GROUP for size in sizes):
        raise ItemsError(f"the gallery's rows stand in groups of {sizes[:10]}, must be {ROW_GROUP}")


def write_gallery(path: Path, table: pa.Table) -> None:
    """Writes the gallery so that one thumbnail can be read without the others."""
    pq.write_table(check_gallery(table), path, compression="zstd", row_group_size=ROW_GROUP)


class GalleryTable:
    """The gallery's metadata in memory. Safe to use from several threads.

    Args:
        table: every column of `GALLERY_SCHEMA` but the thumbnails.
        thumbnail: the JPEG of a row.
        cells: gives the column `PROBABILITIES`, a cell for each row; asked when a re-ranking needs it.

    Attributes:
        table: as above.
        places: image id -> row.
        keys: (rows,) uint64, the label-blind order of equal scores.
        categories, domains, attributes: the known values, sorted.
        colours: those of `attributes` that are in the colour group, without its name.
    """

    def __init__(self, table: pa.Table, thumbnail: Callable[[int], bytes], cells: Cells | None = None) -> None:
        self.table = table
        self.thumbnail = thumbnail
        self._cells = cells or (lambda: [None] * len(table))
        self.image_ids: list[str] = table.column("image_id").to_pylist()
        self.keys: Keys = label_blind_keys(self.image_ids)
        self.places = {image_id: row for row, image_id in enumerate(self.image_ids)}
        self.categories, self._category_codes = encode(table.column("category").combine_chunks())
        self.domains, self._domain_codes = encode(table.column("domain").combine_chunks())
        self._attribute_rows = invert(table.column("attributes").combine_chunks())
        self.attributes = tuple(sorted(self._attribute_rows))
        self.colours = tuple(name.removeprefix(COLOUR) for name in self.attributes if name.startswith(COLOUR))
        self._by_item = Lazy(self._group_by_item)

    @classmethod
    def open(cls, path: str | Path) -> GalleryTable:
        """The gallery in a file that `write_gallery` wrote; its thumbnails stay there.

        Raises:
            ItemsError: when it is another file.
        """
        try:
            with pq.ParquetFile(path) as file:
                check_layout(file)
                table = pa.Table.from_batches(file.iter_batches(columns=METADATA.names), METADATA)
                table.validate(full=True)  # a string of Parquet may hold what is no UTF-8
                has_cells = PROBABILITIES.name in file.schema_arrow.names
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            raise ItemsError(f"{path} is not the gallery of a bundle: {error}") from error
        check_rows(table)
        if not has_cells:
            return cls(table, ThumbnailFile(path))
        return cls(table, ThumbnailFile(path), cells=lambda: _cells(pq.read_table(path, columns=[PROBABILITIES.name])))

    def __len__(self) -> int:
        return len(self.image_ids)

    def take(self, rows: Rows) -> GalleryTable:
        """Some of its rows, distinct, in the given order."""
        table, chosen = self.table.take(pa.array(rows)), rows.tolist()

        def cells() -> list[bytes | None]:
            held = self._cells()
            return [held[row] for row in chosen]

        return GalleryTable(table, lambda row: self.thumbnail(chosen[row]), cells)

    def row(self, image_id: str) -> int:
        """The row of an image.

        Raises:
            QueryError: when the gallery has no such image.
        """
        if image_id not in self.places:
            raise QueryError("image_id", image_id, f"is not among the {len(self)} gallery images")
        return self.places[image_id]

    @property
    def rows_by_item(self) -> Mapping[str, list[int]]:
        """The rows of each product, at least one."""
        return self._by_item.get()

    def rows_of(self, item_id: str) -> list[int]:
        """The rows of a product.

        Raises:
            QueryError: when the gallery has no such product.
        """
        if item_id not in self.rows_by_item:
            raise QueryError("item_id", item_id, f"is not among the {len(self.rows_by_item)} items of the gallery")
        return self.rows_by_item[item_id]

    def category_counts(self) -> dict[str, int]:
        """How many images each category has."""
        return dict(zip(self.categories, np.bincount(self._category_codes).tolist(), strict=True))

    def attribute_counts(self) -> dict[str, int]:
        """How many images carry each attribute."""
        return {name: len(np.unique(self._attribute_rows[name])) for name in self.attributes}

    def records(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """The given rows of `table` as dicts, in that order."""
        records: list[dict[str, Any]] = self.table.take(pa.array(rows, type=pa.int64())).to_pylist()
        return records

    def probabilities(self, names: Sequence[str]) -> npt.NDArray[np.uint8]:
        """What the classifier gave each row, (rows, names) in steps of 1 / 255; 0 or 255 where only its decisions are kept.

        Raises:
            ItemsError: when an image has not one byte for each of `names`.
        """
        return held_probabilities(self.table.column("predicted_attributes").to_pylist(), self._cells(), names)

    def check(self, filters: Filters) -> None:
        """Refuses a value that no gallery image has by a QueryError that lists those that exist."""
        known = {
            "category": self.categories,
            "domain": self.domains,
            "attributes": self.attributes,
            "colour": self.colours,
        }
        for field, values in known.items():
            _codes(field, getattr(filters, field), values)

    def select(self, filters: Filters) -> Rows:
        """Rows that pass every filter, ascending.

        Raises:
            QueryError: as `check`.
        """
        self.check(filters)
        keep = np.ones(len(self), dtype=np.bool_)
        if filters.category:
            keep &= np.isin(self._category_codes, _codes("category", filters.category, self.categories))
        if filters.domain:
            keep &= np.isin(self._domain_codes, _codes("domain", filters.domain, self.domains))
        for name in filters.attributes:
            keep &= self._carries([name])
        if filters.colour:
            keep &= self._carries([COLOUR + name for name in filters.colour])
        return np.flatnonzero(keep).astype(np.int64)

    def _carries(self, attributes: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Whether each row has at least one of `attributes`."""
        has = np.zeros(len(self), dtype=np.bool_)
        for name in attributes:
            has[self._attribute_rows[name]] = True
        return has

    def _group_by_item(self) -> dict[str, list[int]]:
        rows: dict[str, list[int]] = {}
        for row, item_id in enumerate(self.table.column("item_id").to_pylist()):
            rows.setdefault(item_id, []).append(row)
        return rows


def held_probabilities(
    predicted: Sequence[Collection[str]], cells: Sequence[bytes | None], names: Sequence[str]
) -> npt.NDArray[np.uint8]:
    """What a classifier of the attributes `names` gave each image, (images, names) in steps of 1 / 255.

    Args:
        predicted: what it decided, which counts as 255 where there is no cell.
        cells: a byte for each of `names`, or None.

    Raises:
        ItemsError: when an image has not one byte for each of `names`.
    """
    held = flags(predicted, names).astype(np.uint8) * LEVELS
    for row, cell in enumerate(cells):
        if cell is not None and len(cell) != len(names):
            raise ItemsError(f"image {row} has {len(cell)} probabilities for {len(names)} attributes")
        if cell is not None:
            held[row] = np.frombuffer(cell, dtype=np.uint8)
    return held


def _cells(table: pa.Table) -> list[bytes | None]:
    cells: list[bytes | None] = table.column(PROBABILITIES.name).to_pylist()
    return cells


def _codes(field: str, wanted: Sequence[str], known: Sequence[str]) -> list[int]:
    for value in wanted:
        if value not in known:
            more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
            raise QueryError(f"filters.{field}", value, f"is not known; known: {', '.join(known[:SHOWN])}{more}")
    return [known.index(value) for value in wanted]
