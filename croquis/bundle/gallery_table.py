"""The gallery of a bundle: who the rows of the index are, which of them pass a filter, and their thumbnails."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
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

Places = npt.NDArray[np.int32]


def encode(column: pa.Array) -> tuple[tuple[str, ...], Places]:
    """The values of a column of text, sorted, and the place of each row's value among them."""
    encoded = column.dictionary_encode()
    found = encoded.dictionary.to_pylist()
    names = tuple(sorted(found))
    place = {name: number for number, name in enumerate(names)}
    numbers = np.array([place[name] for name in found], dtype=np.int32)
    return names, numbers[encoded.indices.to_numpy()]


def invert(column: pa.Array) -> dict[str, Places]:
    """The rows that each word is in, for a column of lists of words; the words are sorted."""
    rows = pc.list_parent_indices(column).to_numpy().astype(np.int32)
    known, codes = encode(pc.list_flatten(column))
    order = np.argsort(codes, kind="stable")
    parts = np.split(rows[order], np.cumsum(np.bincount(codes, minlength=len(known)))[:-1])
    return dict(zip(known, parts, strict=False))


class RowsByWord:
    """The rows of each word of a column, found by binary search: 4 bytes a row where the words do not ascend, else none."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        self._column = column
        ascends = pc.all(pc.less_equal(column[:-1], column[1:])).as_py() if len(column) > 1 else True
        self._order = None if ascends else pc.sort_indices(column).to_numpy().astype(np.int32)

    def rows(self, word: str) -> list[int]:
        """The rows that hold a word, ascending."""
        places = range(len(self._column))
        first = bisect_left(places, word, key=self._word)
        found = range(first, bisect_right(places, word, lo=first, key=self._word))
        return sorted(map(self._row, found))

    def _row(self, place: int) -> int:
        return place if self._order is None else int(self._order[place])

    def _word(self, place: int) -> str:
        return str(self._column[self._row(place)].as_py())


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


# Columns of few words, which are kept once each, and a number for each row.
FEW_WORDS = ["category", "domain", "split", "role", "view"]
FEW_WORDS += [f"{name}.list.element" for name in ("attributes", "predicted_attributes")]

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
KEYED_TOGETHER = 16_384
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
    ids = table.column("image_id")
    if pc.any(pc.greater_equal(ids.slice(0, max(0, len(ids) - 1)), ids.slice(1))).as_py():
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
        keys: (rows,) uint64, the label-blind order of equal scores.
        categories, domains, attributes: the known values, sorted.
        colours: those of `attributes` that are in the colour group, without its name.
    """

    def __init__(self, table: pa.Table, thumbnail: Callable[[int], bytes], cells: Cells | None = None) -> None:
        self.table = table.unify_dictionaries().combine_chunks()  # rows of one chunk are found at once
        self.thumbnail = thumbnail
        self._cells = cells or (lambda: [None] * len(table))
        self.keys = _keys(self.table.column("image_id"))
        self._by_id = RowsByWord(self.table.column("image_id"))
        self.categories, self._category_codes = encode(self.table.column("category").combine_chunks())
        self.domains, self._domain_codes = encode(self.table.column("domain").combine_chunks())
        self._attribute_rows = invert(self.table.column("attributes").combine_chunks())
        self.attributes = tuple(sorted(self._attribute_rows))
        self.colours = tuple(name.removeprefix(COLOUR) for name in self.attributes if name.startswith(COLOUR))
        self._by_item = Lazy(lambda: RowsByWord(self.table.column("item_id")))

    @classmethod
    def open(cls, path: str | Path) -> GalleryTable:
        """The gallery in a file that `write_gallery` wrote; its thumbnails stay there.

        Raises:
            ItemsError: when it is another file.
        """
        try:
            with pq.ParquetFile(path) as file:
                check_layout(file)
                has_cells = PROBABILITIES.name in file.schema_arrow.names
            table = pq.read_table(path, columns=METADATA.names, read_dictionary=FEW_WORDS)
            table.validate(full=True)  # a string of Parquet may hold what is no UTF-8
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            raise ItemsError(f"{path} is not the gallery of a bundle: {error}") from error
        check_rows(table)
        if not has_cells:
            return cls(table, ThumbnailFile(path))
        return cls(table, ThumbnailFile(path), cells=lambda: _cells(pq.read_table(path, columns=[PROBABILITIES.name])))

    def __len__(self) -> int:
        return len(self.table)

    @property
    def image_ids(self) -> list[str]:
        """Of every row; made anew for each call."""
        found: list[str] = self.table.column("image_id").to_pylist()
        return found

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
        rows = self._by_id.rows(image_id)
        if not rows:
            raise QueryError("image_id", image_id, f"is not among the {len(self)} gallery images")
        return rows[0]

    def open_items(self) -> None:
        """Does now what the first question for a product would wait for."""
        self._by_item.get()

    def rows_of(self, item_id: str) -> list[int]:
        """The rows of a product.

        Raises:
            QueryError: when the gallery has no such product.
        """
        rows = self._by_item.get().rows(item_id)
        if not rows:
            count = pc.count_distinct(self.table.column("item_id")).as_py()
            raise QueryError("item_id", item_id, f"is not among the {count} items of the gallery")
        return rows

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


def _keys(image_ids: pa.ChunkedArray) -> Keys:
    """Of all ids; of some at a time, so that they are never all in memory as objects."""
    starts = range(0, len(image_ids), KEYED_TOGETHER)
    parts = [label_blind_keys(image_ids.slice(start, KEYED_TOGETHER).to_pylist()) for start in starts]
    return np.concatenate([np.empty(0, dtype=np.uint64), *parts])


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
