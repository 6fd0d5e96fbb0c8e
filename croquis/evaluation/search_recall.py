"""How much of an exhaustive search the index that is served finds."""

from __future__ import annotations

import numpy as np

from croquis.arrays import Vectors
from croquis.catalog.filters import Filters
from croquis.index.build import build_alike
from croquis.index.code_index import CodeIndex
from croquis.index.dense import FlatIndex
from croquis.index.vector_index import VectorIndex
from croquis.search.gallery import BundleGallery, Listed

RECALLED = 10  # results of each query that are compared
RECALL = f"recall@{RECALLED} of exact"


class CountedGallery(BundleGallery):
    """A gallery that counts on the way how many of the best results of an exhaustive search it gives.

    Args:
        gallery: whose index is searched.
        floats: what the encoder gives for its rows, see `exhaustive`.
    """

    def __init__(self, gallery: BundleGallery, floats: Vectors | None) -> None:
        super().__init__(gallery.index, gallery.items, gallery.names)
        self._exact = exhaustive(gallery.index, floats)
        self._found = self._wanted = 0

    def search(self, vectors: Vectors, k: int, filters: Filters) -> Listed:
        listed = super().search(vectors, k, filters)
        if self._exact is not None:
            _, exact = self._exact.search(vectors, RECALLED, tiebreak=self.items.keys)
            for found, best in zip(listed.ranked.rows, exact, strict=True):
                wanted = best[best >= 0]
                self._wanted += len(wanted)
                self._found += int(np.isin(wanted, found[:RECALLED]).sum())
        return listed

    @property
    def recall(self) -> float:
        """The share that was found, 0 to 1, of all that was asked until now."""
        return self._found / self._wanted if self._wanted else 1.0


def exhaustive(index: VectorIndex, floats: Vectors | None = None) -> VectorIndex | None:
    """Over the same rows an index that compares every vector (of a coding head every code); None when `index` does.

    Args:
        index: of any kind.
        floats: what the encoder gives for its rows, (n, dim) float32; an index of floats is told its own when None.
    """
    if index.kind == "flat" or index.kind.endswith("_flat"):
        return None
    if isinstance(index, CodeIndex):
        return build_alike(index.vectors(), index)
    if floats is None:
        return FlatIndex.of_stored(index.vectors(), index.metric)
    return FlatIndex.build(floats, index.metric)
