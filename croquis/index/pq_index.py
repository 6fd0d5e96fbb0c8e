"""Indexes of product codes under codebooks that a method has learned; nothing about the codes is trained here."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Self

import faiss
import numpy as np
from faiss.contrib.inspect_tools import get_flat_codes, get_pq_centroids

from croquis.arrays import Rows, Scores, Vectors
from croquis.index.code_index import SEED, CodeIndex, append_to_list, check_lists
from croquis.index.coding import Codes, ProductCoding
from croquis.index.exact import similarity
from croquis.index.vector_index import FAISS, VectorIndexError, faiss_threads


class PqIndex(CodeIndex):
    """Product codes. In inverted lists they are of the vectors themselves, not of their residuals from a centre."""

    faiss_clone = staticmethod(FAISS.clone_index)
    faiss_add = staticmethod(FAISS.IndexPQ.add_sa_codes)
    faiss_serialize = staticmethod(FAISS.serialize_index)
    coding: ProductCoding

    @classmethod
    def open(cls, index: Any, comparison: str) -> Self:
        """A FAISS index of product codes, which holds its codebooks.

        Raises:
            VectorIndexError: when its codes are of residuals, or there is no such comparison.
        """
        if getattr(index, "by_residual", False):
            raise VectorIndexError("the index codes residuals from its centres, which no learned codebook does")
        return cls(index, ProductCoding(get_pq_centroids(index.pq)), comparison)

    @classmethod
    def build(cls, vectors: Vectors, comparison: str, *, codebooks: Vectors) -> Self:
        """Keeps the codes of (n, M * d) float32, every one of which is compared.

        Args:
            codebooks: (M, K, d), see `croquis.index.coding.check_codebooks`.
        """
        coding = ProductCoding(codebooks)
        index = FAISS.IndexPQ(coding.dim, coding.parts, coding.bits)
        _set_codebooks(index, codebooks)
        index.add_sa_codes(coding.encode(vectors))
        return cls(index, coding, comparison)

    @classmethod
    def build_ivf(cls, vectors: Vectors, comparison: str, *, codebooks: Vectors, lists: int, probes: int) -> Self:
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
        _set_codebooks(index, codebooks)
        with faiss_threads(1):
            nearest = centres.assign(vectors, 1).ravel()
        packed = coding.encode(vectors)
        for number in range(lists):
            rows = np.flatnonzero(nearest == number)
            append_to_list(index, number, rows, packed[rows])
        index.ntotal = len(vectors)
        return cls(index, coding, comparison)

    @cached_property
    def _centres(self) -> Vectors:
        centres: Vectors = self._index.quantizer.reconstruct_n()
        return centres

    def _assigned(self, vectors: Vectors) -> Rows:
        rows: Rows = self._index.quantizer.assign(vectors, 1).ravel()
        return rows

    def _centre_scores(self, query: Vectors) -> Scores:
        return similarity(query, self._centres, "l2")

    def _flat_codes(self) -> Codes:
        codes: Codes = get_flat_codes(self._index)
        return codes


def _centres(vectors: Vectors, lists: int) -> Any:
    """A flat FAISS index of the centres that k-means finds; one thread and a fixed seed give the same ones every time."""
    settings = {"seed": SEED, "min_points_per_centroid": 1}
    means = faiss.Kmeans(vectors.shape[1], lists, **settings)
    index = FAISS.IndexFlatL2(vectors.shape[1])
    with faiss_threads(1):
        means.train(vectors)
        index.add(means.centroids)
    return index


def _set_codebooks(index: Any, codebooks: Vectors) -> None:
    FAISS.copy_array_to_vector(np.ascontiguousarray(codebooks).ravel(), index.pq.centroids)
    index.is_trained = True
