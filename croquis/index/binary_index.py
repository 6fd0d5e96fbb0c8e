"""Indexes of packed bits: one bit per number of a binary head, searched exhaustively or by inverted lists.

Where the list is short, FAISS compares bits with bits. It proposes a few rows more than `k`; where the last of
these ties with the k-th, its range search finds all that do. Nothing that could be among the best `k` is left out, and
the order is ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any, Self

import numpy as np

from croquis.arrays import Rows, Scores, Vectors
from croquis.index.code_index import SEED, CodeIndex, Nearest, check_lists
from croquis.index.coding import Codes, Columns, SignCoding
from croquis.index.exact import SPARE
from croquis.index.vector_index import FAISS, VectorIndexError, faiss_threads

SHARE = 1 / 64  # of all rows; longer lists are found faster by scoring every row than by a heap


class BinaryIndex(CodeIndex):
    """Packed bits."""

    faiss_clone = staticmethod(FAISS.clone_binary_index)
    faiss_add = staticmethod(FAISS.IndexBinaryFlat.add)
    faiss_serialize = staticmethod(FAISS.serialize_index_binary)
    coding: SignCoding

    @classmethod
    def open(cls, index: Any, bits: int, comparison: str) -> Self:
        """A FAISS index of codes of so many bits.

        Raises:
            VectorIndexError: when its codes are of another length, or there is no such comparison.
        """
        coding = SignCoding(bits)
        if coding.code_bytes != index.code_size:
            raise VectorIndexError(
                f"the index keeps {index.code_size} bytes per image, {bits} bits take {coding.code_bytes}"
            )
        return cls(index, coding, comparison)

    @classmethod
    def build(cls, vectors: Vectors, comparison: str) -> Self:
        """Keeps the signs of (n, bits) float32, every one of which is compared."""
        coding = SignCoding(vectors.shape[1])
        index = FAISS.IndexBinaryFlat(8 * coding.code_bytes)
        index.add(coding.encode(vectors))
        return cls(index, coding, comparison)

    @classmethod
    def build_ivf(cls, vectors: Vectors, comparison: str, *, lists: int, probes: int) -> Self:
        """Keeps the signs of (n, bits) float32 in `lists` lists around binary centres, of which a search visits `probes`.

        Raises:
            VectorIndexError: when the numbers do not fit.
        """
        check_lists(len(vectors), lists, probes)
        coding = SignCoding(vectors.shape[1])
        packed, bits = coding.encode(vectors), 8 * coding.code_bytes
        index = FAISS.IndexBinaryIVF(FAISS.IndexBinaryFlat(bits), bits, lists)
        index.nprobe = probes
        index.cp.seed, index.cp.min_points_per_centroid = SEED, 1
        with faiss_threads(1):
            index.train(packed)
            index.add(packed)
        return cls(index, coding, comparison)

    def _nearest(self, queries: Vectors, k: int) -> Iterable[Nearest]:
        width = k + SPARE
        if self.comparison == "asymmetric" or width > SHARE * len(self) or not len(queries):
            return super()._nearest(queries, k)
        packed, find, within = self.coding.encode(queries), self._index.search, self._index.range_search
        lists: list[Rows] = []
        if self._lists:
            find, within = self._index.search_preassigned, self._index.range_search_preassigned
            probed = np.stack([self._probed(query) for query in queries])
            lists = [probed, np.zeros_like(probed)]  # and distances from their centres, which FAISS does not look at
        nearest: list[Nearest] = []
        with faiss_threads(self.threads):
            for number, (near, rows) in enumerate(zip(*find(packed, width, *lists), strict=True)):
                if rows[-1] >= 0 and near[k - 1] == near[-1]:
                    one = slice(number, number + 1)
                    _, near, rows = within(packed[one], int(near[-1]) + 1, *(each[one] for each in lists))
                held = rows >= 0
                nearest.append((-near[held].astype(np.float32), rows[held]))
        return nearest

    @cached_property
    def _centres(self) -> Columns:
        return self.coding.columns(self._index.quantizer.reconstruct_n())

    def _assigned(self, vectors: Vectors) -> Rows:
        rows: Rows = self._index.quantizer.search(self.coding.encode(vectors), 1)[1].ravel()
        return rows

    def _centre_scores(self, query: Vectors) -> Scores:
        return self.coding.score(query, self.comparison)(self._centres)

    def _flat_codes(self) -> Codes:
        codes: Codes = self._index.reconstruct_n()
        return codes
