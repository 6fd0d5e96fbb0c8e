"""LSH, ITQ, PQ and OPQ: what their definitions promise, on features with structure."""

from __future__ import annotations

from itertools import pairwise

import faiss
import numpy as np
import pytest

from benchmarks.codes.baselines import BASELINES, BaselineError, fit_baseline, split_bits
from croquis.index.code_index import CodeIndex
from lightning_modules.bases.hash_module import iterative_quantisation

DIM = 24


def features(count: int, seed: int = 0, dim: int = DIM) -> np.ndarray:
    """Clusters in correlated directions, all away from zero, as pooled features of a net are."""
    fixed = np.random.default_rng(99)
    mixing, centres = fixed.standard_normal((dim, dim)), fixed.standard_normal((12, dim))
    random = np.random.default_rng(seed)
    plain = centres[random.integers(0, 12, count)] + 0.5 * random.standard_normal((count, dim))
    return (plain @ mixing + 20).astype(np.float32)


def error(index: CodeIndex, vectors: np.ndarray) -> float:
    return float(((index.vectors() - vectors) ** 2).sum(axis=1).mean())


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_a_baseline_searches_codes_of_its_bits(name: str, bits: int) -> None:
    train, database, asked = features(600), features(400, 1), features(30, 2)
    baseline = fit_baseline(name, train, bits, seed=0)
    index = baseline.build(database)
    queries = baseline.queries(asked)
    assert (len(index), index.nbytes) == (400, -(-bits // 8))
    assert index.kind == ("binary_flat" if name in ("lsh", "itq") else "pq_flat")
    assert queries.shape == (30, index.dim)
    assert queries.dtype == np.float32
    nearest = ((asked[:, None].astype(float) - database[None]) ** 2).sum(axis=2).argsort(axis=1)[:, :40]
    for comparison in ("symmetric", "asymmetric"):
        _, rows = index.compared(comparison).search(queries, 40)
        recall = np.mean([np.isin(found, right).mean() for found, right in zip(rows, nearest, strict=True)])
        assert recall > 2 * 40 / 400  # at least twice what chance finds


@pytest.mark.parametrize("name", BASELINES)
def test_the_seed_decides_and_nothing_else(name: str) -> None:
    train, asked = features(400), features(9, 1)
    one, same, other = (fit_baseline(name, train, 8, seed) for seed in (3, 3, 4))
    assert np.array_equal(one.queries(asked), same.queries(asked))
    assert np.array_equal(one.build(train).codes(), same.build(train).codes())
    assert not np.array_equal(one.build(train).codes(), other.build(train).codes())


def loop_itq(projected: np.ndarray, rotation: np.ndarray, steps: int) -> tuple[np.ndarray, list[float]]:
    """Alternating minimisation of ||B - V R||, bit by bit and by the polar factor instead of an SVD of V'B."""
    losses = []
    for _ in range(steps):
        turned = projected @ rotation
        signs = np.array([[1.0 if value > 0 else -1.0 for value in row] for row in turned])
        losses.append(float(((signs - turned) ** 2).sum()))
        product = projected.T @ signs
        values, vectors = np.linalg.eigh(product.T @ product)
        rotation = product @ vectors @ np.diag(values**-0.5) @ vectors.T  # U V' of product = U S V'
    return rotation, losses


def test_itq_is_the_explicit_alternation_and_lowers_its_error_at_every_step() -> None:
    vectors = features(300).astype(float)
    centred = vectors - vectors.mean(axis=0)
    projected = centred @ np.linalg.eigh(centred.T @ centred)[1][:, -8:]
    start = iterative_quantisation(projected, seed=5, iterations=0)
    np.testing.assert_allclose(start @ start.T, np.eye(8), atol=1e-9)
    expected, losses = loop_itq(projected, start, steps=12)
    np.testing.assert_allclose(iterative_quantisation(projected, seed=5, iterations=12), expected, atol=1e-6)
    assert all(after <= before + 1e-9 for before, after in pairwise(losses))
    assert losses[-1] < losses[0]


def test_itq_codes_are_the_signs_of_the_rotated_principal_components() -> None:
    train, asked = features(300), features(20, 1)
    baseline = fit_baseline("itq", train, 8, seed=5)
    centred = train - train.mean(axis=0, dtype=float)
    principal = np.linalg.svd(centred, full_matrices=False)[2][:8].T
    # The projection lies in the span of the first components and is a rotation within it.
    np.testing.assert_allclose(principal @ principal.T @ baseline.projection, baseline.projection, atol=1e-5)
    np.testing.assert_allclose(baseline.projection.T @ baseline.projection, np.eye(8), atol=1e-9)
    expected = (asked - train.mean(axis=0, dtype=float)) @ baseline.projection
    assert np.array_equal(baseline.build(asked).vectors(), np.where(expected > 0, 1.0, -1.0))


def test_pq_is_the_product_quantiser_of_faiss() -> None:
    train, database, asked = features(600), features(300, 1), features(10, 2)
    baseline = fit_baseline("pq", train, 16, seed=1)
    quantiser = faiss.IndexPQ(DIM, 2, 8)
    quantiser.pq.cp.seed, quantiser.do_polysemous_training = 1, False
    quantiser.train(train)
    quantiser.add(database)
    assert np.array_equal(faiss.vector_to_array(quantiser.codes).reshape(300, 2), baseline.build(database).codes())
    scores, _ = baseline.build(database).search(baseline.queries(asked), 20)
    np.testing.assert_allclose(-scores, quantiser.search(asked, 20)[0], rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [12, 16])
def test_opq_codes_lose_less_than_pq_codes_and_it_only_rotates(bits: int) -> None:
    train, fresh = features(1000), features(500, 1)
    pq, opq = (fit_baseline(name, train, bits, seed=0) for name in ("pq", "opq"))
    for vectors in (train, fresh):
        assert error(opq.build(vectors), opq.queries(vectors)) < error(pq.build(vectors), pq.queries(vectors))
    np.testing.assert_allclose(opq.projection @ opq.projection.T, np.eye(DIM), atol=1e-4)


def test_features_that_do_not_divide_are_widened_by_zeros() -> None:
    train = features(300)
    baseline = fit_baseline("pq", train, 20, seed=0)  # 5 parts of 4 bits, 24 numbers
    queries = baseline.queries(train)
    assert queries.shape == (300, 25)
    assert np.array_equal(queries[:, :DIM], train)
    assert not queries[:, DIM:].any()


def test_lsh_looks_from_the_mean() -> None:
    """Features far from zero would else share nearly all of their bits."""
    codes = fit_baseline("lsh", features(500), 16, seed=0).build(features(500)).vectors()
    assert np.abs(codes.mean(axis=0)).max() < 0.9


def test_bits_are_spent_on_bytes_where_they_fit() -> None:
    assert [split_bits(bits) for bits in (12, 16, 24, 48, 64)] == [(3, 4), (2, 8), (3, 8), (6, 8), (8, 8)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("sgh", features(50), 8, 0), "there is no baseline 'sgh'; known: lsh, itq, pq, opq"),
        (("itq", features(50), 32, 0), "itq needs at least as many numbers per feature as bits: 32 bits, 24"),
        (("pq", features(50), 10, 0), "a multiple of 4 bits, not 10"),
        (("opq", features(50), 8, 0), "50 features cannot train 256 codewords"),
    ],
)
def test_what_cannot_be_fitted_is_named(arguments: tuple, words: str) -> None:
    with pytest.raises(BaselineError, match=words):
        fit_baseline(*arguments)
