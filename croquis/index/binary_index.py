"""Indexes of packed bits: one bit per number of a binary head, searched exhaustively or by inverted lists.

Where the list is short, FAISS compares bits with bits. A few queries take its own list, somewhat longer than what is asked
for, and its range search where the tie at the `k`-th rank reaches the end of that. For more queries at once, a sample of the
codes tells within which distance about `k` of all lie, and the range search gives every code within it; where these are
fewer than `k`, it is asked again for the distance of the sample's own k-th. Nothing that could be among the best `k` is left
out, and the order is ours.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from croquis.arrays import Keys, Rows, Scores, Vectors
from croquis.index.code_index import SEED, CodeIndex, append_to_list, check_lists
from croquis.index.coding import Codes, Columns, SignCoding
from croquis.index.exact import best_first
from croquis.index.vector_index import FAISS, VectorIndexError, faiss_threads

SHARE = 1 / 64  # of all rows; longer lists are found faster by scoring every row
AT_ONCE = 512  # queries: bounds the memory of what is found
FEW = 4  # queries, up to which lists of FAISS's own are faster
MORE = 64  # places of such a list beyond those that are asked for
WORD = 64  # bits
WIDE = 8  # times as many as are asked for are sorted together with those of other queries
SAMPLED = 8
DEVIATIONS = 2  # of the number of the best `k` that are in the sample


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

    def _propose(self, queries: Vectors, keys: Keys, out: tuple[Scores, Rows]) -> Rows:
        if self.comparison == "asymmetric":
            return super()._propose(queries, keys, out)
        if out[1].shape[1] > SHARE * len(self):
            return np.arange(len(queries))
        for start in range(0, len(queries), AT_ONCE):
            block = slice(start, start + AT_ONCE)
            packed, part = self.coding.encode(queries[block]), (out[0][block], out[1][block])
            lists = list[Rows]()
            if self._lists:
                probed = self._visited(packed)
                lists = [probed, np.zeros_like(probed, dtype=np.int32)]  # distances from centres, which FAISS ignores
            (self._fill_few if len(packed) <= FEW else self._fill_block)(packed, lists, keys, part)
        return np.zeros(0, dtype=np.int64)

    def _fill_few(self, packed: Codes, lists: list[Rows], keys: Keys, out: tuple[Scores, Rows]) -> None:
        """As `_fill_block`, one query after the other."""
        k = out[1].shape[1]
        find, within = self._index.search, self._index.range_search
        if lists:
            find, within = self._index.search_preassigned, self._index.range_search_preassigned
        with faiss_threads(self.threads):
            for line, (scores, found) in enumerate(zip(*out, strict=True)):
                query, among = packed[line : line + 1], [each[line : line + 1] for each in lists]
                (near,), (rows,) = find(query, k + MORE, *among)
                if near[k - 1] == near[-1] and rows[-1] >= 0:
                    _, near, rows = within(query, int(near[-1]) + 1, *among)
                there = int(np.count_nonzero(rows >= 0))
                best = np.lexsort((keys[rows[:there]], near[:there]))[:k]
                scores[: len(best)], found[: len(best)] = -near[best], rows[best]

    def _fill_block(self, packed: Codes, lists: list[Rows], keys: Keys, out: tuple[Scores, Rows]) -> None:
        k = out[1].shape[1]
        expected = k / SAMPLED
        owners, near, rows = self._within(packed, lists, min(k, math.ceil(expected + DEVIATIONS * math.sqrt(expected))))
        short = np.bincount(owners, minlength=len(packed)) < k
        if short.any():
            again, kept = np.flatnonzero(short), ~short[owners]
            others, *more = self._within(packed[again], [each[again] for each in lists], k)
            owners = np.concatenate([owners[kept], again[others]])
            near, rows = (np.concatenate([old[kept], new]) for old, new in zip((near, rows), more, strict=True))
        _fill_nearest(owners, near, rows, keys, out)

    def _within(self, packed: Codes, lists: list[Rows], depth: int) -> tuple[Rows, Rows, Rows]:
        """All rows as near as the `depth`-th of the sample: for each the query, its distance and its number, (m,) each."""
        find, within = self._sample.search, self._index.range_search
        if lists:
            find, within = self._sample.search_preassigned, self._index.range_search_preassigned
        parts = []
        with faiss_threads(self.threads):
            near, rows = find(packed, depth, *lists)
            radii = np.where(rows[:, -1] >= 0, near[:, -1] | 1, self._index.d)  # odd, so that more share a search
            for radius in np.unique(radii).tolist():
                asked = np.flatnonzero(radii == radius)
                limits, near, rows = within(packed[asked], radius + 1, *(each[asked] for each in lists))
                parts.append((np.repeat(asked, np.diff(limits.astype(np.int64))), near.astype(np.int64), rows))
        owners, near, rows = (np.concatenate(each) for each in zip(*parts, strict=True))
        return owners, near, rows

    @cached_property
    def _sample(self) -> Any:
        """An index of every `SAMPLED`-th code of all, or of each list."""
        sample = self.faiss_clone(self._index)
        sample.reset()
        if not self._lists:
            sample.add(np.ascontiguousarray(self.codes(np.arange(0, len(self), SAMPLED))))
            return sample
        for number, rows in enumerate(self._lists):
            append_to_list(sample, number, rows[::SAMPLED], self.codes(rows[::SAMPLED]))
        sample.ntotal = sum(len(rows[::SAMPLED]) for rows in self._lists)
        return sample

    def _visited(self, packed: Codes) -> Rows:
        """The lists that each query visits, (Q, probes): those of the nearest centres, the first of equally near ones."""
        lists, probes = self._index.nlist, self._index.nprobe
        distances = np.zeros((len(packed), lists), dtype=np.int32)
        for asked, centres in zip(as_words(packed).T, self._centre_words.T, strict=True):
            distances += np.bitwise_count(asked[:, None] ^ centres)
        distances *= lists
        distances += np.arange(lists, dtype=np.int32)
        return np.argpartition(distances, probes - 1, axis=1)[:, :probes].astype(np.int64)

    @cached_property
    def _centre_words(self) -> npt.NDArray[np.uint64]:
        return as_words(self._index.quantizer.reconstruct_n())

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


def as_words(packed: Codes) -> npt.NDArray[np.uint64]:
    """Packed codes in words of 64 bits, the last filled up with zeros: (n, words)."""
    short = -packed.shape[1] % 8
    return np.ascontiguousarray(np.pad(packed, ((0, 0), (0, short))) if short else packed).view(np.uint64)


def _fill_nearest(owners: Rows, near: Rows, rows: Rows, keys: Keys, out: tuple[Scores, Rows]) -> None:
    """Of distances (m,) of `rows` from the queries `owners`, which stand together, the least of each query, equal ones by
    key, into `out`.

    Distance and key are sorted as one word. Where a key does not fit and words are equal, and where many rows are as near,
    a query is settled alone.
    """
    (queries, k), short = out[1].shape, int(near.max(initial=0)).bit_length() + 1
    counts, begins = np.bincount(owners, minlength=queries), np.zeros(queries, dtype=np.int64)
    changes = np.flatnonzero(np.diff(owners, prepend=-1))
    begins[owners[changes]] = changes
    own = keys[rows]
    cut = max(0, int(own.max(initial=0)).bit_length() + short - WORD)
    words = near.astype(np.uint64) << np.uint64(WORD - short) | own >> np.uint64(cut)
    width = min(int(counts.max()), WIDE * k)
    place = np.arange(len(rows)) - begins[owners]
    fits = np.flatnonzero(place < width)
    grid = np.full((queries, width), np.iinfo(np.uint64).max)
    grid[owners[fits], place[fits]] = words[fits]
    order = np.argsort(grid, axis=1)
    ordered = np.take_along_axis(grid, order[:, : k + 1], axis=1)
    line, rank = np.nonzero(order[:, :k] < counts[:, None])
    found = (begins[:, None] + order[:, :k])[line, rank]
    out[0][line, rank], out[1][line, rank] = -near[found], rows[found]
    unsure = (counts > width) | ((cut > 0) & (ordered[:, 1:] == ordered[:, :-1]).any(axis=1))
    for query in np.flatnonzero(unsure).tolist():
        all_of = slice(begins[query], begins[query] + counts[query])
        scores = -near[all_of].astype(np.float32)
        best = best_first(scores, own[all_of], k)
        out[0][query, : len(best)], out[1][query, : len(best)] = scores[best], rows[all_of][best]
