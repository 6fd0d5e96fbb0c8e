"""What holds for one kind of dense index only; what all of them promise is in test_every_kind.py."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest

from croquis.index.dense import FlatIndex, HnswIndex
from tests.support.indexes import DENSE, DIM, best_rows, clustered, index_of, scores_by_definition


def brute_force(queries: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosines, and the ten best rows."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = scores_by_definition(queries, vectors / lengths, metric="cosine", comparison=None)
    return scores, best_rows(scores, np.arange(len(vectors)))[:, :10]


def recall(rows: np.ndarray, right: np.ndarray) -> float:
    return float(np.mean([np.isin(found, best).mean() for found, best in zip(rows, right, strict=True)]))


def test_hnsw_finds_nearly_all_and_scores_them_exactly() -> None:
    vectors, queries = clustered(2000), clustered(50, seed=1)
    scores, rows = index_of(vectors, **DENSE["hnsw-cosine"]).search(queries, 10)
    every, best = brute_force(queries, vectors)
    assert recall(rows, best) > 0.98
    np.testing.assert_allclose(scores, np.take_along_axis(every, rows, axis=1), rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_longer_codes_find_more() -> None:
    vectors, queries = clustered(2000), clustered(50, seed=1)
    _, best = brute_force(queries, vectors)
    found = []
    for subspaces, bits in ((4, 4), (8, 4), (8, 8), (24, 8)):
        settings = DENSE["ivfpq-cosine"] | {"pq_subspaces": subspaces, "pq_bits": bits, "ivf_probes": 8}
        found.append(recall(index_of(vectors, **settings).search(queries, 10)[1], best))
    assert found == sorted(found)
    assert found[-1] > 0.9


@pytest.mark.parametrize("case", [name for name in DENSE if "ivfpq" not in name])
def test_a_subset_is_a_fresh_build(case: str, tmp_path: Path) -> None:
    vectors, chosen = clustered(400), np.random.default_rng(4).permutation(400)[:150]
    index_of(vectors, **DENSE[case]).subset(chosen).save(tmp_path / "subset")
    index_of(vectors[chosen], **DENSE[case]).save(tmp_path / "fresh")
    assert (tmp_path / "subset").read_bytes() == (tmp_path / "fresh").read_bytes()


def narrow_graph(vectors: np.ndarray) -> HnswIndex:
    index = index_of(vectors, **DENSE["hnsw-cosine"] | {"hnsw_links": 4, "hnsw_ef_search": 1})
    assert isinstance(index, HnswIndex)
    return index


@pytest.mark.slow
def test_a_longer_list_of_hnsw_begins_as_a_shorter_one() -> None:
    vectors, queries = clustered(3000, noise=1.0), clustered(60, seed=1, noise=1.0)
    index, (_, best) = narrow_graph(vectors), brute_force(queries, vectors)
    long = index.search(queries, 1000)
    assert 0.2 < recall(long[1][:, :10], best) < 0.97
    assert all(len(set(row)) == 1000 for row in long[1].tolist())
    for k in (1, 7, 10, 11, 50, 160, 161, 999):
        assert all(map(np.array_equal, index.search(queries, k), (part[:, :k] for part in long)))
    part = index.subset(np.arange(0, 3000, 7))
    whole = part.search(queries, 400)
    for k in (5, 40, 399):
        assert all(map(np.array_equal, part.search(queries, k), (part[:, :k] for part in whole)))


@pytest.mark.slow
def test_a_graph_takes_in_other_vectors_as_if_built_with_them() -> None:
    vectors, queries, random = clustered(800), clustered(20, seed=1), np.random.default_rng(3)
    index, places = narrow_graph(vectors), random.permutation(800)[:60]
    same = index.replaced(places, vectors[places] * 3)
    for one, two in zip(same.search(queries, 9), index.subset(places).search(queries, 9), strict=True):
        assert np.array_equal(one, two)
    fresh, places = clustered(60, seed=9), np.where(np.arange(60) % 3 == 0, -1, places)
    given = np.concatenate([vectors, fresh[::3]])
    given[places[places >= 0]] = fresh[places >= 0]
    rows = places.copy()
    rows[::3] = np.arange(800, 820)
    for one, two in zip(
        index.replaced(places, fresh).search(queries, 9),
        narrow_graph(given).subset(rows).search(queries, 9),
        strict=True,
    ):
        assert np.array_equal(one, two)
    assert len(index) == 800


def test_a_zero_vector_can_be_indexed_and_asked() -> None:
    vectors = np.concatenate([np.zeros((1, DIM), np.float32), clustered(20)])
    scores, _ = index_of(vectors, metric="cosine").search(vectors[:2], 3)
    assert np.isfinite(scores).all()


def test_hnsw_with_a_selector_is_why_filters_are_exact() -> None:
    """FAISS's own filtered graph search loses results; this one does not."""
    vectors, queries = clustered(4000, noise=1.0), clustered(40, seed=1, noise=1.0)
    index = index_of(vectors, **DENSE["hnsw-cosine"] | {"hnsw_links": 8, "hnsw_ef_search": 16})
    assert isinstance(index, HnswIndex)
    allowed = np.sort(np.random.default_rng(3).permutation(4000)[:36])
    right = allowed[brute_force(queries, vectors[allowed])[1]]
    assert np.array_equal(index.search(queries, 10, allowed)[1], right)
    asked = (queries / np.linalg.norm(queries, axis=1)[:, None]).astype(np.float32)
    options = faiss.SearchParametersHNSW(sel=faiss.IDSelectorBatch(allowed), efSearch=16)
    assert recall(index._index.search(asked, 10, params=options)[1], right) < 0.9


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("kind", ["flat", "hnsw"])
def test_a_search_among_rows_copies_no_vectors(kind: str, metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores, rows and ties are those of an index of these rows alone, also where ties fill more than FAISS proposes."""
    random = np.random.default_rng(0)
    vectors = random.standard_normal((400, 8)).astype(np.float32)
    vectors[::4] = vectors[0]
    keys, queries = random.permutation(400).astype(np.uint64), vectors[[0, 1]]
    index = index_of(vectors, **(DENSE[f"{kind}-cosine"] | {"metric": metric}))
    for rows in (random.permutation(400)[:300], np.arange(0, 400, 4), np.arange(7), np.arange(0)):
        alone = FlatIndex.of_stored(index.vectors(rows), metric)
        scores, places = alone.search(queries, 20, tiebreak=keys[rows])
        with monkeypatch.context() as patched:
            patched.setattr(type(index), "vectors", lambda *_: pytest.fail("copied"))
            found = index.search(queries, 20, rows, tiebreak=keys)
        assert np.array_equal(found[0], scores)
        assert np.array_equal(found[1], np.where(places >= 0, np.append(rows, -1)[places], -1))
