"""Indexes of codes against brute force in NumPy: every distance, every tie, every byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from croquis.index.build import build_alike, load_index
from croquis.index.code_index import CodeIndex
from croquis.index.vector_index import VectorIndexError, faiss_threads
from tests.support.indexes import index_of

HEADS = ["binary", "pq"]
CODES = ["flat", "ivf"]
COMPARISONS = ["asymmetric", "symmetric"]
METRIC = {"binary": "hamming", "pq": "l2"}
SHAPE = (6, 16, 4)  # 24 numbers: 24 bits for either head


def codebooks(shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(7).standard_normal(shape).astype(np.float32)


def clustered(count: int, dim: int = 24, seed: int = 0, noise: float = 0.4) -> np.ndarray:
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((20, dim))
    return (centres[random.integers(0, 20, count)] + noise * random.standard_normal((count, dim))).astype(np.float32)


def build(vectors: np.ndarray, head: str, comparison: str = "symmetric", **changes: Any) -> CodeIndex:
    given = {"codebooks": codebooks() if head == "pq" else None, "ivf_lists": 8, "ivf_probes": 3, **changes}
    comparisons = {f"{head}_comparison": comparison}
    index = index_of(vectors, head=head, metric=METRIC[head], **comparisons, **given)
    assert isinstance(index, CodeIndex)
    return index


def coded(vectors: np.ndarray, head: str, books: np.ndarray | None) -> np.ndarray:
    """What the codes of vectors stand for, in float64, by the definition."""
    if head == "binary":
        return np.where(vectors > 0, 1.0, -1.0)
    assert books is not None
    parts, _, width = books.shape
    pieces = vectors.astype(float).reshape(len(vectors), parts, 1, width)
    nearest = ((pieces - books[None].astype(float)) ** 2).sum(axis=3).argmin(axis=2)
    return np.stack([books[part, nearest[:, part]] for part in range(parts)], axis=1).reshape(len(vectors), -1)


def oracle(
    queries: np.ndarray, vectors: np.ndarray, head: str, comparison: str, books: np.ndarray | None = None
) -> np.ndarray:
    """All scores (Q, n) in float64."""
    books = codebooks() if books is None and head == "pq" else books
    stored = coded(vectors, head, books).astype(float)
    asked = coded(queries, head, books).astype(float) if comparison == "symmetric" else queries.astype(float)
    if head == "binary":
        return asked @ stored.T if comparison == "asymmetric" else -((asked[:, None] * stored[None]) < 0).sum(axis=2)
    return -((asked[:, None] - stored[None]) ** 2).sum(axis=2)


def expected_order(scores: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Best first; equal scores (to float32, as they are returned) by key."""
    rounded = scores.astype(np.float32)
    return np.stack([np.lexsort((keys, -line)) for line in rounded])


@pytest.mark.parametrize("comparison", COMPARISONS)
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("k", [1, 10, 400, 500])
def test_an_exhaustive_search_is_brute_force(head: str, comparison: str, k: int) -> None:
    vectors, queries = clustered(400), clustered(17, seed=1)
    keys = np.random.default_rng(5).permutation(400).astype(np.uint64)
    scores, rows = build(vectors, head, comparison).search(queries, k, tiebreak=keys)
    every = oracle(queries, vectors, head, comparison)
    right = expected_order(every, keys)[:, :k]
    assert (scores.dtype, rows.dtype, scores.shape) == (np.float32, np.int64, (17, k))
    if head == "binary" and comparison == "symmetric":
        assert np.array_equal(rows[:, :400], right)  # whole numbers: the very order, ties and all
    np.testing.assert_allclose(scores[:, :400], np.take_along_axis(every, right, 1), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(scores[:, :400], np.take_along_axis(every, rows[:, :400], 1), rtol=1e-5, atol=1e-5)
    assert all(len(set(line)) == min(k, 400) for line in rows[:, :400].tolist())
    assert (rows[:, 400:] == -1).all()
    assert np.isneginf(scores[:, 400:]).all()


@given(
    parts=st.integers(1, 9),
    bits=st.integers(1, 8),
    width=st.integers(1, 4),
    comparison=st.sampled_from(COMPARISONS),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=60, deadline=None)
def test_product_codes_of_any_shape_agree_distance_for_distance(
    parts: int, bits: int, width: int, comparison: str, seed: int
) -> None:
    random = np.random.default_rng(seed)
    books = random.standard_normal((parts, 2**bits, width)).astype(np.float32)
    vectors = random.standard_normal((60, parts * width)).astype(np.float32)
    queries = random.standard_normal((3, parts * width)).astype(np.float32)
    index = build(vectors, "pq", comparison, codebooks=books)
    every = oracle(queries, vectors, "pq", comparison, books)
    scores, rows = index.search(queries, 60)
    np.testing.assert_allclose(scores, -np.sort(-every, axis=1), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(scores, np.take_along_axis(every, rows, axis=1), rtol=1e-5, atol=1e-5)
    assert index.nbytes == -(-parts * bits // 8)
    np.testing.assert_allclose(index.vectors(), coded(vectors, "pq", books))


@pytest.mark.parametrize("comparison", COMPARISONS)
@pytest.mark.parametrize("bits", [1, 8, 12, 16, 24, 32, 48, 64, 65, 128])
def test_bits_of_any_number_agree_distance_for_distance(bits: int, comparison: str) -> None:
    vectors, queries = clustered(150, bits, seed=bits), clustered(5, bits, seed=bits + 1)
    index = build(vectors, "binary", comparison)
    every = oracle(queries, vectors, "binary", comparison)
    scores, rows = index.search(queries, 150)
    np.testing.assert_allclose(scores, -np.sort(-every, axis=1), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(scores, np.take_along_axis(every, rows, axis=1), rtol=1e-5, atol=1e-5)
    assert (index.dim, index.nbytes) == (bits, -(-bits // 8))


@pytest.mark.parametrize("comparison", COMPARISONS)
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("codes", CODES)
def test_ties_follow_the_keys_at_every_rank(head: str, codes: str, comparison: str) -> None:
    """200 images under 4 codes: every list is cut within a tie, and the keys decide who is in."""
    four = clustered(4)
    vectors = four[np.random.default_rng(0).integers(0, 4, 200)]
    keys = np.random.default_rng(1).permutation(200).astype(np.uint64) + np.uint64(2**63)
    index = build(vectors, head, comparison, codes=codes, ivf_lists=2, ivf_probes=2)
    queries = clustered(6, seed=2)
    every = oracle(queries, vectors, head, comparison)
    for k in (1, 7, 60, 133, 200):
        _, rows = index.search(queries, k, tiebreak=keys)
        assert np.array_equal(rows, expected_order(every, keys)[:, :k])
    # Who is found among equals is who has the lowest key, not who was stored first.
    _, by_row = index.search(queries, 7)
    assert np.array_equal(by_row, expected_order(every, np.arange(200))[:, :7])


@pytest.mark.parametrize("comparison", COMPARISONS)
@pytest.mark.parametrize("head", HEADS)
def test_shuffling_the_database_finds_the_same_images(head: str, comparison: str) -> None:
    vectors, queries = np.repeat(clustered(80), 5, axis=0), clustered(12, seed=1)
    keys = np.random.default_rng(1).permutation(400).astype(np.uint64)
    order = np.random.default_rng(2).permutation(400)
    scores, rows = build(vectors, head, comparison).search(queries, 37, tiebreak=keys)
    again, shuffled = build(vectors[order], head, comparison).search(queries, 37, tiebreak=keys[order])
    assert np.array_equal(order[shuffled], rows)
    assert np.array_equal(again, scores)


@pytest.mark.parametrize("comparison", COMPARISONS)
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("codes", CODES)
@pytest.mark.parametrize("share", [0.003, 0.02, 0.3, 1.0])
def test_filtered_search_is_exact_at_every_selectivity(head: str, codes: str, comparison: str, share: float) -> None:
    vectors, queries = clustered(900), clustered(8, seed=1)
    index = build(vectors, head, comparison, codes=codes, ivf_probes=1)
    allowed = np.random.default_rng(3).permutation(900)[: round(share * 900)]
    keys = np.random.default_rng(4).permutation(900).astype(np.uint64)
    scores, rows = index.search(queries, 10, allowed, tiebreak=keys)
    every = oracle(queries, vectors[allowed], head, comparison)
    found = min(10, len(allowed))
    np.testing.assert_allclose(scores[:, :found], -np.sort(-every, axis=1)[:, :found], rtol=1e-5, atol=1e-5)
    if comparison == "symmetric" and head == "binary":
        assert np.array_equal(rows[:, :found], allowed[expected_order(every, keys[allowed])[:, :found]])
    assert np.isin(rows[:, :found], allowed).all()
    assert (rows[:, found:] == -1).all()
    _, none = index.search(queries, 4, np.empty(0, dtype=np.int64))
    assert (none == -1).all()


@pytest.mark.parametrize("comparison", COMPARISONS)
@pytest.mark.parametrize("head", HEADS)
def test_more_lists_visited_find_more_and_all_of_them_everything(head: str, comparison: str) -> None:
    vectors, queries = clustered(3000), clustered(60, seed=1)
    exact, _ = build(vectors, head, comparison).search(queries, 10)
    recall = []
    for probes in (1, 4, 16):
        index = build(vectors, head, comparison, codes="ivf", ivf_lists=16, ivf_probes=probes)
        scores, rows = index.search(queries, 10)
        every = oracle(queries, vectors, head, comparison)
        np.testing.assert_allclose(
            scores[rows >= 0], np.take_along_axis(every, rows, 1)[rows >= 0], rtol=1e-5, atol=1e-5
        )
        # By score: whom of equals the lists hold does not matter.
        recall.append(float((scores >= exact[:, -1:]).mean()))
    assert recall == sorted(recall)
    assert recall[0] > 0.5
    assert recall[1] > 0.9
    assert recall[2] == 1.0
    assert np.array_equal(scores, exact)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("codes", CODES)
def test_a_subset_keeps_codes_and_quantisers(head: str, codes: str) -> None:
    vectors, queries = clustered(600), clustered(9, seed=1)
    whole = build(vectors, head, codes=codes, ivf_probes=8)
    chosen = np.random.default_rng(4).permutation(600)[:150]
    subset = whole.subset(chosen)
    assert (subset.kind, len(subset), subset.parameters) == (whole.kind, 150, whole.parameters)
    assert (subset.comparison, subset.nbytes) == (whole.comparison, whole.nbytes)
    assert np.array_equal(subset.vectors(), whole.vectors(chosen))
    keys = np.random.default_rng(5).permutation(600).astype(np.uint64)
    among, rows_among = whole.search(queries, 20, chosen, tiebreak=keys)
    within, rows_within = subset.search(queries, 20, tiebreak=keys[chosen])
    assert np.array_equal(among, within)
    assert np.array_equal(rows_among, chosen[rows_within])
    assert np.array_equal(subset.subset(np.arange(5)).codes(), whole.codes(chosen[:5]))
    with pytest.raises(VectorIndexError, match="at least one row"):
        whole.subset(np.empty(0, dtype=np.int64))


@pytest.mark.parametrize("comparison", COMPARISONS)
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("codes", CODES)
def test_saved_and_loaded_is_the_same(head: str, codes: str, comparison: str, tmp_path: Path) -> None:
    dim = 12 if head == "binary" else 24
    index, queries = build(clustered(300, dim), head, comparison, codes=codes), clustered(9, dim, seed=1)
    index.save(tmp_path / "index.faiss")
    asked = {"metric": METRIC[head], "head": head, "dim": dim, "comparison": comparison}
    loaded = load_index(tmp_path / "index.faiss", **asked)
    assert (loaded.kind, len(loaded), loaded.dim, loaded.nbytes) == (f"{head}_{codes}", 300, dim, index.nbytes)
    assert (loaded.parameters, loaded.comparison) == (index.parameters, comparison)
    for one, other in zip(index.search(queries, 10), loaded.search(queries, 10), strict=True):
        assert np.array_equal(one, other)
    assert np.array_equal(index.vectors(), loaded.vectors())
    loaded.save(tmp_path / "again.faiss")
    assert (tmp_path / "again.faiss").read_bytes() == (tmp_path / "index.faiss").read_bytes()
    chosen = np.arange(40, 90)
    assert np.array_equal(loaded.subset(chosen).vectors(), index.vectors(chosen))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("codes", CODES)
def test_equal_builds_give_equal_files(head: str, codes: str, tmp_path: Path) -> None:
    with faiss_threads(2):
        build(clustered(600), head, codes=codes).save(tmp_path / "one")
    build(clustered(600), head, codes=codes).save(tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("codes", CODES)
@pytest.mark.parametrize(
    ("head", "dim", "shape", "width"),
    [
        ("binary", 12, None, 2),
        ("binary", 64, None, 8),
        ("pq", 24, (6, 16, 4), 3),  # two 4-bit codes share a byte
        ("pq", 15, (5, 16, 3), 3),  # an odd number of them: half a byte stays empty
        ("pq", 32, (8, 256, 4), 8),
        ("pq", 12, (12, 2, 1), 2),
    ],
)
def test_bytes_per_image_are_those_of_the_file(
    head: str, dim: int, shape: Any, width: int, codes: str, tmp_path: Path
) -> None:
    books = None if shape is None else codebooks(shape)
    sizes = {}
    for count in (1000, 3000):
        index = build(clustered(count, dim), head, codes=codes, codebooks=books)
        index.save(tmp_path / "index")
        sizes[count] = (tmp_path / "index").stat().st_size
    assert sizes[3000] - sizes[1000] == 2000 * index.nbytes
    assert index.nbytes == width + (8 if codes == "ivf" else 0)


@pytest.mark.parametrize("codes", CODES)
def test_the_codebooks_in_the_file_are_the_learned_ones(codes: str, tmp_path: Path) -> None:
    vectors = clustered(500)
    build(vectors, "pq", codes=codes).save(tmp_path / "index.faiss")
    stored = faiss.read_index(str(tmp_path / "index.faiss"))
    quantiser = stored.pq
    assert np.array_equal(faiss.vector_to_array(quantiser.centroids).reshape(SHAPE), codebooks())
    # FAISS itself reads the codes as we do.
    queries, every = clustered(4, seed=1), oracle(clustered(4, seed=1), vectors, "pq", "asymmetric")
    if codes == "ivf":
        assert not stored.by_residual
        stored.nprobe = stored.nlist
    distances, rows = stored.search(queries, 20)
    np.testing.assert_allclose(-distances, np.take_along_axis(every, rows, axis=1), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(-distances, -np.sort(-every, axis=1)[:, :20], rtol=1e-4, atol=1e-4)


def test_faiss_reads_the_bits_of_the_file(tmp_path: Path) -> None:
    vectors, queries = clustered(500), clustered(4, seed=1)
    every = oracle(queries, vectors, "binary", "symmetric")
    for codes in CODES:
        build(vectors, "binary", codes=codes).save(tmp_path / "index.faiss")
        stored = faiss.read_index_binary(str(tmp_path / "index.faiss"))
        if codes == "ivf":
            stored.nprobe = stored.nlist
        distances, rows = stored.search(np.packbits(queries > 0, axis=1, bitorder="little"), 20)
        assert np.array_equal(-distances, np.take_along_axis(every, rows, axis=1))
        assert np.array_equal(-distances, -np.sort(-every, axis=1)[:, :20])


@pytest.mark.parametrize("head", HEADS)
def test_the_other_comparison_is_a_view_of_the_same_codes(head: str) -> None:
    vectors, queries = clustered(300), clustered(9, seed=1)
    index = build(vectors, head, "symmetric")
    other = index.compared("asymmetric")
    assert (index.comparison, other.comparison) == ("symmetric", "asymmetric")
    for one, two in zip(other.search(queries, 9), build(vectors, head, "asymmetric").search(queries, 9), strict=True):
        assert np.array_equal(one, two)
    assert np.shares_memory(other._columns, index._columns)
    with pytest.raises(VectorIndexError, match="comparison = 'both', must be one of"):
        index.compared("both")


@pytest.mark.parametrize("comparison", COMPARISONS)
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("codes", CODES)
def test_other_vectors_are_coded_alike_and_searched_exhaustively(head: str, codes: str, comparison: str) -> None:
    index = build(clustered(300), head, comparison, codes=codes)
    fresh, queries = clustered(200, seed=8), clustered(7, seed=1)
    alike = build_alike(fresh, index)
    assert (alike.kind, alike.comparison) == (f"{head}_flat", comparison)
    every = oracle(queries, fresh, head, comparison)
    np.testing.assert_allclose(alike.search(queries, 200)[0], -np.sort(-every, axis=1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("codes", CODES)
def test_a_stored_vector_asks_as_its_code(head: str, codes: str) -> None:
    """`similar` asks with decoded vectors: every image is then among the best for itself."""
    index = build(clustered(200), head, codes=codes, ivf_probes=8)
    scores, _ = index.search(index.vectors(), 200)
    own = [float(index.search(index.vectors([row]), 1, np.array([row]))[0][0, 0]) for row in range(200)]
    np.testing.assert_allclose(scores[:, 0], own, atol=1e-6)
    np.testing.assert_allclose(own, 0, atol=1e-6)


def test_scores_do_not_depend_on_the_number_of_queries() -> None:
    vectors, queries = clustered(500), clustered(30, seed=1)
    for head in HEADS:
        for comparison in COMPARISONS:
            index = build(vectors, head, comparison, codes="ivf")
            together = index.search(queries, 10)
            for number in range(30):
                alone = index.search(queries[number : number + 1], 10)
                assert np.array_equal(alone[0][0], together[0][number])
                assert np.array_equal(alone[1][0], together[1][number])


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((np.zeros((2, 25), np.float32), 3), r"queries must have the shape \(n, 24\), not \(2, 25\)"),
        ((np.full((2, 24), np.inf, np.float32), 3), "NaN or an infinity, first in row 0"),
        ((np.zeros((2, 24), np.float32), 0), "k = 0, must be at least 1"),
        ((np.zeros((2, 24), np.float32), 3, np.array([0, 300])), "rows go from 0 to 300, the index has 0 to 299"),
        ((np.zeros((2, 24), np.float32), 3, np.array([4, 4])), "2 rows hold only 1 different"),
    ],
)
def test_wrong_questions_are_named(head: str, arguments: Any, words: str) -> None:
    with pytest.raises(VectorIndexError, match=words):
        build(clustered(300), head).search(*arguments)


def test_nobody_asks() -> None:
    for head in HEADS:
        for comparison in COMPARISONS:
            scores, rows = build(clustered(30), head, comparison).search(np.empty((0, 24), np.float32), 3)
            assert scores.shape == rows.shape == (0, 3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"head": "ternary"}, "head = 'ternary', must be one of"),
        ({"head": "binary", "metric": "l2"}, r"metric = 'l2', must be one of \['hamming'\]"),
        ({"head": "pq", "metric": "hamming"}, r"metric = 'hamming', must be one of \['l2'\]"),
        ({"codes": "hnsw"}, "codes = 'hnsw', must be one of"),
        ({"binary_comparison": "both"}, "comparison = 'both', must be one of"),
        ({"codes": "ivf", "ivf_lists": 4, "ivf_probes": 5}, r"ivf_probes = 5, must not exceed ivf_lists \(4\)"),
        ({"codes": "ivf", "ivf_lists": 60, "ivf_probes": 5}, "50 vectors cannot train 60 lists; lower ivf_lists"),
        ({"head": "pq", "metric": "l2"}, "an index of the head pq needs the codebooks of its method"),
        (
            {"head": "pq", "metric": "l2", "codebooks": codebooks((5, 16, 4))},
            "code 5 parts of 4 numbers, the vectors have 24",
        ),
    ],
)
def test_settings_that_do_not_fit_are_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(VectorIndexError, match=words):
        index_of(clustered(50), **{"head": "binary", "metric": "hamming", **changes})


def test_files_of_another_kind_are_named(tmp_path: Path) -> None:
    build(clustered(50), "binary").save(tmp_path / "bits")
    build(clustered(50), "pq").save(tmp_path / "codes")
    bits = {"metric": "hamming", "head": "binary", "comparison": "symmetric"}
    with pytest.raises(VectorIndexError, match="is not a FAISS index"):
        load_index(tmp_path / "codes", **bits)
    with pytest.raises(VectorIndexError, match="keeps 3 bytes per image, 12 bits take 2"):
        load_index(tmp_path / "bits", **bits, dim=12)
    with pytest.raises(VectorIndexError, match="comparison = None, must be one of"):
        load_index(tmp_path / "bits", metric="hamming", head="binary", dim=24)
    with pytest.raises(VectorIndexError, match=r"holds a IndexPQ, which this version does not search \(dense head\)"):
        load_index(tmp_path / "codes", metric="l2")
    residual = faiss.IndexIVFPQ(faiss.IndexFlatL2(8), 8, 2, 2, 4)
    residual.train(clustered(200, 8))
    faiss.write_index(residual, str(tmp_path / "residual"))
    with pytest.raises(VectorIndexError, match="residuals"):
        load_index(tmp_path / "residual", metric="l2", head="pq", comparison="symmetric")
