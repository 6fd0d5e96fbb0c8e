"""The near-duplicate search against an exhaustive comparison."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt
import pytest

from validation.near_duplicates import range_search, unlike_twins

Codes = npt.NDArray[np.uint64]


def planted_codes(count: int, seed: int = 0) -> Codes:
    """Random codes, a third of them copies of others with a few bits turned."""
    chance = np.random.default_rng(seed)
    codes = chance.integers(0, 2**64, count, dtype=np.uint64)
    for row in range(0, count, 3):
        flipped = chance.choice(64, size=int(chance.integers(0, 12)), replace=False)
        mask = sum(1 << int(bit) for bit in flipped)
        codes[row] = codes[int(chance.integers(count))] ^ np.uint64(mask)
    return codes


def distances(first: Codes, second: Codes) -> npt.NDArray[np.int64]:
    return np.bitwise_count(first[:, None] ^ second[None, :]).astype(np.int64)


@pytest.mark.parametrize("radius", [0, 1, 2, 3, 4, 7, 8, 11, 16])
def test_every_pair_within_the_radius_is_found(radius: int) -> None:
    codes = np.unique(planted_codes(240))
    queries = planted_codes(60, seed=1)
    queries[:20] = codes[:20]
    exact = distances(queries, codes)
    found = range_search(codes, queries, radius)
    for query in range(len(queries)):
        groups, bits = found.of(query)
        assert sorted(groups) == np.flatnonzero(exact[query] <= radius).tolist()
        assert bits.tolist() == sorted(bits)
        assert bits.tolist() == exact[query, groups].tolist()


@pytest.mark.parametrize("radius", [0, 2, 6])
def test_twins_against_all_pairs(radius: int) -> None:
    codes, mirrored = planted_codes(300), planted_codes(300, seed=2)
    mirrored[:50] = codes[50:100]
    codes[100:140] = codes[0]
    labels = [str(label) for label in np.random.default_rng(3).integers(0, 40, 300)]
    both = np.minimum(distances(codes, codes), distances(mirrored, codes))
    both[np.array(labels)[:, None] == np.array(labels)[None, :]] = 99
    twins, bits = unlike_twins(codes, mirrored, labels, radius)
    nearest = both.min(axis=1)
    assert ((twins >= 0) == (nearest <= radius)).all()
    assert (bits[twins >= 0] == nearest[twins >= 0]).all()
    assert all(labels[row] != labels[twin] for row, twin in enumerate(twins) if twin >= 0)
    assert (both[np.flatnonzero(twins >= 0), twins[twins >= 0]] == nearest[twins >= 0]).all()


def test_no_rows_and_one_label() -> None:
    empty = np.zeros(0, dtype=np.uint64)
    assert unlike_twins(empty, empty, [], 2)[0].tolist() == []
    same = np.zeros(50, dtype=np.uint64)
    assert set(unlike_twins(same, same, ["one"] * 50, 2)[0]) == {-1}


def test_time_does_not_grow_with_the_square() -> None:
    """40,000 codes, a quarter of them equal, take seconds where all pairs would be 1.6 billion."""
    codes = planted_codes(40_000)
    codes[:10_000] = codes[0]
    start = time.perf_counter()
    twins, _ = unlike_twins(codes, codes, [str(row) for row in range(len(codes))], 2)
    assert time.perf_counter() - start < 15
    assert (twins[:10_000] >= 0).all()
