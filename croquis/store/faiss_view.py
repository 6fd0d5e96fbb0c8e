"""The images of a FAISS store as they are at one moment, ready to be searched; a change gives a new view."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from croquis.arrays import Keys, Rows, Scores, Vectors
from croquis.bundle.word_columns import RowsByWord
from croquis.index.binary_index import BinaryIndex
from croquis.index.coding import ProductCoding
from croquis.index.dense import FlatIndex, HnswIndex
from croquis.index.exact import empty_result
from croquis.index.layered import LayeredIndex
from croquis.index.pq_index import PqIndex
from croquis.index.ranking import label_blind_keys
from croquis.index.vector_index import VectorIndex
from croquis.store.vector_store import Stored, StoreSpec

SMALL = 1024  # a layer that a search hardly notices
SHARE = 8  # a layer over one eighth of its base is merged with it
LOOKED_UP = 32  # ids, each by binary search; a table of all is made for more
GRAPH = {"links": 32, "ef_search": 64}

Added = Mapping[str, tuple[Vectors, np.uint64]]


@dataclass(frozen=True)
class IndexedRows:
    """An index and who its rows are."""

    index: VectorIndex
    ids: pa.ChunkedArray
    keys: Keys
    by_id: RowsByWord

    @classmethod
    def build(cls, ids: Sequence[str], vectors: Vectors, spec: StoreSpec) -> IndexedRows:
        """Indexes vectors (n, dim) as the store's record says."""
        if isinstance(spec.coding, ProductCoding):
            index: VectorIndex = PqIndex.build(vectors, str(spec.comparison), codebooks=spec.coding.codebooks)
        elif spec.coding is not None:
            index = BinaryIndex.build(vectors, str(spec.comparison))
        elif spec.kind == "hnsw":
            index = HnswIndex.of_stored(vectors, spec.metric, **GRAPH)
        else:
            index = FlatIndex.of_stored(vectors, spec.metric)
        column = pa.chunked_array([pa.array(ids, type=pa.string())])
        return cls(index, column, label_blind_keys(ids), RowsByWord(column))

    def rows(self, image_ids: Sequence[str]) -> Rows:
        """The row of each image, -1 for one that is not here."""
        if len(image_ids) > LOOKED_UP:
            found = pc.index_in(pa.array(image_ids, type=pa.string()), value_set=self.ids)
            return np.asarray(found.fill_null(-1).to_numpy(), dtype=np.int64)
        return np.array([next(iter(self.by_id.rows(name)), -1) for name in image_ids], dtype=np.int64)


@dataclass(frozen=True)
class StoreView:
    """Rows 0.. are the `kept` ones of the base, then the `added` images in their order.

    Attributes:
        spec: of the store.
        base: None while there is no image.
        kept: rows of the base that are left, ascending.
        added: image -> vector (dim,) and label-blind key.
    """

    spec: StoreSpec
    base: IndexedRows | None = None
    kept: Rows = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    added: Added = field(default_factory=dict)
    index: LayeredIndex | None = None
    keys: Keys = field(default_factory=lambda: np.empty(0, dtype=np.uint64))

    @classmethod
    def of(cls, spec: StoreSpec, ids: list[str], stored: Stored) -> StoreView:
        """All images at once."""
        if not ids:
            return cls(spec)
        base = IndexedRows.build(ids, spec.decoded(stored), spec)
        return cls._layered(spec, base, np.arange(len(ids)), {})

    def changed(self, ids: Sequence[str], stored: Stored, removed: Iterable[str] = ()) -> StoreView:
        """The view after images were written or removed."""
        gone = {*ids, *removed}
        added = {image_id: value for image_id, value in self.added.items() if image_id not in gone}
        vectors = self.spec.decoded(stored)
        added |= dict(zip(ids, zip(vectors, label_blind_keys(ids), strict=True), strict=True))
        if self.base is None:
            return self._merged(self.spec, [], np.empty((0, self.spec.dim), dtype=np.float32), added)
        left = np.zeros(len(self.base.ids), dtype=np.bool_)
        left[self.kept] = True
        places = self.base.rows(list(gone))
        left[places[places >= 0]] = False
        kept = np.flatnonzero(left)
        if len(added) + len(left) - len(kept) > max(SMALL, len(left) // SHARE):
            names = self.base.ids.take(pa.array(kept)).to_pylist()
            return self._merged(self.spec, names, self.base.index.vectors(kept), added)
        return self._layered(self.spec, self.base, kept, added)

    def search(self, queries: Vectors, k: int, passing: Sequence[str] | None = None) -> tuple[Scores, Rows]:
        """As `VectorIndex.search`, among the images of the ids `passing`; all when None."""
        if self.index is None:
            return empty_result(len(queries), k)
        rows = None if passing is None else self.rows(passing)
        return self.index.search(queries, k, rows, tiebreak=self.keys)

    def rows(self, image_ids: Sequence[str]) -> Rows:
        """The rows of those images that are here."""
        late = {image_id: len(self.kept) + place for place, image_id in enumerate(self.added)}
        rows = np.array([late.get(name, -1) for name in image_ids], dtype=np.int64)
        if self.base is not None:
            place = np.full(len(self.base.ids) + 1, -1, dtype=np.int64)  # the last one for those that are not here
            place[self.kept] = np.arange(len(self.kept))
            rows = np.where(rows >= 0, rows, place[self.base.rows(image_ids)])
        return rows[rows >= 0]

    def vectors(self, rows: Rows) -> Vectors:
        """(len(rows), dim), decoded where codes are kept."""
        return np.empty((0, self.spec.dim), dtype=np.float32) if self.index is None else self.index.vectors(rows)

    def ids(self, rows: Rows) -> list[str]:
        """The image of each row, the reverse of `rows`."""
        late = list(self.added)
        here, old = len(self.kept), rows[rows < len(self.kept)]
        names = iter([] if self.base is None else self.base.ids.take(pa.array(self.kept[old])).to_pylist())
        return [next(names) if row < here else late[row - here] for row in rows.tolist()]

    @classmethod
    def _merged(cls, spec: StoreSpec, ids: list[str], vectors: Vectors, added: Added) -> StoreView:
        everything = [*ids, *added]
        if not everything:
            return cls(spec)
        base = IndexedRows.build(everything, np.concatenate([vectors, _stacked(added, spec)]), spec)
        return cls._layered(spec, base, np.arange(len(everything)), {})

    @classmethod
    def _layered(cls, spec: StoreSpec, base: IndexedRows, kept: Rows, added: Added) -> StoreView:
        late = np.array([key for _, key in added.values()], dtype=np.uint64)
        keys = np.concatenate([base.keys[kept], late])
        return cls(spec, base, kept, added, LayeredIndex(base.index, kept, _stacked(added, spec)), keys)


def _stacked(added: Added, spec: StoreSpec) -> Vectors:
    return np.stack([vector for vector, _ in added.values()]) if added else np.empty((0, spec.dim), dtype=np.float32)
