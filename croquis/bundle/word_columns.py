"""Columns of text in little memory: few words that many rows share, and rows that are looked up by their word."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from croquis.arrays import Rows


def narrowed(column: pa.Array) -> pa.Array:
    """A column of words, or of lists of them, by small numbers: places among its own words, sorted."""
    if pa.types.is_list(column.type):
        offsets = pc.subtract(column.offsets, column.offsets[0])
        return pa.ListArray.from_arrays(offsets, narrowed(column.flatten()))
    encoded = column.dictionary_encode()
    held = encoded.dictionary.to_pylist()
    used = sorted(pc.unique(encoded.indices.drop_null()).to_pylist(), key=lambda place: str(held[place]))
    place = np.zeros(max(1, len(held)), dtype=np.min_scalar_type(-1 - len(used)))
    place[used] = np.arange(len(used))
    numbers = place[encoded.indices.fill_null(0).to_numpy()]
    indices = pa.array(numbers, mask=encoded.indices.is_null().to_numpy(zero_copy_only=False))
    return pa.DictionaryArray.from_arrays(indices, pa.array([held[number] for number in used], type=pa.string()))


def numbered(column: pa.Array) -> npt.NDArray[np.int32]:
    """A number for each text of a column (n,), from 0, equal where the text is."""
    return np.asarray(column.dictionary_encode().indices.to_numpy(), dtype=np.int32)


class Words:
    """The word of each row of a column that `narrowed` gave; none is null.

    Attributes:
        names: the words, sorted.
        codes: the place of each word among them, in the order of the rows.
    """

    def __init__(self, column: pa.Array) -> None:
        self.names: tuple[str, ...] = tuple(column.dictionary.to_pylist())
        self.codes: npt.NDArray[np.signedinteger[Any]] = column.indices.to_numpy()

    def of(self, rows: Rows) -> list[Any]:
        """What some rows hold."""
        return [self.names[code] for code in self.codes[rows].tolist()]

    def holding(self, name: str) -> Rows:
        """The rows that hold one of the words, ascending."""
        return np.flatnonzero(self.codes == self.names.index(name))

    def among(self, names: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Whether each word is one of `names`, in the order of `codes`."""
        return np.isin(self.codes, [self.names.index(name) for name in names])

    def counts(self) -> dict[str, int]:
        """How many rows hold each word."""
        return {name: len(self.holding(name)) for name in self.names}


class WordLists(Words):
    """The same of a column of lists of words, of which none is null."""

    def __init__(self, column: pa.Array) -> None:
        super().__init__(column.values)
        self._ends = column.offsets.to_numpy()[1:]

    def of(self, rows: Rows) -> list[Any]:
        starts, ends = np.where(rows > 0, self._ends[rows - 1], 0).tolist(), self._ends[rows].tolist()
        parts = (self.codes[start:end].tolist() for start, end in zip(starts, ends, strict=True))
        return [[self.names[code] for code in codes] for codes in parts]

    def holding(self, name: str) -> Rows:
        return np.unique(np.searchsorted(self._ends, super().holding(name), side="right"))


class Texts:
    """The text of each row of a column of strings, none of which is null; each is read where it lies."""

    def __init__(self, column: pa.Array) -> None:
        _, offsets, texts = column.buffers()
        width = np.int64 if pa.types.is_large_string(column.type) else np.int32
        self._limits = np.frombuffer(offsets, dtype=width)[column.offset :]
        self._texts = memoryview(texts or b"")

    def of(self, rows: Rows) -> list[Any]:
        """What some rows hold."""
        limits = zip(self._limits[rows].tolist(), self._limits[rows + 1].tolist(), strict=True)
        return [str(self._texts[start:end], "utf-8") for start, end in limits]


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
