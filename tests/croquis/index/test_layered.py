"""An index with rows taken out and rows added answers as one that was built of what is left, in every kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from croquis.index.exact import best_first, normalise, similarity
from croquis.index.layered import LayeredIndex
from croquis.index.vector_index import VectorIndex, VectorIndexError
from tests.support.indexes import index_of

DIM, OLD, NEW = 16, 120, 25
LISTS = {"ivf_lists": 4, "ivf_probes": 4}
DENSE: dict[str, dict[str, Any]] = {
    "flat": {"metric": "cosine"},
    "flat-l2": {"metric": "l2"},
    "hnsw": {"metric": "cosine", "kind": "hnsw", "hnsw_ef_search": 2 * OLD},
}
CODED: dict[str, dict[str, Any]] = {
    "binary": {"metric": "hamming", "head": "binary"},
    "binary-asymmetric": {"metric": "hamming", "head": "binary", "binary_comparison": "asymmetric"},
    "binary-ivf": {"metric": "hamming", "head": "binary", "codes": "ivf", **LISTS},
    "pq": {"metric": "l2", "head": "pq"},
    "pq-ivf": {"metric": "l2", "head": "pq", "codes": "ivf", **LISTS},
}
CODEBOOKS = np.random.default_rng(5).normal(size=(4, 16, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """With twins, so that equal scores come up at many ranks, across what is old and what is new."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(30, DIM))
    return centres[rng.integers(0, 30, OLD + NEW)].astype(np.float32)


@pytest.fixture(scope="module")
def keys() -> np.ndarray:
    return np.random.default_rng(1).permutation(OLD + NEW).astype(np.uint64)


@pytest.fixture(scope="module")
def queries(vectors: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(2).normal(scale=0.3, size=(6, DIM))
    return (vectors[::25] + noise).astype(np.float32)


def built(settings: dict[str, Any], vectors: np.ndarray) -> VectorIndex:
    return index_of(vectors, codebooks=CODEBOOKS, **settings)


def layered(settings: dict[str, Any], vectors: np.ndarray, kept: np.ndarray) -> LayeredIndex:
    added = normalise(vectors[OLD:]) if settings["metric"] == "cosine" else vectors[OLD:]
    return LayeredIndex(built(settings, vectors[:OLD]), kept, added)


def left(vectors: np.ndarray, kept: np.ndarray) -> np.ndarray:
    return np.concatenate([vectors[:OLD][kept], vectors[OLD:]])


KEPT = [
    pytest.param(np.flatnonzero(np.arange(OLD) % 7 > 0), id="some removed"),
    pytest.param(np.arange(3, 8), id="most removed"),
    pytest.param(np.arange(OLD), id="none removed"),
    pytest.param(np.empty(0, dtype=np.int64), id="all removed"),
]


@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize("name", CODED)
def test_codes_are_found_as_if_they_had_been_built_in(
    name: str, kept: np.ndarray, vectors: np.ndarray, queries: np.ndarray, keys: np.ndarray
) -> None:
    index, oracle = layered(CODED[name], vectors, kept), built(CODED[name] | {"codes": "flat"}, left(vectors, kept))
    assert len(index) == len(oracle) == len(kept) + NEW
    tiebreak = keys[: len(index)]
    for k in (1, 10, len(index) + 3):
        for ours, theirs in zip(
            index.search(queries, k, tiebreak=tiebreak), oracle.search(queries, k, tiebreak=tiebreak), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(index.vectors(), oracle.vectors())


@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize("name", DENSE)
def test_floats_are_found_by_the_score_of_what_is_stored(
    name: str, kept: np.ndarray, vectors: np.ndarray, queries: np.ndarray, keys: np.ndarray
) -> None:
    settings = DENSE[name]
    prepared = normalise(vectors) if settings["metric"] == "cosine" else vectors
    index, stored = layered(settings, vectors, kept), left(prepared, kept)
    np.testing.assert_array_equal(index.vectors(), stored)
    asked = normalise(queries) if settings["metric"] == "cosine" else queries
    tiebreak = keys[: len(index)]
    for k in (1, 10):
        scores, rows = index.search(queries, k, tiebreak=tiebreak)
        for number, query in enumerate(asked):
            near = similarity(query, stored, settings["metric"])
            best = best_first(near, tiebreak, k)
            np.testing.assert_array_equal(rows[number], best)
            np.testing.assert_array_equal(scores[number], near[best])


@pytest.mark.parametrize("name", DENSE | CODED)
def test_a_filter_is_exact_over_old_and_new(
    name: str, vectors: np.ndarray, queries: np.ndarray, keys: np.ndarray
) -> None:
    kept = np.flatnonzero(np.arange(OLD) % 3 > 0)
    index = layered((DENSE | CODED)[name], vectors, kept)
    tiebreak = keys[: len(index)]
    _, everything = index.search(queries, len(index), tiebreak=tiebreak)
    whole, _ = index.search(queries, len(index), tiebreak=tiebreak)
    for share in (2, 9, 40):
        rows = np.random.default_rng(share).permutation(len(index))[: len(index) // share]
        for number, query in enumerate(queries):
            passing = np.isin(everything[number], rows)
            scores, found = index.search(query[None], 5, rows, tiebreak=tiebreak)
            count = min(5, len(rows))
            np.testing.assert_array_equal(found[0, :count], everything[number][passing][:5])
            np.testing.assert_array_equal(scores[0, :count], whole[number][passing][:5])
            assert (found[0, count:] == -1).all()
    assert (index.search(queries, 3, np.empty(0, dtype=np.int64))[1] == -1).all()


def test_nothing_may_be_left(vectors: np.ndarray, queries: np.ndarray) -> None:
    base = built(DENSE["flat"], vectors[:OLD])
    empty = LayeredIndex(base, np.empty(0, dtype=np.int64), np.empty((0, DIM), dtype=np.float32))
    scores, rows = empty.search(queries, 4)
    assert len(empty) == 0
    assert (rows == -1).all()
    assert np.isneginf(scores).all()
    with pytest.raises(VectorIndexError, match="added vectors must have the shape"):
        LayeredIndex(base, np.arange(OLD), np.zeros((1, DIM + 1), dtype=np.float32))
