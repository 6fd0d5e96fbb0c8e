"""Codes in inverted lists: a search visits the few lists whose centres are best for the query."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

from retrieval.code_index import CodeIndex
from retrieval.coding import Coding, code_bytes
from retrieval.exact_search import best_first
from retrieval.inverted_lists import ROW_BYTES, read_list
from retrieval.vector_index import Keys, Rows, Scores, VectorIndexError, Vectors

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
