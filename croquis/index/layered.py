"""An index that has changed since it was built: some rows taken out, others added, nothing built again.

A graph cannot delete, and should not be built again for one picture. The old index stays as it is: rows that were taken out
are passed over in its answers, and what was added is compared in full beside it.
"""

from __future__ import annotations

import numpy as np

from croquis.arrays import Keys, Rows, Scores, Vectors
from croquis.index.build import build_alike
from croquis.index.code_index import CodeIndex
from croquis.index.dense import FlatIndex
from croquis.index.exact import best_first, empty_result, search_kept
from croquis.index.vector_index import VectorIndex, check_depth, check_rows, check_vectors, tie_keys


class LayeredIndex:
    """Rows of another index, and more vectors behind them; scores as if all were in one index.

    Args:
        base: floats or codes that are kept as they came; it must not change, and several layers may share it.
        kept: the rows of it that are left, ascending; they are rows 0.. here.
        added: (n, dim) float32, the rows after them, as an index of the metric gives them back.
    """

    def __init__(self, base: VectorIndex, kept: Rows, added: Vectors) -> None:
        self.dim = base.dim
        self._base = base
        self._kept = kept
        self._place = np.full(len(base), -1, dtype=np.int64)
        self._place[kept] = np.arange(len(kept))
        self._added = _kept_alike(check_vectors(added, base.dim, "added vectors"), base) if len(added) else None

    def __len__(self) -> int:
        return len(self._kept) + (0 if self._added is None else len(self._added))

    def search(
        self, queries: Vectors, k: int, rows: Rows | None = None, *, tiebreak: Keys | None = None
    ) -> tuple[Scores, Rows]:
        """See `VectorIndex.search`; rows of the base that are kept come first, then those added."""
        check_depth(k)
        prepared = check_vectors(queries, self.dim, "queries")
        keys = tie_keys(tiebreak, len(self))
        chosen = None if rows is None else check_rows(rows, len(self))
        parts = [self._search_base(prepared, k, chosen, keys), self._search_added(prepared, k, chosen, keys)]
        near, found = (np.concatenate(columns, axis=1) for columns in zip(*parts, strict=True))
        scores, best_rows = empty_result(len(prepared), k)
        for number in range(len(prepared)):
            present = np.flatnonzero(found[number] >= 0)
            best = present[best_first(near[number, present], keys[found[number, present]], k)]
            scores[number, : len(best)], best_rows[number, : len(best)] = near[number, best], found[number, best]
        return scores, best_rows

    def vectors(self, rows: Rows | None = None) -> Vectors:
        """See `VectorIndex.vectors`."""
        wanted = np.arange(len(self)) if rows is None else np.asarray(rows, dtype=np.int64)
        found = np.empty((len(wanted), self.dim), dtype=np.float32)
        old = wanted < len(self._kept)
        if old.any():
            found[old] = self._base.vectors(self._kept[wanted[old]])
        if self._added is not None and not old.all():
            found[~old] = self._added.vectors(wanted[~old] - len(self._kept))
        return found

    def _search_base(self, queries: Vectors, k: int, chosen: Rows | None, keys: Keys) -> tuple[Scores, Rows]:
        if not len(self._kept):
            return empty_result(len(queries), k)
        own = np.zeros(len(self._base), dtype=np.uint64)
        own[self._kept] = keys[: len(self._kept)]
        if chosen is None:
            return search_kept(lambda depth: self._base.search(queries, depth, tiebreak=own), self._place, k)
        among = self._kept[chosen[chosen < len(self._kept)]]
        scores, found = self._base.search(queries, k, among, tiebreak=own)
        return scores, self._placed(found)

    def _search_added(self, queries: Vectors, k: int, chosen: Rows | None, keys: Keys) -> tuple[Scores, Rows]:
        if self._added is None:
            return empty_result(len(queries), k)
        start = len(self._kept)
        among = None if chosen is None else chosen[chosen >= start] - start
        scores, found = self._added.search(queries, k, among, tiebreak=keys[start:])
        return scores, np.where(found >= 0, found + start, -1)

    def _placed(self, found: Rows) -> Rows:
        """Rows here of rows of the base; -1 for those that were taken out and where a list has ended."""
        return np.where(found >= 0, self._place[found], -1)


def _kept_alike(vectors: Vectors, base: VectorIndex) -> VectorIndex:
    """An exhaustive index, coded and compared as `base`."""
    return build_alike(vectors, base) if isinstance(base, CodeIndex) else FlatIndex.of_stored(vectors, base.metric)
