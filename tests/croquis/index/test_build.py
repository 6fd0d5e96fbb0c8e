"""Every kind of index against a brute-force search in NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

from croquis.index.build import build_index, load_index
from croquis.index.dense import HnswIndex
from croquis.index.ranking import label_blind_keys
from croquis.index.vector_index import VectorIndex, VectorIndexError, faiss_threads
from tests.support.indexes import index_of

DIM = 16
SETTINGS = {"hnsw_links": 16, "hnsw_ef_search": 64, "ivf_lists": 8, "ivf_probes": 4, "pq_subspaces": 4, "pq_bits": 4}
KINDS = ["flat", "hnsw", "ivfpq"]
METRICS = ["cosine", "l2"]


def clustered(count: int, seed: int = 0, noise: float = 0.35) -> np.ndarray:
    """Points around 20 centres: neighbours mean something, unlike those of plain random vectors."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((20, DIM))
    return (centres[random.integers(0, 20, count)] + noise * random.standard_normal((count, DIM))).astype(np.float32)


def build(vectors: np.ndarray, kind: str, metric: str = "cosine", **changes: Any) -> VectorIndex:
    return index_of(vectors, metric=metric, kind=kind, **{**SETTINGS, **changes})


def brute_force(queries: np.ndarray, vectors: np.ndarray, metric: str) -> np.ndarray:
    """All scores, (Q, n), in float64."""
    queries, vectors = queries.astype(np.float64), vectors.astype(np.float64)
    if metric == "l2":
        return -np.array([[((q - v) ** 2).sum() for v in vectors] for q in queries])
    return (queries / np.linalg.norm(queries, axis=1)[:, None]) @ (vectors / np.linalg.norm(vectors, axis=1)[:, None]).T


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("k", [1, 10, 300])
def test_flat_is_the_brute_force_search(metric: str, k: int) -> None:
    vectors, queries = clustered(300), clustered(23, seed=1)
    scores, rows = build(vectors, "flat", metric).search(queries, k)
    expected = brute_force(queries, vectors, metric)
    assert np.array_equal(rows, np.argsort(-expected, axis=1)[:, :k])
    np.testing.assert_allclose(scores, -np.sort(-expected, axis=1)[:, :k], rtol=1e-6, atol=1e-6)
    assert (scores.dtype, rows.dtype) == (np.float32, np.int64)


@pytest.mark.parametrize("metric", METRICS)
def test_hnsw_finds_nearly_all_and_scores_them_exactly(metric: str) -> None:
    vectors, queries = clustered(2000), clustered(50, seed=1)
    scores, rows = build(vectors, "hnsw", metric).search(queries, 10)
    expected = brute_force(queries, vectors, metric)
    best = np.argsort(-expected, axis=1)[:, :10]
    assert np.mean([np.isin(found, right).mean() for found, right in zip(rows, best, strict=True)]) > 0.98
    np.testing.assert_allclose(scores, np.take_along_axis(expected, rows, axis=1), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_ivfpq_scores_the_decoded_vectors(metric: str) -> None:
    vectors, queries = clustered(2000), clustered(50, seed=1)
    index = build(vectors, "ivfpq", metric, ivf_probes=8)
    decoded = index.vectors().astype(np.float64)
    unit = queries / np.linalg.norm(queries, axis=1)[:, None] if metric == "cosine" else queries
    squared = ((unit[:, None].astype(np.float64) - decoded[None]) ** 2).sum(axis=2)
    expected = -squared if metric == "l2" else 1 - squared / 2
    scores, rows = index.search(queries, 10)
    np.testing.assert_allclose(scores, -np.sort(-expected, axis=1)[:, :10], atol=1e-5)
    np.testing.assert_allclose(scores, np.take_along_axis(expected, rows, axis=1), atol=1e-5)


def test_longer_codes_find_more() -> None:
    vectors, queries = clustered(2000), clustered(50, seed=1)
    best = np.argsort(-brute_force(queries, vectors, "cosine"), axis=1)[:, :10]
    recall = []
    for subspaces, bits in ((4, 4), (8, 4), (8, 8), (16, 8)):
        index = build(vectors, "ivfpq", pq_subspaces=subspaces, pq_bits=bits, ivf_probes=8)
        _, rows = index.search(queries, 10)
        recall.append(np.mean([np.isin(found, right).mean() for found, right in zip(rows, best, strict=True)]))
    assert recall == sorted(recall)
    assert recall[-1] > 0.9


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.002, 0.009, 0.05, 0.5, 1.0])
def test_filtered_search_is_exact_at_every_selectivity(kind: str, metric: str, share: float) -> None:
    vectors, queries = clustered(1500), clustered(12, seed=1)
    index = build(vectors, kind, metric)
    allowed = np.random.default_rng(3).permutation(1500)[: max(1, round(share * 1500))]
    scores, rows = index.search(queries, 10, allowed)
    stored = index.vectors()[allowed]
    unit = queries / np.linalg.norm(queries, axis=1)[:, None] if metric == "cosine" else queries
    squared = ((unit[:, None].astype(np.float64) - stored[None]) ** 2).sum(axis=2)
    found = min(10, len(allowed))
    # Compared by score: decoded vectors may coincide, so that several rows are equally right.
    best = np.sort(squared, axis=1)[:, :found]
    np.testing.assert_allclose(scores[:, :found], -best if metric == "l2" else 1 - best / 2, atol=1e-5)
    assert np.isin(rows[:, :found], allowed).all()
    assert all(len(set(line)) == found for line in rows[:, :found].tolist())
    assert (rows[:, found:] == -1).all()
    assert np.isneginf(scores[:, found:]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_lists_longer_than_the_index_are_padded(kind: str) -> None:
    index = build(clustered(20), kind, ivf_lists=2, ivf_probes=2)
    scores, rows = index.search(clustered(3, seed=1), 25)
    assert sorted(rows[0, :20].tolist()) == list(range(20))
    assert (rows[:, 20:] == -1).all()
    assert np.isneginf(scores[:, 20:]).all()
    _, none = index.search(clustered(3, seed=1), 4, np.empty(0, dtype=np.int64))
    assert (none == -1).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["flat", "hnsw"])
def test_a_subset_is_a_fresh_build(kind: str, metric: str, tmp_path: Path) -> None:
    vectors = clustered(400)
    chosen = np.random.default_rng(4).permutation(400)[:150]
    build(vectors, kind, metric).subset(chosen).save(tmp_path / "subset")
    build(vectors[chosen], kind, metric).save(tmp_path / "fresh")
    assert (tmp_path / "subset").read_bytes() == (tmp_path / "fresh").read_bytes()


def test_a_subset_of_codes_keeps_codes_and_quantisers() -> None:
    whole = build(clustered(1000), "ivfpq", ivf_probes=8)
    chosen = np.random.default_rng(4).permutation(1000)[:150]
    subset = whole.subset(chosen)
    assert (subset.kind, len(subset), subset.parameters) == ("ivfpq", 150, whole.parameters)
    assert np.array_equal(subset.vectors(), whole.vectors(chosen))
    queries = clustered(9, seed=1)
    # All lists are visited, so that searching the subset is searching the whole among the chosen rows.
    among, rows_among = whole.search(queries, 20, chosen)
    within, rows_within = subset.search(queries, 20, tiebreak=np.arange(150, dtype=np.uint64))
    np.testing.assert_array_equal(among, within)
    assert np.array_equal(
        np.sort(subset.vectors(rows_within[0]), axis=0), np.sort(whole.vectors(rows_among[0]), axis=0)
    )
    assert np.array_equal(subset.subset(np.arange(5)).vectors(), whole.vectors(chosen[:5]))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded_is_the_same(kind: str, metric: str, tmp_path: Path) -> None:
    index, queries = build(clustered(600), kind, metric), clustered(9, seed=1)
    index.save(tmp_path / "index.faiss")
    loaded = load_index(tmp_path / "index.faiss", metric=metric)
    assert (loaded.kind, len(loaded), loaded.dim, loaded.nbytes) == (kind, 600, DIM, index.nbytes)
    assert loaded.parameters == index.parameters
    for one, other in zip(index.search(queries, 10), loaded.search(queries, 10), strict=True):
        assert np.array_equal(one, other)
    assert np.array_equal(index.vectors(), loaded.vectors())


@pytest.mark.parametrize("kind", KINDS)
def test_equal_builds_give_equal_files(kind: str, tmp_path: Path) -> None:
    with faiss_threads(2):
        build(clustered(600), kind).save(tmp_path / "one")
    build(clustered(600), kind).save(tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_per_vector_are_those_of_the_file(kind: str, tmp_path: Path) -> None:
    sizes = {}
    for count in (1000, 3000):
        index = build(clustered(count), kind)
        index.save(tmp_path / "index")
        sizes[count] = (tmp_path / "index").stat().st_size
    assert (sizes[3000] - sizes[1000]) / 2000 == pytest.approx(index.nbytes, abs=1)


def ties(count: int, seed: int = 2) -> tuple[np.ndarray, list[str]]:
    """Ids and vectors of which many coincide: 7 distinct points, each held by dozens of images."""
    points = clustered(7, seed=5)
    return points[np.random.default_rng(seed).integers(0, 7, count)], [f"image-{number}" for number in range(count)]


@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("k", [1, 5, 60, 400])
def test_ties_do_not_depend_on_the_order_of_the_rows(metric: str, k: int, filtered: bool) -> None:
    vectors, ids = ties(400)
    queries = np.concatenate([clustered(30, seed=1), vectors[:3]])
    rankings = []
    for seed in (0, 1):
        order = np.random.default_rng(seed).permutation(400)
        names = [ids[place] for place in order]
        rows = np.flatnonzero([int(name.split("-")[1]) % 3 > 0 for name in names]) if filtered else None
        index = build(vectors[order], "flat", metric)
        scores, found = index.search(queries, k, rows, tiebreak=label_blind_keys(names))
        ranked = [[names[row] if row >= 0 else None for row in line] for line in found]
        rankings.append((ranked, scores.tolist()))
    assert rankings[0] == rankings[1]


def test_ties_follow_the_key() -> None:
    vectors = np.ones((50, DIM), dtype=np.float32)
    keys = np.random.default_rng(0).permutation(50).astype(np.uint64) + np.uint64(2**63)
    index = build(vectors, "flat")
    assert index.search(vectors[:1], 5, tiebreak=keys)[1][0].tolist() == np.argsort(keys)[:5].tolist()
    assert index.search(vectors[:1], 5)[1][0].tolist() == [0, 1, 2, 3, 4]


def test_scores_do_not_depend_on_the_number_of_queries() -> None:
    vectors, queries = clustered(500), clustered(40, seed=1)
    index = build(vectors, "flat")
    together = index.search(queries, 10)
    for number in range(40):
        alone = index.search(queries[number : number + 1], 10)
        assert np.array_equal(alone[0][0], together[0][number])
        assert np.array_equal(alone[1][0], together[1][number])


def test_a_zero_vector_can_be_indexed_and_asked() -> None:
    vectors = np.concatenate([np.zeros((1, DIM), np.float32), clustered(20)])
    scores, _ = build(vectors, "flat").search(vectors[:2], 3)
    assert np.isfinite(scores).all()


def test_search_leaves_the_number_of_threads_alone() -> None:
    with faiss_threads(2):
        index = build(clustered(300), "hnsw")
        index.search(clustered(2), 3)
        index.subset(np.arange(30))
        assert faiss.omp_get_max_threads() == 2


def test_hnsw_with_a_selector_is_why_filters_are_exact() -> None:
    """FAISS's own filtered graph search loses results; this one does not."""
    vectors, queries = clustered(4000, noise=1.0), clustered(40, seed=1, noise=1.0)
    index = build(vectors, "hnsw", hnsw_links=8, hnsw_ef_search=16)
    assert isinstance(index, HnswIndex)
    allowed = np.sort(np.random.default_rng(3).permutation(4000)[:36])
    right = allowed[np.argsort(-brute_force(queries, vectors[allowed], "cosine"), axis=1)[:, :10]]
    assert np.array_equal(index.search(queries, 10, allowed)[1], right)
    unit = (queries / np.linalg.norm(queries, axis=1)[:, None]).astype(np.float32)
    options = faiss.SearchParametersHNSW(sel=faiss.IDSelectorBatch(allowed), efSearch=16)
    _, approximate = index._index.search(unit, 10, params=options)
    assert np.mean([np.isin(a, b).mean() for a, b in zip(right, approximate, strict=True)]) < 0.9


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((np.zeros((2, DIM + 1), np.float32), 3), r"queries must have the shape \(n, 16\), not \(2, 17\)"),
        ((np.zeros(DIM, np.float32), 3), r"not \(16,\)"),
        ((np.full((2, DIM), np.nan, np.float32), 3), "NaN or an infinity, first in row 0"),
        ((np.zeros((2, DIM), np.float32), 0), "k = 0, must be at least 1"),
        ((np.zeros((2, DIM), np.float32), 3, np.array([0, 300])), "rows go from 0 to 300, the index has 0 to 299"),
        ((np.zeros((2, DIM), np.float32), 3, np.array([-1])), "rows go from -1"),
        ((np.zeros((2, DIM), np.float32), 3, np.array([4, 4])), "2 rows hold only 1 different"),
        ((np.zeros((2, DIM), np.float32), 3, np.array([0.5])), "whole numbers"),
    ],
)
def test_wrong_questions_are_named(kind: str, arguments: Any, words: str) -> None:
    with pytest.raises(VectorIndexError, match=words):
        build(clustered(300), kind).search(*arguments)


def test_wrong_tiebreak_is_named() -> None:
    with pytest.raises(VectorIndexError, match=r"tiebreak has the shape \(3,\), the index has 300 rows"):
        build(clustered(300), "flat").search(clustered(1), 3, tiebreak=np.zeros(3, np.uint64))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "lsh"}, "kind = 'lsh', must be one of"),
        ({"metric": "dot"}, "metric = 'dot', must be one of"),
        ({"head": "ternary"}, "head = 'ternary', must be one of"),
        ({"kind": "ivfpq", "pq_subspaces": 5}, "pq_subspaces = 5 must divide the 16 numbers"),
        ({"kind": "ivfpq", "pq_bits": 8}, "100 vectors cannot train .* at least 256 are needed"),
        ({"kind": "ivfpq", "ivf_lists": 128}, "at least 128 are needed"),
        ({"kind": "ivfpq", "pq_bits": 5}, "pq_bits = 5"),
        ({"kind": "ivfpq", "ivf_probes": 9}, r"ivf_probes = 9, must not exceed ivf_lists \(8\)"),
    ],
)
def test_settings_that_do_not_fit_are_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(VectorIndexError, match=words):
        index_of(clustered(100), **{"metric": "cosine", **SETTINGS, **changes})


@pytest.mark.parametrize("vectors", [np.empty((0, DIM), np.float32), np.empty((5, 0), np.float32)])
def test_nothing_cannot_be_indexed(vectors: np.ndarray) -> None:
    with pytest.raises(VectorIndexError, match="nothing to index"):
        build_index(vectors, metric="cosine")


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_subset_is_refused(kind: str) -> None:
    with pytest.raises(VectorIndexError, match="at least one row"):
        build(clustered(300), kind).subset(np.empty(0, dtype=np.int64))


def test_files_that_are_no_index_are_named(tmp_path: Path) -> None:
    with pytest.raises(VectorIndexError, match="does not exist"):
        load_index(tmp_path / "none", metric="cosine")
    (tmp_path / "bad").write_bytes(b"not an index at all")
    with pytest.raises(VectorIndexError, match="is not a FAISS index"):
        load_index(tmp_path / "bad", metric="cosine")
    faiss.write_index(faiss.IndexLSH(DIM, 8), str(tmp_path / "lsh"))
    with pytest.raises(VectorIndexError, match="IndexLSH"):
        load_index(tmp_path / "lsh", metric="cosine")
