"""Pictures that look alike although they should not: near copies under different items or in different splits.

Equal hashes are searched once. A multi-index hash table finds every pair within the radius, by the pigeonhole
principle: two 64-bit codes that differ in at most r bits differ in at most r // 4 bits in one of their four 16-bit
quarters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import faiss
import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.uint64]  # (rows,)
Numbers = npt.NDArray[np.int64]

QUARTERS = 4
CODE_BITS = 64


@dataclass(frozen=True)
class Neighbours:
    """Who is near whom: query q's neighbours are `groups[limits[q] : limits[q + 1]]`, nearest first."""

    limits: Numbers
    groups: Numbers
    distances: Numbers

    def of(self, query: int) -> tuple[Numbers, Numbers]:
        span = slice(self.limits[query], self.limits[query + 1])
        return self.groups[span], self.distances[span]


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


def unlike_twins(codes: Codes, mirrored: Codes, labels: Sequence[str], radius: int) -> tuple[Numbers, Numbers]:
    """For each row the nearest row that looks alike, mirrored or not, and bears another label.

    Args:
        codes, mirrored: (n,) perceptual hashes of the pictures and of their mirror images.
        labels: n labels, e.g. item ids or splits.
        radius: bits, inclusive.

    Returns:
        twins (n,) row numbers, -1 where there is none; distances (n,) bits, -1 likewise.
    """
    twins, distances = np.full(len(codes), -1), np.full(len(codes), -1)
    if not len(codes):
        return twins, distances
    unique, group_of = np.unique(codes, return_inverse=True)
    representatives = _two_labels_each(group_of, labels, len(unique))
    plain = range_search(unique, unique, radius)
    flipped = range_search(unique, mirrored, radius)
    for row, group in enumerate(group_of):
        for near, bits in (plain.of(int(group)), flipped.of(row)):
            twin, distance = _first_unlike(near, bits, representatives, labels, labels[row])
            if twin >= 0 and (twins[row] < 0 or distance < distances[row]):
                twins[row], distances[row] = twin, distance
    return twins, distances


def _two_labels_each(group_of: Numbers, labels: Sequence[str], groups: int) -> list[list[int]]:
    """Per group its first row and its first row of a second label: one of the two always differs from a given label."""
    found: list[list[int]] = [[] for _ in range(groups)]
    for row, group in enumerate(group_of):
        held = found[group]
        if not held or (len(held) == 1 and labels[held[0]] != labels[row]):
            held.append(row)
    return found


def _first_unlike(
    near: Numbers, bits: Numbers, representatives: list[list[int]], labels: Sequence[str], label: str
) -> tuple[int, int]:
    for group, distance in zip(near, bits, strict=True):
        for row in representatives[group]:
            if labels[row] != label:
                return row, int(distance)
    return -1, -1
