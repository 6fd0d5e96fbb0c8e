"""Indexes of product codes under codebooks that a method has learned; nothing about the codes is trained here."""

from __future__ import annotations

from typing import Any, Self

import faiss
import numpy as np

from croquis.arrays import Rows, Scores, Vectors
from croquis.index.code_index import SEED, CodeIndex, IvfCodeIndex, append_to_list, check_lists, keep_rows
from croquis.index.codes import Codes
from croquis.index.coding import ProductCoding
from croquis.index.dense import stored_floats
from croquis.index.exact import similarity
from croquis.index.vector_index import FAISS, VectorIndexError, faiss_threads


class PqFlatIndex(CodeIndex):
    """Product codes, every one of them compared."""

    kind = "pq_flat"
    coding: ProductCoding

    def __init__(self, index: Any, comparison: str) -> None:
        packed = FAISS.vector_to_array(index.codes).reshape(index.ntotal, index.code_size)
        super().__init__(index, _coding(index), comparison, packed)

    @classmethod
    def build(cls, vectors: Vectors, comparison: str, *, codebooks: Vectors) -> Self:
        """Keeps the codes of (n, M * d) float32 under `codebooks` (M, K, d), see `croquis.index.coding.check_codebooks`."""
        coding = ProductCoding(codebooks)
        return cls(_filled(coding, coding.encode(vectors)), comparison)

    def subset(self, rows: Rows) -> Self:
        return type(self)(_filled(self.coding, self._subset_codes(rows)[1]), self.comparison)

    def _serialised(self) -> Any:
        return FAISS.serialize_index(self._index)


class PqIvfIndex(IvfCodeIndex):
    """Product codes in inverted lists. The codes are of the vectors themselves, not of their residuals from a centre."""

    kind = "pq_ivf"
    coding: ProductCoding

    def __init__(self, index: Any, comparison: str) -> None:
        super().__init__(index, _coding(index), comparison)
        self._centres = stored_floats(FAISS.downcast_index(index.quantizer)).copy()

    @classmethod
    def build(cls, vectors: Vectors, comparison: str, *, codebooks: Vectors, lists: int, probes: int) -> Self:
        """Keeps the codes of (n, M * d) float32 in `lists` lists, of which a search visits `probes`.

        Args:
            codebooks: (M, K, d), see `croquis.index.coding.check_codebooks`.

        Raises:
            VectorIndexError: when the numbers do not fit.
        """
        check_lists(len(vectors), lists, probes)
        coding = ProductCoding(codebooks)
        centres = _centres(vectors, lists)
        index = FAISS.IndexIVFPQ(centres, coding.dim, lists, coding.parts, coding.bits, FAISS.METRIC_L2)
        index.by_residual, index.nprobe = False, probes
        _set_codebooks(index.pq, codebooks)
        index.is_trained = True
        with faiss_threads(1):
            nearest = centres.assign(vectors, 1).ravel()
        packed = coding.encode(vectors)
        for number in range(lists):
            rows = np.flatnonzero(nearest == number)
            append_to_list(index, number, rows, packed[rows])
        index.ntotal = len(vectors)
        return cls(index, comparison)

    def subset(self, rows: Rows) -> Self:
        chosen, _ = self._subset_codes(rows)
        index = FAISS.clone_index(self._index)
        index.reset()
        keep_rows(self._index, index, chosen)
        return type(self)(index, self.comparison)

    def _serialised(self) -> Any:
        return FAISS.serialize_index(self._index)

    def _centre_scores(self, query: Vectors) -> Scores:
        return similarity(query, self._centres, "l2")


def _centres(vectors: Vectors, lists: int) -> Any:
    """A flat FAISS index of the centres that k-means finds; one thread and a fixed seed give the same ones every time."""
    settings = {"seed": SEED, "min_points_per_centroid": 1}
    means = faiss.Kmeans(vectors.shape[1], lists, **settings)
    index = FAISS.IndexFlatL2(vectors.shape[1])
    with faiss_threads(1):
        means.train(vectors)
        index.add(means.centroids)
    return index


def _filled(coding: ProductCoding, packed: Codes) -> Any:
    index = FAISS.IndexPQ(coding.dim, coding.parts, coding.bits)
    _set_codebooks(index.pq, coding.codebooks)
    index.is_trained = True
    index.add_sa_codes(packed)
    return index


def _set_codebooks(quantiser: Any, codebooks: Vectors) -> None:
    FAISS.copy_array_to_vector(np.ascontiguousarray(codebooks).ravel(), quantiser.centroids)


def _coding(index: Any) -> ProductCoding:
    if getattr(index, "by_residual", False):
        raise VectorIndexError("the index codes residuals from its centres, which no learned codebook does")
    quantiser = index.pq
    shape = (quantiser.M, quantiser.ksub, quantiser.dsub)
    return ProductCoding(FAISS.vector_to_array(quantiser.centroids).reshape(shape))
