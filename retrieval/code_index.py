"""Indexes that keep codes, not floats. FAISS packs them, keeps the lists and writes the file; the scan is ours.

Codes tie massively: under 12 bits, 54,000 images share 4,096 codes. FAISS cuts ties at the last rank in storage order, and
its range search, which would find all of them, takes over product codes 40 times as long as a look-up per byte. Here every
code that is visited gets its exact score, and equal scores are ordered by the caller's key, at every rank.
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

from retrieval.codes import Codes
from retrieval.coding import Coding, asked, code_bytes, columns_of, packed_of
from retrieval.exact_search import best_first, empty_result
from retrieval.files import write_bytes
from retrieval.heads import COMPARISONS
from retrieval.vector_index import (
    Keys,
    Rows,
    Scores,
    VectorIndexError,
    Vectors,
    check_depth,
    check_rows,
    check_subset,
    check_vectors,
    tie_keys,
)


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
