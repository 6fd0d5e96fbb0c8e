"""What every kind of index promises, against scores by the definition: order, ties, filters, subsets, files, errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

from croquis.index.build import build_index, load_index
from croquis.index.ranking import label_blind_keys
from croquis.index.vector_index import VectorIndex, VectorIndexError, faiss_threads
from tests.support.indexes import (
    CODEBOOKS,
    CODED,
    DENSE,
    DIM,
    best_rows,
    clustered,
    coded,
    index_of,
    scores_by_definition,
    unit,
)

CASES = DENSE | CODED
EXHAUSTIVE = [name for name in CASES if "flat" in name]
NO_ROWS = np.empty(0, dtype=np.int64)
every_case = pytest.mark.parametrize("case", CASES)


def build(vectors: np.ndarray, case: str, **changes: Any) -> VectorIndex:
    return index_of(vectors, **CASES[case] | changes)


def every_score(index: VectorIndex, queries: np.ndarray, case: str) -> np.ndarray:
    """(Q, n), of what the index has stored."""
    given = {"metric": index.metric, "comparison": index.comparison, "codebooks": CASES[case].get("codebooks")}
    return scores_by_definition(queries, index.vectors(), **given)


def assert_scores(scores: np.ndarray, right: np.ndarray) -> None:
    np.testing.assert_allclose(scores, right, rtol=1e-5, atol=1e-5)


@every_case
def test_what_is_stored_is_the_vector_or_what_its_code_stands_for(case: str) -> None:
    vectors = clustered(300)
    index = build(vectors, case)
    if case in CODED:
        expected = coded(vectors, CASES[case]["codebooks"])
    else:
        expected = unit(vectors) if index.metric == "cosine" else vectors
    error = np.linalg.norm(index.vectors() - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert error.max() < (0.8 if index.kind == "ivfpq" else 1e-6)
    assert np.array_equal(index.vectors(np.array([7, 3])), index.vectors()[[7, 3]])


@pytest.mark.parametrize("case", EXHAUSTIVE)
@pytest.mark.parametrize("k", [1, 10, 400, 500])
def test_an_exhaustive_search_is_brute_force(case: str, k: int) -> None:
    queries, keys = clustered(17, seed=1), np.random.default_rng(5).permutation(400).astype(np.uint64)
    index = build(clustered(400), case)
    scores, rows = index.search(queries, k, tiebreak=keys)
    every = every_score(index, queries, case)
    assert (scores.dtype, rows.dtype, scores.shape) == (np.float32, np.int64, (17, k))
    found = min(k, 400)
    if index.head == "dense" or case == "binary-flat-symmetric":
        assert np.array_equal(rows[:, :found], best_rows(every, keys)[:, :found])
    assert_scores(scores[:, :found], -np.sort(-every, axis=1)[:, :found])
    assert_scores(scores[:, :found], np.take_along_axis(every, rows[:, :found], axis=1))
    assert all(len(set(line)) == found for line in rows[:, :found].tolist())
    assert (rows[:, found:] == -1).all()
    assert np.isneginf(scores[:, found:]).all()


@pytest.mark.parametrize("case", [*EXHAUSTIVE, *(name for name in CODED if "ivf" in name)])
def test_ties_follow_the_keys_at_every_rank(case: str) -> None:
    """200 images at 4 places: every list is cut within a tie, and the keys decide who is in."""
    vectors = clustered(4)[np.random.default_rng(0).integers(0, 4, 200)]
    keys = np.random.default_rng(1).permutation(200).astype(np.uint64) + np.uint64(2**63)
    index, queries = build(vectors, case, ivf_lists=2, ivf_probes=2), clustered(6, seed=2)
    every = every_score(index, queries, case)
    for k in (1, 7, 60, 133, 200):
        assert np.array_equal(index.search(queries, k, tiebreak=keys)[1], best_rows(every, keys)[:, :k])
    # Who is found among equals is who has the lowest key, not who was stored first.
    assert np.array_equal(index.search(queries, 7)[1], best_rows(every, np.arange(200))[:, :7])


@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("case", EXHAUSTIVE)
def test_the_order_of_the_rows_does_not_matter(case: str, filtered: bool) -> None:
    vectors = np.concatenate([clustered(7, seed=5)[np.random.default_rng(2).integers(0, 7, 350)], clustered(50)])
    queries, rankings = np.concatenate([clustered(30, seed=1), vectors[:3]]), []
    for seed in (0, 1):
        order = np.random.default_rng(seed).permutation(400)
        index, keys = build(vectors[order], case), label_blind_keys([f"image-{place}" for place in order])
        allowed = np.flatnonzero(order % 3 > 0) if filtered else None
        for k in (5, 60, 200):
            scores, rows = index.search(queries, k, allowed, tiebreak=keys)
            rankings.append((order[rows].tolist(), scores.tolist()))
    assert rankings[:3] == rankings[3:]


@every_case
def test_scores_do_not_depend_on_the_number_of_queries(case: str) -> None:
    index, queries = build(clustered(500), case), clustered(30, seed=1)
    together = index.search(queries, 10)
    for number in range(30):
        for alone, among in zip(index.search(queries[number : number + 1], 10), together, strict=True):
            assert np.array_equal(alone[0], among[number])
    scores, rows = index.search(np.empty((0, DIM), np.float32), 3)
    assert scores.shape == rows.shape == (0, 3)


@every_case
@pytest.mark.parametrize("share", [0.002, 0.009, 0.05, 0.5, 1.0])
def test_filtered_search_is_exact_at_every_selectivity(case: str, share: float) -> None:
    queries, index = clustered(8, seed=1), build(clustered(1500), case, ivf_probes=1)
    allowed = np.random.default_rng(3).permutation(1500)[: round(share * 1500)]
    keys = np.random.default_rng(4).permutation(1500).astype(np.uint64)
    scores, rows = index.search(queries, 10, allowed, tiebreak=keys)
    every, found = every_score(index, queries, case)[:, allowed], min(10, len(allowed))
    assert_scores(scores[:, :found], -np.sort(-every, axis=1)[:, :found])
    if index.comparison == "symmetric" and index.head == "binary":
        assert np.array_equal(rows[:, :found], allowed[best_rows(every, keys[allowed])[:, :found]])
    assert np.isin(rows[:, :found], allowed).all()
    assert all(len(set(line)) == found for line in rows[:, :found].tolist())
    assert (rows[:, found:] == -1).all()
    assert np.isneginf(scores[:, found:]).all()
    assert (index.search(queries, 4, NO_ROWS)[1] == -1).all()


@every_case
def test_lists_longer_than_the_index_are_padded(case: str) -> None:
    index = build(clustered(20), case, ivf_lists=2, ivf_probes=2)
    scores, rows = index.search(clustered(3, seed=1), 25)
    assert sorted(rows[0, :20].tolist()) == list(range(20))
    assert (rows[:, 20:] == -1).all()
    assert np.isneginf(scores[:, 20:]).all()


@every_case
def test_a_subset_keeps_what_is_stored(case: str) -> None:
    queries, whole = clustered(9, seed=1), build(clustered(1000), case, ivf_probes=8, hnsw_ef_search=2000)
    chosen = np.random.default_rng(4).permutation(1000)[:150]
    subset = whole.subset(chosen)
    assert (subset.kind, len(subset), subset.parameters) == (whole.kind, 150, whole.parameters)
    assert (subset.comparison, subset.metric) == (whole.comparison, whole.metric)
    assert np.array_equal(subset.vectors(), whole.vectors(chosen))
    keys = np.random.default_rng(5).permutation(1000).astype(np.uint64)
    # All lists are visited, so that searching the subset is searching the whole among the chosen rows.
    among, rows_among = whole.search(queries, 20, chosen, tiebreak=keys)
    within, rows_within = subset.search(queries, 20, tiebreak=keys[chosen])
    assert np.array_equal(among, within)
    if whole.kind != "ivfpq":  # which cuts ties of decoded vectors as FAISS proposes them
        assert np.array_equal(rows_among, chosen[rows_within])
    assert np.array_equal(subset.subset(np.arange(5)).vectors(), whole.vectors(chosen[:5]))
    with pytest.raises(VectorIndexError, match="at least one row"):
        whole.subset(NO_ROWS)


@every_case
def test_other_vectors_are_kept_and_found_as_the_built_ones_are(case: str) -> None:
    vectors, queries = clustered(700), clustered(9, seed=1)
    index, more = build(vectors, case), clustered(300, seed=6)
    other, same = index.refilled(more), index.refilled(vectors)
    assert (other.kind, len(other), other.parameters) == (index.kind, 300, index.parameters)
    assert (other.metric, other.comparison) == (index.metric, index.comparison)
    assert other.nbytes == pytest.approx(index.nbytes, abs=2 if index.kind == "hnsw" else 0)
    assert np.array_equal(same.vectors(), index.vectors())
    for one, two in zip(same.search(queries, 20), index.search(queries, 20), strict=True):
        assert np.array_equal(one, two)
    assert len(index) == 700
    if index.kind != "ivfpq":
        assert np.array_equal(other.vectors(), build(more, case).vectors())


@every_case
def test_a_subset_answers_as_the_whole_without_the_others(case: str) -> None:
    """Also where a search visits one list or walks a narrow graph: what the whole does not find, no subset finds."""
    narrow = {"ivf_probes": 1, "hnsw_links": 4, "hnsw_ef_search": 1}
    index, queries = build(clustered(1500, noise=1.0), case, **narrow), clustered(40, seed=1, noise=1.0)
    chosen = np.random.default_rng(4).permutation(1500)[:900]
    place = np.full(1501, -1)
    place[chosen] = np.arange(900)
    keys = np.random.default_rng(5).permutation(1500).astype(np.uint64)
    _, within = index.subset(chosen).search(queries, 5, tiebreak=keys[chosen])
    _, rows = index.search(queries, 100, tiebreak=keys)
    for found, listed in zip(place[rows], within, strict=True):
        left = found[found >= 0][:5]
        assert np.array_equal(listed[: len(left)], left)


@every_case
def test_saved_and_loaded_is_the_same_and_equal_builds_are_equal_files(case: str, tmp_path: Path) -> None:
    queries, index = clustered(9, seed=1), build(clustered(600), case)
    index.save(tmp_path / "index")
    with faiss_threads(2):
        build(clustered(600), case).save(tmp_path / "other")
    told = {"metric": index.metric, "head": index.head, "dim": DIM, "comparison": index.comparison}
    loaded = load_index(tmp_path / "index", **told)
    assert (loaded.kind, len(loaded), loaded.dim, loaded.nbytes) == (index.kind, 600, DIM, index.nbytes)
    assert (loaded.parameters, loaded.comparison) == (index.parameters, index.comparison)
    for one, other in zip(index.search(queries, 10), loaded.search(queries, 10), strict=True):
        assert np.array_equal(one, other)
    assert np.array_equal(index.vectors(), loaded.vectors())
    loaded.save(tmp_path / "again")
    assert np.array_equal(loaded.subset(np.arange(40, 90)).vectors(), index.vectors(np.arange(40, 90)))
    assert (tmp_path / "index").read_bytes() == (tmp_path / "other").read_bytes()
    assert (tmp_path / "index").read_bytes() == (tmp_path / "again").read_bytes()


@every_case
def test_bytes_per_vector_are_those_of_the_file(case: str, tmp_path: Path) -> None:
    sizes = {}
    for count in (1000, 3000):
        index = build(clustered(count), case)
        index.save(tmp_path / "index")
        sizes[count] = (tmp_path / "index").stat().st_size
    assert (sizes[3000] - sizes[1000]) / 2000 == pytest.approx(index.nbytes, abs=1 if index.kind == "hnsw" else 0)


@every_case
def test_search_leaves_the_number_of_threads_alone(case: str) -> None:
    with faiss_threads(2):
        index = build(clustered(300), case)
        index.search(clustered(2), 3)
        index.subset(np.arange(30))
        assert faiss.omp_get_max_threads() == 2


QUERIES = np.zeros((2, DIM), np.float32)


@every_case
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((np.zeros((2, DIM + 1), np.float32), 3), r"queries must have the shape \(n, 24\), not \(2, 25\)"),
        ((np.zeros(DIM, np.float32), 3), r"not \(24,\)"),
        ((np.full((2, DIM), np.nan, np.float32), 3), "NaN or an infinity, first in row 0"),
        ((QUERIES, 0), "k = 0, must be at least 1"),
        ((QUERIES, 3, np.array([0, 300])), "rows go from 0 to 300, the index has 0 to 299"),
        ((QUERIES, 3, np.array([-1])), "rows go from -1"),
        ((QUERIES, 3, np.array([4, 4])), "2 rows hold only 1 different"),
        ((QUERIES, 3, np.array([0.5])), "whole numbers"),
    ],
)
def test_wrong_questions_are_named(case: str, arguments: Any, words: str) -> None:
    index = build(clustered(300), case)
    with pytest.raises(VectorIndexError, match=words):
        index.search(*arguments)
    with pytest.raises(VectorIndexError, match=r"tiebreak has the shape \(3,\), the index has 300 rows"):
        index.search(QUERIES, 3, tiebreak=np.zeros(3, np.uint64))


BINARY, PQ = CODED["binary-flat-symmetric"], CODED["pq-flat-asymmetric"]
IVFPQ = DENSE["ivfpq-cosine"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"metric": "cosine", "kind": "lsh"}, "kind = 'lsh', must be one of"),
        ({"metric": "dot"}, "metric = 'dot', must be one of"),
        ({"metric": "cosine", "head": "ternary"}, "head = 'ternary', must be one of"),
        (IVFPQ | {"pq_subspaces": 5}, "pq_subspaces = 5 must divide the 24 numbers"),
        (IVFPQ | {"pq_bits": 8}, "100 vectors cannot train .* at least 256 are needed"),
        (IVFPQ | {"ivf_lists": 128}, "at least 128 are needed"),
        (IVFPQ | {"pq_bits": 5}, "pq_bits = 5"),
        (IVFPQ | {"ivf_probes": 9}, r"ivf_probes = 9, must not exceed ivf_lists \(8\)"),
        (BINARY | {"metric": "l2"}, r"metric = 'l2', must be one of \['hamming'\]"),
        (PQ | {"metric": "hamming"}, r"metric = 'hamming', must be one of \['l2'\]"),
        (BINARY | {"codes": "hnsw"}, "codes = 'hnsw', must be one of"),
        (BINARY | {"binary_comparison": "both"}, "comparison = 'both', must be one of"),
        (BINARY | {"codes": "ivf", "ivf_probes": 9}, r"ivf_probes = 9, must not exceed ivf_lists \(8\)"),
        (PQ | {"codes": "ivf", "ivf_lists": 101}, "100 vectors cannot train 101 lists; lower ivf_lists"),
        (PQ | {"codebooks": None}, "an index of the head pq needs the codebooks of its method"),
        (PQ | {"codebooks": CODEBOOKS[:5]}, "code 5 parts of 4 numbers, the vectors have 24"),
    ],
)
def test_settings_that_do_not_fit_are_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(VectorIndexError, match=words):
        index_of(clustered(100), **changes)


@pytest.mark.parametrize("vectors", [np.empty((0, DIM), np.float32), np.empty((5, 0), np.float32)])
def test_nothing_cannot_be_indexed(vectors: np.ndarray) -> None:
    with pytest.raises(VectorIndexError, match="nothing to index"):
        build_index(vectors, metric="cosine")


def test_files_that_are_no_index_or_of_another_kind_are_named(tmp_path: Path) -> None:
    dense, bits = {"metric": "l2"}, {"metric": "hamming", "head": "binary", "comparison": "symmetric"}
    (tmp_path / "bad").write_bytes(b"not an index at all")
    faiss.write_index(faiss.IndexLSH(DIM, 8), str(tmp_path / "lsh"))
    build(clustered(50), "binary-flat-symmetric").save(tmp_path / "bits")
    build(clustered(50), "pq-flat-symmetric").save(tmp_path / "codes")
    residual = faiss.IndexIVFPQ(faiss.IndexFlatL2(8), 8, 2, 2, 4)
    residual.train(clustered(200, 8))
    faiss.write_index(residual, str(tmp_path / "residual"))
    for name, told, words in (
        ("none", dense, "does not exist"),
        ("bad", dense, "is not a FAISS index"),
        ("lsh", dense, "IndexLSH"),
        ("codes", bits, "is not a FAISS index"),
        ("bits", bits | {"dim": 12}, "keeps 3 bytes per image, 12 bits take 2"),
        ("bits", bits | {"dim": 24, "comparison": None}, "comparison = None, must be one of"),
        ("codes", dense, r"holds a IndexPQ, which this version does not search \(dense head\)"),
        ("residual", dense | {"head": "pq", "comparison": "symmetric"}, "residuals"),
    ):
        with pytest.raises(VectorIndexError, match=words):
            load_index(tmp_path / name, **told)
