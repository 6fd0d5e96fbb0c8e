"""Indexes that keep codes, not floats: all of them are compared, or those of a few inverted lists.

Codes tie massively: under 12 bits, 54,000 images share 4,096 codes, and FAISS cuts ties at the last rank in storage
order. Here every code that ties with the last rank is looked at, and equal scores are ordered by the caller's key. FAISS
proposes: bits for bits in `croquis.index.binary_index`, parts of 4 bits in `croquis.index.fast_scan`. Codes of other
parts and chosen rows are scanned here, by a look-up per byte, and so is what FAISS leaves unsettled.

With inverted lists a search visits the few lists whose centres are best for the query; within them it is exact.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import cached_property
from itertools import repeat
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from faiss.contrib.inspect_tools import get_invlist

from croquis.arrays import Keys, Rows, Scores, Vectors
from croquis.files import write_bytes
from croquis.index.coding import Codes, Coding
from croquis.index.exact import SPARE, best_first, empty_result
from croquis.index.fast_scan import SHARE, FastScan
from croquis.index.vector_index import (
    FAISS,
    VectorIndexError,
    check_depth,
    check_rows,
    check_subset,
    check_vectors,
    faiss_threads,
    tie_keys,
)
from croquis.nets.encoder import COMPARISONS

ROW_BYTES = 8  # of the row number that a list keeps beside each code
SEED = 1234  # of the k-means that places the centres


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
        ids, codes = get_invlist(source.invlists, number)
        kept = place[ids] >= 0
        append_to_list(emptied, number, place[ids][kept], codes[kept])
    emptied.ntotal = len(rows)


class CodeIndex(ABC):
    """What the kinds of codes share.

    Beside FAISS's own copy the codes lie in memory a second time, turned so that a scan reads them fast.

    Args:
        index: the filled FAISS index, flat or of inverted lists.
        coding: how its codes were made.
        comparison: `asymmetric` or `symmetric`.
    """

    faiss_clone: Callable[[Any], Any]
    faiss_add: Callable[[Any, Codes], None]
    faiss_serialize: Callable[[Any], npt.NDArray[np.uint8]]

    def __init__(self, index: Any, coding: Coding, comparison: str) -> None:
        self.coding = coding
        self.head, self.metric, self.dim = coding.head, coding.metric, coding.dim
        self.comparison = check_comparison(comparison)
        self.threads = 1
        self._index = index
        self._lists: list[Rows] = []
        if hasattr(index, "invlists"):
            stored = [get_invlist(index.invlists, number) for number in range(index.nlist)]
            packed = np.empty((index.ntotal, coding.code_bytes), dtype=np.uint8)
            for rows, codes in stored:
                packed[rows] = codes
            self._lists = [rows for rows, _ in stored]
            self._list_keys: Keys = np.arange(index.nlist, dtype=np.uint64)
        else:
            packed = self._flat_codes()
        self.kind = f"{coding.head}_ivf" if self._lists else f"{coding.head}_flat"
        self._columns = coding.columns(packed)

    def __len__(self) -> int:
        return int(self._columns.shape[1])

    @property
    def nbytes(self) -> int:
        return self.coding.code_bytes + (ROW_BYTES if self._lists else 0)

    @property
    def parameters(self) -> dict[str, int]:
        lists = {"lists": int(self._index.nlist), "probes": int(self._index.nprobe)} if self._lists else {}
        return {"parts": self.coding.parts, "bits": self.coding.bits, **lists}

    @abstractmethod
    def _flat_codes(self) -> Codes:
        """A copy of the codes of a flat FAISS index, (n, code_bytes)."""

    @abstractmethod
    def _assigned(self, vectors: Vectors) -> Rows:
        """The list that each of (n, dim) vectors belongs to, (n,)."""

    @abstractmethod
    def _centre_scores(self, query: Vectors) -> Scores:
        """How good each list's centre is for the query, by the comparison of the index; (lists,)."""

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
        prepared = self.coding.asked(check_vectors(queries, self.dim, "queries"), self.comparison)
        keys, found = tie_keys(tiebreak, len(self)), empty_result(len(prepared), k)
        chosen = None if rows is None else check_rows(rows, len(self))
        if chosen is None or (len(chosen) == len(self) and not self._lists):
            self._fill(prepared, keys, found)
        else:
            self._scan(prepared, keys, found, repeat(chosen))
        return found

    def codes(self, rows: Rows | None = None) -> Codes:
        """The packed codes, (len(rows), bytes) uint8."""
        return self.coding.packed(self._columns if rows is None else self._columns[:, rows])

    def vectors(self, rows: Rows | None = None) -> Vectors:
        return self.coding.decode(self.codes(rows))

    def save(self, path: str | Path) -> None:
        write_bytes(path, self.faiss_serialize(self._index).tobytes())

    def subset(self, rows: Rows) -> Self:
        chosen, index = check_subset(rows, len(self)), self.faiss_clone(self._index)
        index.reset()
        if self._lists:
            keep_rows(self._index, index, chosen)
        else:
            self.faiss_add(index, self.codes(chosen))
        return type(self)(index, self.coding, self.comparison)

    def refilled(self, vectors: Vectors) -> Self:
        index = self.faiss_clone(self._index)
        index.reset()
        packed = self.coding.encode(vectors)
        if self._lists:
            with faiss_threads(1):
                nearest = self._assigned(vectors)
            for number in range(index.nlist):
                rows = np.flatnonzero(nearest == number)
                append_to_list(index, number, rows, packed[rows])
            index.ntotal = len(vectors)
        else:
            self.faiss_add(index, packed)
        return type(self)(index, self.coding, self.comparison)

    @cached_property
    def _fast(self) -> FastScan | None:
        return None if self._lists else FastScan.of(self.codes(), self.coding)

    def _fill(self, queries: Vectors, keys: Keys, out: tuple[Scores, Rows]) -> None:
        """The best rows of those that each query visits, by score and then by key, into `out`: scores and rows, (Q, k)."""
        left = self._propose(queries, keys, out)
        visited: Iterable[Rows | None] = repeat(None)
        if self._lists:
            visited = (np.concatenate([self._lists[each] for each in self._probed(query)]) for query in queries[left])
        self._scan(queries[left], keys, out, visited, left)

    def _propose(self, queries: Vectors, keys: Keys, out: tuple[Scores, Rows]) -> Rows:
        """As `_fill`, where FAISS is faster than a scan; the numbers of the queries that are left."""
        if out[1].shape[1] + SPARE > SHARE * len(self) or self._fast is None:
            return np.arange(len(queries))
        return self._fast.search(queries, self._columns, keys, out, self.threads)

    def _probed(self, query: Vectors) -> Rows:
        """The lists that a query visits, best first."""
        return best_first(self._centre_scores(query), self._list_keys, self._index.nprobe)

    def _scan(
        self,
        queries: Vectors,
        keys: Keys,
        out: tuple[Scores, Rows],
        visited: Iterable[Rows | None],
        numbers: Rows | None = None,
    ) -> None:
        """As `_fill`, scoring every row that is visited, all when None; `numbers` are the lines of `out`."""
        scores, found = out
        lines = range(len(queries)) if numbers is None else numbers.tolist()
        for line, query, among in zip(lines, queries, visited, strict=False):
            columns = self._columns if among is None else self._columns[:, among]
            near = self.coding.score(query, self.comparison)(columns)
            best = best_first(near, keys if among is None else keys[among], scores.shape[1])
            scores[line, : len(best)] = near[best]
            found[line, : len(best)] = best if among is None else among[best]


def check_comparison(comparison: str | None) -> str:
    """`comparison` when it is one of the two.

    Raises:
        VectorIndexError: otherwise.
    """
    if comparison not in COMPARISONS:
        raise VectorIndexError(f"comparison = {comparison!r}, must be one of {sorted(COMPARISONS)}")
    return comparison


def check_lists(count: int, lists: int, probes: int) -> None:
    """Refuses what cannot be built.

    Raises:
        VectorIndexError: when more lists are probed than there are, or `count` vectors are fewer than the lists.
    """
    if probes > lists:
        raise VectorIndexError(f"ivf_probes = {probes}, must not exceed ivf_lists ({lists})")
    if count < lists:
        raise VectorIndexError(f"{count} vectors cannot train {lists} lists; lower ivf_lists, or choose codes: flat")
