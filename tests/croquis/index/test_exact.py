"""The search by one product gives what scoring every vector on its own gives, to the bit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from croquis.arrays import Keys, Rows, Scores, Vectors
from croquis.index.dense import FlatIndex
from croquis.index.exact import (
    FEWEST_QUERIES,
    GALLERY_PER_RESULT,
    best_first,
    is_faster,
    normalise,
    search_exact,
    search_matrix,
    similarity,
)

Random = np.random.Generator
DIM = 24


def spread(random: Random, rows: int) -> Vectors:
    return random.normal(size=(rows, DIM)).astype(np.float32)


def duplicated(random: Random, rows: int) -> Vectors:
    """A few vectors, each many times."""
    return spread(random, 7)[random.integers(0, 7, rows)]


def nearly_tied(random: Random, rows: int) -> Vectors:
    """Vectors that differ in the last bits of one number only."""
    vectors = np.tile(spread(random, 1), (rows, 1))
    vectors[:, 3] += random.integers(-4, 5, rows) * np.spacing(vectors[:, 3])
    return vectors


def on_a_grid(random: Random, rows: int) -> Vectors:
    """Equal distances of unequal vectors."""
    return random.integers(-2, 3, size=(rows, DIM)).astype(np.float32)


def of_all_lengths(random: Random, rows: int) -> Vectors:
    return np.asarray(spread(random, rows) * 10 ** random.uniform(-6, 6, (rows, 1)), dtype=np.float32)


def sorted_by_class(random: Random, rows: int) -> Vectors:
    """Neighbours lie side by side, so that a sample of the rows says little."""
    return np.repeat(spread(random, -(-rows // 50)) * 4, 50, axis=0)[:rows] + spread(random, rows) / 50


def far_from_the_origin(random: Random, rows: int) -> Vectors:
    """Large numbers that differ by little: the product loses most of its digits."""
    return np.float32(1000) + spread(random, rows) / 100


def with_zeros(random: Random, rows: int) -> Vectors:
    return spread(random, rows) * (random.random((rows, 1)) < 0.5)


def with_one_giant(random: Random, rows: int) -> Vectors:
    vectors = spread(random, rows)
    vectors[rows // 2] *= 1e9
    return vectors


KINDS = (
    spread, duplicated, nearly_tied, on_a_grid, of_all_lengths, sorted_by_class, far_from_the_origin, with_zeros,
    with_one_giant,
)  # fmt: skip


def one_by_one(queries: Vectors, vectors: Vectors, k: int, keys: Keys, metric: str) -> tuple[Scores, Rows]:
    scores = [similarity(query, vectors, metric) for query in queries]
    rows = [best_first(near, keys, k) for near in scores]
    return np.stack([near[best] for near, best in zip(scores, rows, strict=True)]), np.stack(rows)


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("make", KINDS)
def test_scores_and_order_are_those_of_every_vector_alone(make: Callable[[Random, int], Vectors], metric: str) -> None:
    random = np.random.default_rng(5)
    for rows, k in ((3, 3), (400, 7), (900, 250), (900, 900)):
        vectors, keys = make(random, rows), random.permutation(rows).astype(np.uint64) << np.uint64(40)
        queries = np.concatenate([make(random, 9), vectors[random.integers(0, rows, 9)]])
        if metric == "cosine":
            vectors, queries = normalise(vectors), normalise(queries)
        found = search_matrix(queries, vectors, k, keys, metric)
        for ours, right in zip(found, one_by_one(queries, vectors, k, keys, metric), strict=True):
            assert np.array_equal(ours, right)
        assert found[0].dtype == np.float32
        assert found[1].dtype == np.int64


def test_lists_longer_than_the_gallery_end_early() -> None:
    random = np.random.default_rng(6)
    queries, vectors, keys = spread(random, 2), spread(random, 5), np.arange(5, dtype=np.uint64)
    for ours, right in zip(
        search_matrix(queries, vectors, 8, keys, "l2"), search_exact(queries, vectors, 8, keys, "l2"), strict=True
    ):
        assert np.array_equal(ours, right)


def test_an_index_answers_many_queries_as_it_answers_one() -> None:
    random, k = np.random.default_rng(7), 20
    vectors, queries = duplicated(random, 600), spread(random, FEWEST_QUERIES)
    keys, index = random.permutation(600).astype(np.uint64), FlatIndex.build(vectors, "cosine")
    assert is_faster(queries, len(vectors), k)
    assert not is_faster(queries[:1], len(vectors), k)
    assert not is_faster(queries, GALLERY_PER_RESULT * k + 1, k)
    for rows in (None, np.arange(0, 600, 2)):
        together = index.search(queries, k, rows, tiebreak=keys)
        for number, query in enumerate(queries):
            alone = index.search(query[None], k, rows, tiebreak=keys)
            assert all(np.array_equal(ours[number], one[0]) for ours, one in zip(together, alone, strict=True))
