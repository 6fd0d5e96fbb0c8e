"""An index that keeps codes: inverted lists with product quantisation (Jégou, Douze and Schmid 2011)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np

from croquis.arrays import Keys, Rows, Scores, Vectors
from croquis.files import write_bytes
from croquis.index.code_index import ROW_BYTES, keep_rows
from croquis.index.dense import FaissIndex
from croquis.index.exact import normalise
from croquis.index.vector_index import FAISS, VectorIndexError, check_subset, faiss_threads


class IvfPqIndex(FaissIndex):
    """Coarse lists, and the residual of each vector as a product code of `subspaces * bits` bits.

    Scores compare the exact query with the decoded vector (asymmetric distance). Row look-up needs a map of 8 bytes a
    row in memory, which is made when the index is built or loaded and is not stored.
    """

    kind = "ivfpq"

    def __init__(self, index: Any, metric: str) -> None:
        super().__init__(index, metric)
        self._map_rows()

    @classmethod
    def build(cls, vectors: Vectors, metric: str, *, lists: int, probes: int, subspaces: int, bits: int) -> Self:
        """Trains the quantisers on (n, dim) float32 `vectors` and stores their codes.

        Args:
            vectors: (n, dim) float32.
            metric: `cosine` or `l2`.
            lists: coarse centroids.
            probes: lists that a search visits, at most `lists`.
            subspaces: parts of a vector, a divisor of dim.
            bits: of each part's code, 4 or 8.

        Raises:
            VectorIndexError: when a number does not fit, naming it and the fix.
        """
        _check_settings(vectors, lists, probes, subspaces, bits)
        dim = vectors.shape[1]
        index = FAISS.IndexIVFPQ(FAISS.IndexFlatL2(dim), dim, lists, subspaces, bits, FAISS.METRIC_L2)
        index.nprobe = probes
        # FAISS warns on stderr below 39 points per centroid; what it cannot do at all was refused above.
        index.cp.min_points_per_centroid = index.pq.cp.min_points_per_centroid = 1
        prepared = normalise(vectors) if metric == "cosine" else vectors
        with faiss_threads(1):
            index.train(prepared)
            index.add(prepared)
        return cls(index, metric)

    @property
    def nbytes(self) -> int:
        return int(self._index.code_size) + ROW_BYTES

    @property
    def parameters(self) -> dict[str, int]:
        index = self._index
        return {"lists": index.nlist, "probes": index.nprobe, "subspaces": index.pq.M, "bits": index.pq.nbits}

    def vectors(self, rows: Rows | None = None) -> Vectors:
        wanted = np.arange(len(self), dtype=np.int64) if rows is None else np.ascontiguousarray(rows)
        if not wanted.size:
            return np.empty((0, self.dim), dtype=np.float32)
        return np.asarray(self._index.reconstruct_batch(wanted), dtype=np.float32)

    def subset(self, rows: Rows) -> Self:
        """The codes of `rows` under the same trained quantisers."""
        chosen = check_subset(rows, len(self))
        index = FAISS.clone_index(self._index)
        index.reset()
        keep_rows(self._index, index, chosen)
        return type(self)(index, self.metric)

    def refilled(self, vectors: Vectors) -> Self:
        index = FAISS.clone_index(self._index)
        index.reset()
        with faiss_threads(1):
            index.add(normalise(vectors) if self.metric == "cosine" else vectors)
        return type(self)(index, self.metric)

    def save(self, path: str | Path) -> None:
        index = FAISS.clone_index(self._index)
        index.set_direct_map_type(FAISS.DirectMap.NoMap)
        write_bytes(path, FAISS.serialize_index(index).tobytes())

    def _map_rows(self) -> None:
        # A cloned index says that it has a map already; taking it away first makes FAISS build a true one.
        self._index.set_direct_map_type(FAISS.DirectMap.NoMap)
        self._index.set_direct_map_type(FAISS.DirectMap.Array)

    def _search_all(self, queries: Vectors, k: int, keys: Keys) -> tuple[Scores, Rows]:
        options = FAISS.SearchParametersIVF(nprobe=self._index.nprobe)
        return self._search_candidates(queries, k, keys, options)


def _check_settings(vectors: Vectors, lists: int, probes: int, subspaces: int, bits: int) -> None:
    count, dim = vectors.shape
    if dim % subspaces:
        raise VectorIndexError(f"pq_subspaces = {subspaces} must divide the {dim} numbers of a vector")
    if bits not in (4, 8):
        raise VectorIndexError(f"pq_bits = {bits}, must be 4 or 8")
    if probes > lists:
        raise VectorIndexError(f"ivf_probes = {probes}, must not exceed ivf_lists ({lists})")
    needed = max(lists, 2**bits)
    if count < needed:
        raise VectorIndexError(
            f"{count} vectors cannot train {lists} lists and {2**bits} centroids per subspace: at least {needed} are "
            f"needed; lower ivf_lists or pq_bits, or use the kind flat"
        )
