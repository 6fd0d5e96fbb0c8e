"""Codes in parts of 4 bits, compared by FAISS's fast scan (André, Kermarrec and Le Scouarnec 2015), and settled exactly.

The fast scan rounds its tables to 8 bits, so that a score is off by up to half a step in every part. Rows that it proposes
are scored again from the exact tables; the best `k` of them are the best of all where the k-th is above what any other row
can have. Both the bound and every proposed row's error are checked, query by query.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from croquis.arrays import Keys, Rows, Scores, Vectors
from croquis.index.coding import Codes, Coding, Columns, Quick, Tables, merged_tables, scan_tables, scores_of
from croquis.index.exact import SPARE
from croquis.index.vector_index import FAISS, faiss_threads

MOST_PARTS = 256  # sums of more would overflow its 16 bits
LEVELS = 255  # steps of its tables
ROUNDING = 1e-5  # of float32, relative to the largest sum of values
WIDER = 4  # times as many are proposed where the first were not enough
SHARE = 1 / 8  # of all rows; longer lists are found as fast by scoring every row
AT_ONCE = 128  # queries: bounds the memory of their tables


class FastScan:
    """A copy of some codes, laid out for the fast scan.

    Args:
        packed: (n, bytes).
        coding: how they were made.
        quick: of that coding.
    """

    def __init__(self, packed: Codes, coding: Coding, quick: Quick) -> None:
        parts, _, width = quick.codebooks.shape
        metric = FAISS.METRIC_INNER_PRODUCT if quick.products else FAISS.METRIC_L2
        plain = FAISS.IndexPQ(parts * width, parts, 4, metric)
        FAISS.copy_array_to_vector(np.ascontiguousarray(quick.codebooks).ravel(), plain.pq.centroids)
        plain.is_trained = True
        plain.add_sa_codes(np.ascontiguousarray(packed))
        self._index: Any = FAISS.IndexPQFastScan(plain)
        self._coding = coding
        self._quick = quick
        self._parts = parts

    @classmethod
    def of(cls, packed: Codes, coding: Coding) -> FastScan | None:
        """None where the codes have other parts, or too many."""
        quick = coding.quick()
        return None if quick is None or len(quick.codebooks) > MOST_PARTS else cls(packed, coding, quick)

    def search(
        self, queries: Vectors, columns: Columns, keys: Keys, out: tuple[Scores, Rows], threads: int
    ) -> npt.NDArray[np.int64]:
        """Fills the lines of `out` that are settled.

        Args:
            queries: (Q, dim) as `Coding.asked` gave them.
            columns: the same codes, as `Coding.columns` gave them.
            keys: (n,) the order of equal scores.
            out: scores and rows, (Q, k) each.

        Returns:
            The numbers of the queries that are left.
        """
        k, left = out[1].shape[1], [np.zeros(0, dtype=np.int64)]
        for start in range(0, len(queries), AT_ONCE):
            waiting, width = np.arange(start, min(start + AT_ONCE, len(queries))), k + SPARE
            while len(waiting) and width <= SHARE * columns.shape[1]:
                scores, rows, sure = self._settled(queries[waiting], columns, keys, (k, width), threads)
                out[0][waiting[sure]], out[1][waiting[sure]] = scores[sure], rows[sure]
                waiting, width = waiting[~sure], WIDER * width
            left.append(waiting)
        return np.concatenate(left)

    def _settled(
        self, queries: Vectors, columns: Columns, keys: Keys, depths: tuple[int, int], threads: int
    ) -> tuple[Scores, Rows, npt.NDArray[np.bool_]]:
        """Scores and rows of the best that are proposed, best first, and of which queries they are surely the best of all.

        Args:
            depths: rows that are wanted, and that are proposed.
        """
        k, width = depths
        tables = self._coding.tables(queries)
        rounded, proposed = self._proposed(queries, width, threads)
        exact = scores_of(scan_tables(tables, self._coding.bits), columns, proposed)
        errors = self._errors(tables)
        by_key = np.argsort(keys[proposed], axis=1)
        order = np.argsort(-np.take_along_axis(exact, by_key, axis=1), axis=1, kind="stable")[:, :k]
        best = np.take_along_axis(by_key, order, axis=1)
        scores, rows = np.take_along_axis(exact, best, axis=1), np.take_along_axis(proposed, best, axis=1)
        true_to_bound = (np.abs(rounded - exact) <= errors[:, None]).all(axis=1)
        return scores, rows, true_to_bound & (scores[:, -1] > rounded.min(axis=1) + errors)

    def _proposed(self, queries: Vectors, width: int, threads: int) -> tuple[Scores, Rows]:
        """The best `width` rows by rounded scores, (Q, width), higher better."""
        short = self._index.d - queries.shape[1]  # bits that fill the last byte
        asked = np.pad(queries, ((0, 0), (0, short))) if short else queries
        with faiss_threads(threads):
            found, rows = self._index.search(np.ascontiguousarray(asked), width)
        return (found if self._quick.products else -found), rows

    def _errors(self, tables: Tables) -> Scores:
        """By how much a rounded score may be off, (Q,)."""
        parts = merged_tables(tables, self._quick.together)
        most, least = parts.max(axis=2), parts.min(axis=2)
        step = np.maximum((most - least).max(axis=1) / LEVELS, (most - least).sum(axis=1) / (2**16 - 1))
        return np.asarray(self._parts * step / 2 + ROUNDING * np.maximum(-least, most).sum(axis=1))
