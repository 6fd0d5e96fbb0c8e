"""Pictures that are copies of each other although their bytes differ: re-encoded, resized or mirrored.

Two steps. Perceptual hashes within a few bits of each other propose pairs: a multi-index hash table finds every such
pair, by the pigeonhole principle: two 64-bit codes that differ in at most r bits differ in at most r // 4 bits in one
of their four 16-bit quarters. Thumbnails confirm them, for shop photos of different things on white often share a hash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from croquis.arrays import Floats32
from croquis.validation.fingerprints import BLOCK, Thumbnails, contrast, difference

Codes = npt.NDArray[np.uint64]  # (rows,)
Numbers = npt.NDArray[np.int64]

QUARTERS = 4
CODE_BITS = 64
# Pictures of one hash that stand for all of them: more would make the search quadratic where thousands share a hash. A
# copy can only be missed when more than so many *different* pictures share its hash.
REPRESENTATIVES = 32


@dataclass(frozen=True)
class Neighbours:
    """Who is near whom: query q's neighbours are `groups[limits[q] : limits[q + 1]]`, nearest first."""

    limits: Numbers
    groups: Numbers
    distances: Numbers

    def of(self, query: int) -> tuple[Numbers, Numbers]:
        span = slice(self.limits[query], self.limits[query + 1])
        return self.groups[span], self.distances[span]


@dataclass(frozen=True)
class CopyPairs:
    """Pictures that look alike; arrays are (pairs,), ordered by `first`, then `difference`, then `second`.

    Attributes:
        first, second: row numbers; every pair is listed both ways round, unless the cap on representatives cut one.
        bits: Hamming distance of the hashes.
        difference: of the thumbnails, see `croquis.validation.fingerprints.difference`.
        mirrored: whether `second` is like the mirror image of `first`.
    """

    first: Numbers
    second: Numbers
    bits: Numbers
    difference: Floats32
    mirrored: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.first)

    def where(self, keep: npt.NDArray[np.bool_]) -> CopyPairs:
        return self._map(lambda array: array[keep])

    def renumbered(self, numbers: Numbers) -> CopyPairs:
        """The same pairs with `numbers[row]` for each row."""
        return CopyPairs(numbers[self.first], numbers[self.second], self.bits, self.difference, self.mirrored).sorted()

    def sorted(self) -> CopyPairs:
        order = np.lexsort((self.second, self.difference, self.first))
        return self._map(lambda array: array[order])

    def _map(self, change: Callable[[Any], Any]) -> CopyPairs:
        return CopyPairs(*(change(getattr(self, field.name)) for field in fields(self)))

    @staticmethod
    def joined(parts: Sequence[CopyPairs]) -> CopyPairs:
        """All pairs of all parts; there may be no part."""
        none = np.zeros(0, dtype=np.int64)
        every = [CopyPairs(none, none, none, none.astype(np.float32), none.astype(np.bool_)), *parts]
        return CopyPairs(
            *(np.concatenate([getattr(part, field.name) for part in every]) for field in fields(CopyPairs))
        )


def range_search(codes: Codes, queries: Codes, radius: int) -> Neighbours:
    """Every code within Hamming distance `radius` of each query; exact, and far from quadratic for small radii.

    Args:
        codes: (n,) distinct 64-bit codes.
        queries: (q,) 64-bit codes.
        radius: bits, inclusive.
    """
    index = faiss.IndexBinaryMultiHash(CODE_BITS, QUARTERS, CODE_BITS // QUARTERS)
    index.nflip = radius // QUARTERS
    index.add(_as_bytes(codes))
    limits, distances, groups = index.range_search(_as_bytes(queries), radius + 1)
    limits = limits.astype(np.int64)
    owner = np.repeat(np.arange(len(queries)), np.diff(limits))
    order = np.lexsort((groups, distances, owner))
    return Neighbours(limits, groups[order].astype(np.int64), distances[order].astype(np.int64))


def _as_bytes(codes: Codes) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(codes).view(np.uint8).reshape(-1, CODE_BITS // 8)


def near_pairs(codes: Codes, mirror_codes: Codes, thumbnails: Thumbnails, radius: int, tolerance: float) -> CopyPairs:
    """All pairs of rows that look alike, mirrored or not.

    Args:
        codes, mirror_codes: (n,) perceptual hashes of the pictures and of their mirror images.
        thumbnails: (n, side, side, 3).
        radius: bits of the hashes that may differ, inclusive.
        tolerance: largest difference of the thumbnails, inclusive.
    """
    contrasts = contrast(thumbnails)
    candidates = _candidates(codes, mirror_codes, radius)
    found = [_confirmed(block, thumbnails, contrasts, tolerance) for block in candidates]
    return _best_side(CopyPairs.joined(found).sorted())


def _candidates(codes: Codes, mirror_codes: Codes, radius: int) -> Iterator[CopyPairs]:
    """Pairs whose hashes are near, in blocks that are all plain or all mirrored; differences are left at 0."""
    if not len(codes):
        return
    unique, group_of = np.unique(codes, return_inverse=True)
    members, starts = _representatives(group_of, len(unique))
    plain, flipped = range_search(unique, unique, radius), range_search(unique, mirror_codes, radius)
    rows = np.arange(len(codes))
    for near, queries, mirrored in ((plain, group_of, False), (flipped, rows, True)):
        first, place = _expand(rows, near.limits[queries], near.limits[queries + 1])
        for begin in range(0, len(first), BLOCK):
            hits = place[begin : begin + BLOCK]
            groups = near.groups[hits]
            which, member = _expand(np.arange(len(hits)), starts[groups], starts[groups + 1])
            own, other = first[begin : begin + BLOCK][which], members[member]
            bits = near.distances[hits][which]
            pairs = CopyPairs(own, other, bits, np.zeros(len(own), np.float32), np.full(len(own), mirrored))
            yield pairs.where(own != other)


def _representatives(group_of: Numbers, groups: int) -> tuple[Numbers, Numbers]:
    """The first rows of each group, REPRESENTATIVES at most: group g's are `members[starts[g] : starts[g + 1]]`."""
    order = np.argsort(group_of, kind="stable")
    sizes = np.bincount(group_of, minlength=groups)
    rank = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    starts = np.concatenate([[0], np.cumsum(np.minimum(sizes, REPRESENTATIVES))])
    return order[rank < REPRESENTATIVES], starts


def _expand(labels: Numbers, starts: Numbers, ends: Numbers) -> tuple[Numbers, Numbers]:
    """Each label once per number in its range `start..end`, and those numbers."""
    sizes = ends - starts
    offsets = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.repeat(labels, sizes), np.repeat(starts, sizes) + offsets


def _confirmed(pairs: CopyPairs, thumbnails: Thumbnails, contrasts: Floats32, tolerance: float) -> CopyPairs:
    gaps = [np.zeros(0, dtype=np.float32)]
    for begin in range(0, len(pairs), BLOCK):
        first, second = pairs.first[begin : begin + BLOCK], pairs.second[begin : begin + BLOCK]
        turned = thumbnails[first][:, :, ::-1] if pairs.mirrored[begin] else thumbnails[first]
        gaps.append(difference(turned, thumbnails[second], (contrasts[first], contrasts[second])))
    measured = CopyPairs(pairs.first, pairs.second, pairs.bits, np.concatenate(gaps), pairs.mirrored)
    return measured.where(measured.difference <= tolerance)


def _best_side(pairs: CopyPairs) -> CopyPairs:
    """Of a pair that was found plain and mirrored, as that of a symmetric picture, the closer of the two."""
    both = np.stack([pairs.first, pairs.second], axis=1)
    _, kept = np.unique(both, axis=0, return_index=True)
    return pairs.where(np.isin(np.arange(len(pairs)), kept))
