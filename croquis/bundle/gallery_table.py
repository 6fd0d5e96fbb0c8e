"""The gallery of a bundle in memory: who the rows of the index are, and which of them pass a filter."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from croquis.arrays import Keys, Rows
from croquis.bundle.gallery_file import FEW_WORDS, Cells, ItemsError, ThumbnailFile, read_cells, read_metadata
from croquis.bundle.product_table import ProductTable
from croquis.bundle.word_columns import RowsByWord, Texts, WordLists, Words, narrowed, numbered
from croquis.catalog.filters import Filters, QueryError
from croquis.catalog.product import COLOUR
from croquis.catalog.product_columns import PRODUCT
from croquis.index.ranking import label_blind_keys
from croquis.lazy import Lazy
from croquis.rerank.overlap import LEVELS, flags

KEYED_TOGETHER = 16_384
SHOWN = 30  # known values that an error lists


class GalleryTable:
    """The gallery's metadata in memory. Safe to use from several threads.

    Args:
        table: every column of `GALLERY_SCHEMA` but the thumbnails, and `product` where there is one.
        thumbnail: the JPEG of a row.
        cells: gives the column `PROBABILITIES`, a cell for each row; asked when a re-ranking needs it.

    Attributes:
        table: as above.
        keys: (rows,) uint64, the label-blind order of equal scores.
        categories, domains, attributes: the known values, sorted.
        colours: those of `attributes` that are in the colour group, without its name.
        product: the products' own columns.
    """

    def __init__(self, table: pa.Table, thumbnail: Callable[[int], bytes], cells: Cells | None = None) -> None:
        self.table = _compact(table)
        self.thumbnail = thumbnail
        self._cells = cells or (lambda: [None] * len(table))
        self.keys = _keys(self.table.column("image_id"))
        self._by_id = RowsByWord(self.table.column("image_id"))
        self._by_item = Lazy(lambda: RowsByWord(self.table.column("item_id")))
        self._numbers = Lazy(lambda: numbered(self.table.column("item_id").chunk(0)))
        self._sizes = Lazy(lambda: np.bincount(self.item_numbers))
        self.product = ProductTable.of(self.table)
        self._category, self._domain = (Words(self.table.column(name).chunk(0)) for name in ("category", "domain"))
        self._attributes = WordLists(self.table.column("attributes").chunk(0))
        words = {"category": self._category, "domain": self._domain, "attributes": self._attributes}
        self.categories, self.domains, self.attributes = (each.names for each in words.values())
        texts = {name: Texts(self.table.column(name).chunk(0)) for name in ("image_id", "item_id")}
        self._quick = words | texts
        self.colours = tuple(name.removeprefix(COLOUR) for name in self.attributes if name.startswith(COLOUR))

    @classmethod
    def open(cls, path: str | Path) -> GalleryTable:
        """The gallery in a file that `write_gallery` wrote; its thumbnails stay there.

        Raises:
            ItemsError: when it is another file.
        """
        return cls(read_metadata(path), ThumbnailFile(path), read_cells(path))

    def __len__(self) -> int:
        return len(self.table)

    @property
    def image_ids(self) -> list[str]:
        """Of every row; made again for each call."""
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

    @property
    def item_numbers(self) -> npt.NDArray[np.int32]:
        """A number for the product of each row; worked out when first asked for."""
        return self._numbers.get()

    @property
    def item_sizes(self) -> Rows:
        """How many rows the product of each number has."""
        return self._sizes.get()

    def category_counts(self) -> dict[str, int]:
        """How many images each category has."""
        return self._category.counts()

    def attribute_counts(self) -> dict[str, int]:
        """How many images carry each attribute."""
        return self._attributes.counts()

    def records(self, rows: Sequence[int], columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Some of the `columns` of `table`, all when None, of the given rows, as dicts in that order."""
        chosen, names = np.asarray(rows, dtype=np.int64), columns or self.table.column_names
        cells = [self._values(name, chosen) for name in names]
        return [dict(zip(names, values, strict=True)) for values in zip(*cells, strict=True)]

    def _values(self, name: str, rows: Rows) -> list[Any]:
        if name in self._quick:
            return self._quick[name].of(rows)
        if name == PRODUCT:
            return self.product.of_rows(rows)
        values: list[Any] = self.table.column(name).chunk(0).take(pa.array(rows)).to_pylist()
        return values

    def probabilities(self, names: Sequence[str]) -> npt.NDArray[np.uint8]:
        """What the classifier gave each row, (rows, names) in steps of 1 / 255; 0 or 255 where only its decisions are kept.

        Raises:
            ItemsError: when an image has not one byte for each of `names`.
        """
        return held_probabilities(self.table.column("predicted_attributes").to_pylist(), self._cells(), names)

    def check(self, filters: Filters) -> None:
        """Refuses a word that no gallery image has, a product column that there is not, and a value that is not of its type,
        by a QueryError that lists those that exist."""
        known = {
            "category": self.categories,
            "domain": self.domains,
            "attributes": self.attributes,
            "colour": self.colours,
        }
        for field, values in known.items():
            _check_known(field, getattr(filters, field), values)
        self.product.check(filters.product)

    def select(self, filters: Filters) -> Rows:
        """Rows that pass every filter, ascending.

        Raises:
            QueryError: as `check`.
        """
        self.check(filters)
        keep = np.ones(len(self), dtype=np.bool_)
        if filters.category:
            keep &= self._category.among(filters.category)
        if filters.domain:
            keep &= self._domain.among(filters.domain)
        for name in filters.attributes:
            keep &= self._carries([name])
        if filters.colour:
            keep &= self._carries([COLOUR + name for name in filters.colour])
        for column in filters.product:
            keep &= self.product.passing(column)
        return np.flatnonzero(keep).astype(np.int64)

    def _carries(self, attributes: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Whether each row has at least one of `attributes`."""
        has = np.zeros(len(self), dtype=np.bool_)
        for name in attributes:
            has[self._attributes.holding(name)] = True
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


def _compact(table: pa.Table) -> pa.Table:
    """One chunk a column, so that rows are found at once, and few words by numbers."""
    joined = table.unify_dictionaries().combine_chunks()
    columns = {name: joined.column(name).combine_chunks() for name in joined.column_names}
    return pa.table({name: narrowed(column) if name in FEW_WORDS else column for name, column in columns.items()})


def _check_known(field: str, wanted: Sequence[str], known: Sequence[str]) -> None:
    for value in wanted:
        if value not in known:
            more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
            raise QueryError(f"filters.{field}", value, f"is not known; known: {', '.join(known[:SHOWN])}{more}")
