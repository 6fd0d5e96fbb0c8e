"""Indexes that keep codes, not floats: all of them are compared, or those of a few inverted lists.

Codes tie massively: under 12 bits, 54,000 images share 4,096 codes, and FAISS cuts ties at the last rank in storage
order. Here every code that ties with the last rank is looked at, and equal scores are ordered by the caller's key. Of
bits that are compared with bits FAISS finds these codes (see `croquis.index.binary_index`). All others are scanned
here: FAISS's range search takes over product codes 40 times as long as a look-up per byte.

With inverted lists a search visits the few lists whose centres are best for the query; within them it is exact.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from faiss.contrib.inspect_tools import get_invlist

from croquis.arrays import Keys, Rows, Scores, Vectors
from croquis.files import write_bytes
from croquis.index.coding import Codes, Coding
from croquis.index.exact import best_first, empty_result
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

Nearest = tuple[Scores, Rows | None]
"""Scores, and the rows that have them: all, in their order, when None."""


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
        keys = tie_keys(tiebreak, len(self))
        if rows is None:
            nearest = self._nearest(prepared, k)
        else:
            nearest = self._scanned(prepared, repeat(check_rows(rows, len(self))))
        scores, found = empty_result(len(prepared), k)
        for number, (near, among) in enumerate(nearest):
            best = best_first(near, keys if among is None else keys[among], k)
            scores[number, : len(best)] = near[best]
            found[number, : len(best)] = best if among is None else among[best]
        return scores, found

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

    def _nearest(self, queries: Vectors, k: int) -> Iterable[Nearest]:  # noqa: ARG002 all that are visited are scored
        """For each query the best `k` of the rows that it visits and all that tie with the last of them, perhaps more."""
        if not self._lists:
            return self._scanned(queries, repeat(None))
        probed = map(self._probed, queries)
        return self._scanned(queries, (np.concatenate([self._lists[each] for each in lists]) for lists in probed))

    def _probed(self, query: Vectors) -> Rows:
        """The lists that a query visits, best first."""
        return best_first(self._centre_scores(query), self._list_keys, self._index.nprobe)

    def _scanned(self, queries: Vectors, visited: Iterable[Rows | None]) -> Iterator[Nearest]:
        """For each query the scores of the rows that it visits, all when None."""
        for query, among in zip(queries, visited, strict=False):
            columns = self._columns if among is None else self._columns[:, among]
            yield self.coding.score(query, self.comparison)(columns), among


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
