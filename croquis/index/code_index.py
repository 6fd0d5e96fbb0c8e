"""Indexes that keep codes, not floats. FAISS packs them, keeps the lists and writes the file; the scan is ours.

Codes tie massively: under 12 bits, 54,000 images share 4,096 codes. FAISS cuts ties at the last rank in storage order, and
its range search, which would find all of them, takes over product codes 40 times as long as a look-up per byte. Here every
code that is visited gets its exact score, and equal scores are ordered by the caller's key, at every rank.

With inverted lists a search visits the few lists whose centres are best for the query; within them it is exact.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from croquis.arrays import Keys, Rows, Scores, Vectors
from croquis.files import write_bytes
from croquis.index.codes import Codes
from croquis.index.coding import Coding, asked, code_bytes, columns_of, packed_of
from croquis.index.exact import best_first, empty_result
from croquis.index.vector_index import (
    FAISS,
    VectorIndexError,
    check_depth,
    check_rows,
    check_subset,
    check_vectors,
    tie_keys,
)
from croquis.nets.encoder import COMPARISONS

ROW_BYTES = 8  # of the row number that a list keeps beside each code


def read_list(index: Any, number: int) -> tuple[Rows, Codes]:
    """Row numbers (n,) and codes (n, code_size) of one inverted list."""
    lists = index.invlists
    size, width = lists.list_size(number), index.code_size
    if size == 0:
        return np.empty(0, dtype=np.int64), np.empty((0, width), dtype=np.uint8)
    ids = FAISS.rev_swig_ptr(lists.get_ids(number), size).copy()
    return ids, FAISS.rev_swig_ptr(lists.get_codes(number), size * width).reshape(size, width).copy()


def append_to_list(index: Any, number: int, ids: Rows, codes: Codes) -> None:
    """Adds rows to one inverted list; the caller sets `index.ntotal`."""
    if len(ids):
        ids, codes = np.ascontiguousarray(ids), np.ascontiguousarray(codes)
        index.invlists.add_entries(number, len(ids), FAISS.swig_ptr(ids), FAISS.swig_ptr(codes))


def keep_rows(source: Any, emptied: Any, rows: Rows) -> None:
    """Fills `emptied`, a clone of `source` without rows, with those of `rows`, renumbered 0.. in the given order."""
    place = np.full(source.ntotal, -1, dtype=np.int64)
    place[rows] = np.arange(len(rows))
    for number in range(source.nlist):
        ids, codes = read_list(source, number)
        kept = place[ids] >= 0
        append_to_list(emptied, number, place[ids][kept], codes[kept])
    emptied.ntotal = len(rows)


class CodeIndex(ABC):
    """What the kinds of codes share. Exhaustive kinds visit every row, list kinds those of a few lists.

    Beside FAISS's own copy the codes lie in memory a second time, turned so that a scan reads them fast. A search runs in
    the calling thread.

    Args:
        index: the filled FAISS index.
        coding: how its codes were made.
        comparison: `asymmetric` or `symmetric`.
        packed: its codes in the order of the rows.
    """

    kind: str

    def __init__(self, index: Any, coding: Coding, comparison: str, packed: Codes) -> None:
        self.coding = coding
        self.head, self.metric, self.dim = coding.head, coding.metric, coding.dim
        self.comparison = check_comparison(comparison)
        self.threads = 1
        self._index = index
        self._columns = columns_of(packed, coding)

    def __len__(self) -> int:
        return int(self._columns.shape[1])

    @property
    def nbytes(self) -> int:
        return code_bytes(self.coding)

    @property
    def parameters(self) -> dict[str, int]:
        return {"parts": self.coding.parts, "bits": self.coding.bits}

    @abstractmethod
    def _serialised(self) -> npt.NDArray[np.uint8]: ...

    @abstractmethod
    def subset(self, rows: Rows) -> Self: ...

    def _visited(self, queries: Vectors) -> Iterator[Rows | None]:
        """For each query the rows that an unfiltered search looks at; None for all."""
        return repeat(None, len(queries))

    def compared(self, comparison: str) -> Self:
        """The same codes, searched by the other comparison; nothing is copied.

        Raises:
            VectorIndexError: when there is no such comparison.
        """
        other = copy.copy(self)
        other.comparison = check_comparison(comparison)
        return other

    def search(
        self, queries: Vectors, k: int, rows: Rows | None = None, *, tiebreak: Keys | None = None
    ) -> tuple[Scores, Rows]:
        check_depth(k)
        prepared = asked(check_vectors(queries, self.dim, "queries"), self.coding, self.comparison)
        keys = tie_keys(tiebreak, len(self))
        chosen = None if rows is None else check_rows(rows, len(self))
        visited = self._visited(prepared) if chosen is None else repeat(chosen, len(prepared))
        scores, found = empty_result(len(prepared), k)
        for number, (query, among) in enumerate(zip(prepared, visited, strict=True)):
            columns = self._columns if among is None else self._columns[:, among]
            near = self.coding.score(query, self.comparison)(columns)
            best = best_first(near, keys if among is None else keys[among], k)
            scores[number, : len(best)] = near[best]
            found[number, : len(best)] = best if among is None else among[best]
        return scores, found

    def codes(self, rows: Rows | None = None) -> Codes:
        """The packed codes, (len(rows), bytes) uint8."""
        return packed_of(self._columns if rows is None else self._columns[:, rows], self.coding)

    def vectors(self, rows: Rows | None = None) -> Vectors:
        return self.coding.decode(self.codes(rows))

    def save(self, path: str | Path) -> None:
        write_bytes(path, self._serialised().tobytes())

    def _subset_codes(self, rows: Rows) -> tuple[Rows, Codes]:
        chosen = check_subset(rows, len(self))
        return chosen, self.codes(chosen)


def check_comparison(comparison: str | None) -> str:
    """`comparison` when it is one of the two.

    Raises:
        VectorIndexError: otherwise.
    """
    if comparison not in COMPARISONS:
        raise VectorIndexError(f"comparison = {comparison!r}, must be one of {sorted(COMPARISONS)}")
    return comparison


SEED = 1234  # of the k-means that places the centres


class IvfCodeIndex(CodeIndex):
    """What lists of codes share; within the visited lists the search is exact, ties included."""

    def __init__(self, index: Any, coding: Coding, comparison: str) -> None:
        lists = [read_list(index, number) for number in range(index.nlist)]
        packed = np.empty((index.ntotal, code_bytes(coding)), dtype=np.uint8)
        for rows, stored in lists:
            packed[rows] = stored
        super().__init__(index, coding, comparison, packed)
        self._lists: list[Rows] = [rows for rows, _ in lists]
        self._list_keys: Keys = np.arange(len(lists), dtype=np.uint64)

    @property
    def nbytes(self) -> int:
        return super().nbytes + ROW_BYTES

    @property
    def parameters(self) -> dict[str, int]:
        return super().parameters | {"lists": int(self._index.nlist), "probes": int(self._index.nprobe)}

    @abstractmethod
    def _centre_scores(self, query: Vectors) -> Scores:
        """How good each list's centre is for the query, by the comparison of the index; (lists,)."""

    def _visited(self, queries: Vectors) -> Iterator[Rows]:
        for query in queries:
            lists = best_first(self._centre_scores(query), self._list_keys, self._index.nprobe)
            yield np.concatenate([self._lists[number] for number in lists])


def check_lists(count: int, lists: int, probes: int) -> None:
    """Refuses what cannot be built.

    Raises:
        VectorIndexError: when more lists are probed than there are, or `count` vectors are fewer than the lists.
    """
    if probes > lists:
        raise VectorIndexError(f"ivf_probes = {probes}, must not exceed ivf_lists ({lists})")
    if count < lists:
        raise VectorIndexError(f"{count} vectors cannot train {lists} lists; lower ivf_lists, or choose codes: flat")
