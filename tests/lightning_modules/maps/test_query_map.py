"""The map of queries: against its formula, and that it finds the photo shown, which vectors as they are do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lightning_modules.maps.pair_map import reciprocal_rank
from lightning_modules.maps.query_map import QueryPairs, choose_query_map, regressions

DIM = 24


def made_up(items: int = 300, seed: int = 0) -> QueryPairs:
    """Photos of length 1; queries of them are mixed up, pale, noisy, and have a mean of their own."""
    rng = np.random.default_rng(seed)
    photos = rng.normal(size=(items, 8))
    photos /= np.linalg.norm(photos, axis=1, keepdims=True)
    mixed = photos @ np.random.default_rng(99).normal(size=(8, DIM))
    queries = 7.0 + 0.1 * mixed + 0.03 * rng.normal(size=(items, DIM))
    numbers = np.arange(items, dtype=np.int64)
    return QueryPairs(queries.astype(np.float32), photos.astype(np.float32), numbers, numbers)


def test_it_finds_the_photo_shown_where_vectors_as_they_are_find_nothing() -> None:
    train, val = made_up(), made_up(60, seed=1)
    found = choose_query_map(train, val, [0.001, 0.1])
    asked = found.linear.apply(val.queries) @ val.photos.T
    assert found.score == reciprocal_rank(asked, val) > 0.7
    assert reciprocal_rank(val.queries[:, :8] @ val.photos.T, val) < 0.2


def test_the_mean_of_the_queries_is_taken_off() -> None:
    train, val = made_up(), made_up(60, seed=1)
    paler = replace(train, queries=train.queries + np.linspace(-50, 50, DIM, dtype=np.float32))
    shifted = val.queries + np.linspace(-50, 50, DIM, dtype=np.float32)
    (first,), (second,) = regressions(train, [0.1]), regressions(paler, [0.1])
    np.testing.assert_allclose(first.apply(val.queries), second.apply(shifted), atol=1e-3)


@pytest.mark.parametrize("shrinkage", [0.01, 1.0])
def test_the_map_is_its_formula(shrinkage: float) -> None:
    train, val = made_up(), made_up(20, seed=1)
    (found,) = regressions(train, [shrinkage])
    x, y = (side - side.mean(axis=0) for side in (train.queries.astype(float), train.photos.astype(float)))
    covariance = x.T @ x / len(x)
    damped = covariance + shrinkage * np.trace(covariance) / DIM * np.eye(DIM)
    expected = (val.queries - train.queries.mean(axis=0)) @ np.linalg.solve(damped, x.T @ y / len(x))
    expected += train.photos.mean(axis=0)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found.apply(val.queries), expected, atol=1e-4)


@pytest.mark.parametrize("tried", [(30.0, 1e-6), (1e-6, 30.0)])
def test_val_chooses_the_shrinkage(tried: tuple[float, ...]) -> None:
    """Whatever stands first; with thirty times the mean variance every query becomes nearly the mean photo."""
    train, val = made_up(20), made_up(100, seed=1)
    maps = dict(zip(tried, regressions(train, tried), strict=True))
    scores = {each: reciprocal_rank(linear.apply(val.queries) @ val.photos.T, val) for each, linear in maps.items()}
    found = choose_query_map(train, val, tried)
    assert found.shrinkage == 1e-6
    assert found.score == scores[1e-6] > scores[30.0]


def test_one_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="needs two pairs and a shrinkage: 1"):
        choose_query_map(made_up(1), made_up(5), [0.1])
