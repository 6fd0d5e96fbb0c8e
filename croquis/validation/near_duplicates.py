"""Pictures that are copies of each other although their bytes differ: re-encoded, resized or mirrored.

Two steps. Perceptual hashes within a few bits of each other propose pairs. Thumbnails confirm them, for shop photos of
different things on white often share a hash.

Hashes near each other are found by sorting (Manku, Jain and Das Sarma, "Detecting Near-Duplicates for Web Crawling",
2007): of codes cut into p blocks, two that differ in at most r bits agree in p - r blocks at least, so that they lie
together when codes are sorted by some p - r of the blocks. More blocks take more sorts and leave fewer pairs to compare;
how many are best is estimated from a sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import numpy.typing as npt

from croquis.arrays import Floats32
from croquis.validation.fingerprints import BLOCK, Thumbnails, contrast, difference

Codes = npt.NDArray[np.uint64]  # (rows,)
Numbers = npt.NDArray[np.int64]

CODE_BITS = 64
BITS = np.arange(CODE_BITS, dtype=np.uint64)
MORE_BLOCKS = 6  # that are tried, beyond the radius
MOST_SORTS = 1000
SAMPLE = 20_000  # codes that the number of blocks is chosen by
SAMPLED_SORTS = 8
SORTING = 10.0  # time to sort one code, in comparisons of one pair
# Pictures of one hash that stand for all of them: more would make the search quadratic where thousands share a hash. A
# copy can only be missed when more than so many *different* pictures share its hash.
REPRESENTATIVES = 32


@dataclass(frozen=True)
class Neighbours:
    """Codes near each code, itself among them: those of code c are `codes[limits[c] : limits[c + 1]]`, in no order."""

    limits: Numbers
    codes: Numbers
    distances: Numbers

    def of(self, code: int) -> tuple[Numbers, Numbers]:
        """The codes near one code, and their Hamming distances, (n,) each."""
        span = slice(self.limits[code], self.limits[code + 1])
        return self.codes[span], self.distances[span]


@dataclass(frozen=True)
class Blocks:
    """Codes cut into blocks of bits, and the sets of blocks that they are sorted by.

    Attributes:
        masks: (blocks,) the bits of each.
        chosen: the blocks of each sort, ascending.
        compared: about how many pairs of codes agree in all blocks of a sort, over all sorts.
    """

    masks: Codes
    chosen: list[tuple[int, ...]]
    compared: float

    def mask(self, chosen: tuple[int, ...]) -> np.uint64:
        """All bits of some blocks."""
        return np.uint64(np.bitwise_or.reduce(self.masks[list(chosen)]))

    def first_found(self, differences: Codes, chosen: tuple[int, ...]) -> npt.NDArray[np.bool_]:
        """Whether no earlier sort brought pairs of these differing bits together, which agree in the `chosen` blocks."""
        fresh = np.ones(len(differences), dtype=np.bool_)
        for block in set(range(chosen[-1] if chosen else 0)) - set(chosen):
            fresh &= (differences & self.masks[block]) != 0
        return fresh


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
        """The pairs where `keep`, (pairs,), holds."""
        return self._map(lambda array: array[keep])

    def renumbered(self, numbers: Numbers) -> CopyPairs:
        """The same pairs with `numbers[row]` for each row."""
        return CopyPairs(numbers[self.first], numbers[self.second], self.bits, self.difference, self.mirrored).sorted()

    def sorted(self) -> CopyPairs:
        """The same pairs by `first`, then `difference`, then `second`."""
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


def neighbours(codes: Codes, radius: int) -> Neighbours:
    """Every code within Hamming distance `radius` of each code; exact, and about linear for small radii.

    Args:
        codes: (n,) distinct 64-bit codes.
        radius: bits, inclusive, at least 0.
    """
    blocks = choose_blocks(codes, radius)
    near = [found for chosen in blocks.chosen for found in _brought_together(codes, radius, blocks, chosen)]
    itself = np.arange(len(codes))
    none = np.zeros(len(codes), dtype=np.int64)
    first, second, bits = (np.concatenate(each) for each in zip((itself, itself, none), *near, strict=True))
    ends = np.concatenate([first, second[len(codes) :]])
    order = np.argsort(ends, kind="stable")
    limits = np.concatenate([[0], np.cumsum(np.bincount(ends, minlength=len(codes)))])
    others = np.concatenate([second, first[len(codes) :]])
    return Neighbours(limits, others[order], np.concatenate([bits, bits[len(codes) :]])[order])


def choose_blocks(codes: Codes, radius: int) -> Blocks:
    """The blocks whose sorts and comparisons take least time; bits are dealt out so that blocks separate equally many.

    Args:
        codes: (n,) distinct.
        radius: bits, inclusive.
    """
    sample = np.random.default_rng(0).permutation(codes)[:SAMPLE]
    ones = (sample[:, None] >> BITS & np.uint64(1)).sum(axis=0, dtype=np.int64)
    dealt = np.uint64(1) << BITS[np.argsort(np.abs(2 * ones - len(sample)), kind="stable")]
    pairs = (len(codes) / max(1, len(sample))) ** 2
    found: list[Blocks] = []
    for count in range(max(1, radius), max(2, radius + 1, min(CODE_BITS, radius + MORE_BLOCKS) + 1)):
        if comb(count, radius) > MOST_SORTS and found:
            break
        masks = np.array([np.bitwise_or.reduce(dealt[block::count]) for block in range(count)], dtype=np.uint64)
        blocks = Blocks(masks, list(combinations(range(count), max(0, count - radius))), 0.0)
        some = blocks.chosen[:: -(-len(blocks.chosen) // SAMPLED_SORTS)]
        together = sum(_pairs_in_runs(np.sort(sample & blocks.mask(chosen))) for chosen in some) / len(some)
        found.append(replace(blocks, compared=together * pairs * len(blocks.chosen)))
    return min(found, key=lambda each: SORTING * len(codes) * len(each.chosen) + each.compared)


def _pairs_in_runs(ordered: Codes) -> int:
    sizes = np.diff(_run_starts(ordered))
    return int((sizes * (sizes - 1) // 2).sum())


def _run_starts(ordered: Codes) -> Numbers:
    """Where runs of equal codes begin, and the end of the last: (runs + 1,)."""
    return np.concatenate([[0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1, [len(ordered)]])


def _brought_together(
    codes: Codes, radius: int, blocks: Blocks, chosen: tuple[int, ...]
) -> Iterator[tuple[Numbers, Numbers, Numbers]]:
    """Pairs of near codes that agree in the `chosen` blocks and came together by no earlier sort: both rows, and bits."""
    keys = codes & blocks.mask(chosen)
    order = np.argsort(keys)
    ordered, starts = codes[order], _run_starts(keys[order])
    left = np.repeat(starts[1:], np.diff(starts)) - np.arange(len(codes))  # codes from each to the end of its run
    place = np.arange(len(codes))
    own = ordered
    for step in range(1, len(codes)):
        still = left > step
        if not still.any():
            break
        place, own, left = place[still], own[still], left[still]
        differences = own ^ ordered[place + step]
        near = np.flatnonzero(np.bitwise_count(differences) <= radius)
        near = near[blocks.first_found(differences[near], chosen)]
        if len(near):
            bits = np.bitwise_count(differences[near]).astype(np.int64)
            yield order[place[near]], order[place[near] + step], bits


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
    unique, group_of = np.unique(np.concatenate([codes, mirror_codes]), return_inverse=True)
    own, flipped = group_of[: len(codes)], group_of[len(codes) :]
    members, starts = _representatives(own, len(unique))
    near = neighbours(unique, radius)
    rows = np.arange(len(codes))
    for queries, mirrored in ((own, False), (flipped, True)):
        first, place = _expand(rows, near.limits[queries], near.limits[queries + 1])
        for begin in range(0, len(first), BLOCK):
            hits = place[begin : begin + BLOCK]
            groups = near.codes[hits]
            which, member = _expand(np.arange(len(hits)), starts[groups], starts[groups + 1])
            one, other = first[begin : begin + BLOCK][which], members[member]
            bits = near.distances[hits][which]
            pairs = CopyPairs(one, other, bits, np.zeros(len(one), np.float32), np.full(len(one), mirrored))
            yield pairs.where(one != other)


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
