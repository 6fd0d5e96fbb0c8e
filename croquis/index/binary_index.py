"""Indexes of packed bits: one bit per number of a binary head, searched exhaustively or by inverted lists."""

from __future__ import annotations

from typing import Any, Self

from croquis.arrays import Rows, Scores, Vectors
from croquis.index.code_index import SEED, CodeIndex, IvfCodeIndex, check_lists, keep_rows
from croquis.index.codes import Codes
from croquis.index.coding import SignCoding, columns_of
from croquis.index.vector_index import FAISS, VectorIndexError, faiss_threads


class BinaryFlatIndex(CodeIndex):
    """Packed bits, every one of them compared."""

    kind = "binary_flat"

    def __init__(self, index: Any, bits: int, comparison: str) -> None:
        super().__init__(index, _coding(index, bits), comparison, stored_codes(index))

    @classmethod
    def build(cls, vectors: Vectors, comparison: str) -> Self:
        """Keeps the signs of (n, bits) float32."""
        return cls(_filled(SignCoding(vectors.shape[1]).encode(vectors)), vectors.shape[1], comparison)

    def subset(self, rows: Rows) -> Self:
        return type(self)(_filled(self._subset_codes(rows)[1]), self.dim, self.comparison)

    def _serialised(self) -> Any:
        return FAISS.serialize_index_binary(self._index)


class BinaryIvfIndex(IvfCodeIndex):
    """Packed bits in inverted lists around binary centres."""

    kind = "binary_ivf"

    def __init__(self, index: Any, bits: int, comparison: str) -> None:
        super().__init__(index, _coding(index, bits), comparison)
        self._centres = columns_of(stored_codes(FAISS.downcast_IndexBinary(index.quantizer)), self.coding)

    @classmethod
    def build(cls, vectors: Vectors, comparison: str, *, lists: int, probes: int) -> Self:
        """Keeps the signs of (n, bits) float32 in `lists` lists, of which a search visits `probes`.

        Raises:
            VectorIndexError: when the numbers do not fit.
        """
        check_lists(len(vectors), lists, probes)
        packed = SignCoding(vectors.shape[1]).encode(vectors)
        bits = 8 * packed.shape[1]
        index = FAISS.IndexBinaryIVF(FAISS.IndexBinaryFlat(bits), bits, lists)
        index.nprobe = probes
        index.cp.seed, index.cp.min_points_per_centroid = SEED, 1
        with faiss_threads(1):
            index.train(packed)
            index.add(packed)
        return cls(index, vectors.shape[1], comparison)

    def subset(self, rows: Rows) -> Self:
        chosen, _ = self._subset_codes(rows)
        index = FAISS.deserialize_index_binary(FAISS.serialize_index_binary(self._index))
        index.reset()
        keep_rows(self._index, index, chosen)
        return type(self)(index, self.dim, self.comparison)

    def _serialised(self) -> Any:
        return FAISS.serialize_index_binary(self._index)

    def _centre_scores(self, query: Vectors) -> Scores:
        return self.coding.score(query, self.comparison)(self._centres)


def stored_codes(index: Any) -> Codes:
    """A copy of the codes of a flat binary FAISS index, (n, bytes)."""
    stored: Codes = FAISS.vector_to_array(index.xb).reshape(index.ntotal, index.code_size)
    return stored


def _filled(packed: Codes) -> Any:
    index = FAISS.IndexBinaryFlat(8 * packed.shape[1])
    index.add(packed)
    return index


def _coding(index: Any, bits: int) -> SignCoding:
    if -(-bits // 8) != index.code_size:
        raise VectorIndexError(f"the index keeps {index.code_size} bytes per image, {bits} bits take {-(-bits // 8)}")
    return SignCoding(bits)
