"""Indexes of codes against brute force in NumPy and against FAISS; what all kinds promise is in test_every_kind.py."""

from __future__ import annotations

from itertools import repeat
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from croquis.index.build import build_alike
from croquis.index.code_index import CodeIndex
from croquis.index.coding import hamming_scores
from croquis.index.exact import best_first, empty_result
from croquis.index.vector_index import VectorIndexError
from tests.support.indexes import (
    CODEBOOKS,
    CODED,
    best_rows,
    clustered,
    coded,
    index_of,
    scores_by_definition,
)

HEADS = ["binary", "pq"]
CODES = ["flat", "ivf"]
COMPARISONS = ["asymmetric", "symmetric"]


def build(vectors: np.ndarray, head: str, codes: str = "flat", comparison: str = "symmetric", **more: Any) -> CodeIndex:
    index = index_of(vectors, **CODED[f"{head}-{codes}-{comparison}"] | more)
    assert isinstance(index, CodeIndex)
    return index


def every_score(
    queries: np.ndarray, vectors: np.ndarray, index: CodeIndex, codebooks: np.ndarray | None = None
) -> np.ndarray:
    books = (CODEBOOKS if codebooks is None else codebooks) if index.head == "pq" else None
    stored = coded(vectors, books)
    return scores_by_definition(queries, stored, metric=index.metric, comparison=index.comparison, codebooks=books)


def assert_scores(found: tuple[np.ndarray, np.ndarray], every: np.ndarray) -> None:
    """The best there are, and those of the rows that are told."""
    scores, rows = found
    np.testing.assert_allclose(scores, -np.sort(-every, axis=1)[:, : scores.shape[1]], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(scores, np.take_along_axis(every, rows, axis=1), rtol=1e-5, atol=1e-5)


def assert_alone(index: CodeIndex, queries: np.ndarray, found: tuple[np.ndarray, np.ndarray], keys: np.ndarray) -> None:
    """Each query finds alone what it found among the others."""
    for number, query in enumerate(queries):
        scores, rows = index.search(query[None], found[1].shape[1], tiebreak=keys)
        assert np.array_equal(scores[0], found[0][number])
        assert np.array_equal(rows[0], found[1][number])


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
    index = build(vectors, "pq", comparison=comparison, codebooks=books)
    assert_scores(index.search(queries, 60), every_score(queries, vectors, index, books))
    assert index.nbytes == -(-parts * bits // 8)
    np.testing.assert_allclose(index.vectors(), coded(vectors, books))


@pytest.mark.parametrize("comparison", COMPARISONS)
@pytest.mark.parametrize("bits", [1, 8, 12, 16, 24, 32, 48, 64, 65, 128])
def test_bits_of_any_number_agree_distance_for_distance(bits: int, comparison: str) -> None:
    vectors, queries = clustered(3000, bits, seed=bits), clustered(5, bits, seed=bits + 1)
    index = build(vectors, "binary", comparison=comparison)
    every = every_score(queries, vectors, index)
    for k in (10, 3000):  # found by FAISS where bits are compared with bits, and scored one and all
        assert_scores(index.search(queries, k), every)
    assert (index.dim, index.nbytes) == (bits, -(-bits // 8))


@pytest.mark.slow
@pytest.mark.parametrize("codes", CODES)
@pytest.mark.parametrize("bits", [6, 24, 128])
@pytest.mark.parametrize("places", [1, 20, 400, 4000])
def test_ties_at_the_edge_of_what_faiss_proposes_are_settled(bits: int, places: int, codes: str) -> None:
    """Of 4,000 images up to 4,000 share a code, far more than are proposed beyond `k`, or hardly any do."""
    random = np.random.default_rng(places)
    vectors = clustered(places, bits)[random.integers(0, places, 4000)]
    keys = random.permutation(4000).astype(np.uint64) + np.uint64(2**63)
    index = build(vectors, "binary", codes, ivf_lists=1, ivf_probes=1)
    queries = np.concatenate([clustered(20, bits, seed=1), vectors[:5]])
    every = every_score(queries, vectors, index)
    for k in (1, 9, 30):
        assert k + 32 < 4000 / 64, "few enough for FAISS to be asked"
        scores, rows = index.search(queries, k, tiebreak=keys)
        assert np.array_equal(rows, best_rows(every, keys)[:, :k])
        assert np.array_equal(scores, np.take_along_axis(every, rows, axis=1))
        assert_alone(index, queries, (scores, rows), keys)


@pytest.mark.parametrize("probes", [1, 5, 12])
def test_in_lists_all_ties_of_those_that_are_visited_are_settled(probes: int) -> None:
    """As a scan of the lists whose centres are nearest finds them, the first of equally near ones before the others."""
    vectors, queries = clustered(90, 12)[np.random.default_rng(0).integers(0, 90, 4000)], clustered(40, 12, seed=1)
    keys = np.random.default_rng(1).permutation(4000).astype(np.uint64)
    index = build(vectors, "binary", "ivf", ivf_lists=12, ivf_probes=probes)
    packed, numbers = index.coding.encode(queries), np.arange(12, dtype=np.uint64)
    centres = index.coding.columns(index._index.quantizer.reconstruct_n())
    scores, rows = index.search(queries, 20, tiebreak=keys)
    for number, code in enumerate(packed):
        lists = best_first(hamming_scores(code, centres), numbers, probes)
        visited = np.concatenate([index._lists[each] for each in lists])
        near = hamming_scores(code, index.coding.columns(index.codes(visited)))
        best = best_first(near, keys[visited], 20)
        assert rows[number].tolist() == [*visited[best], *[-1] * (20 - len(best))]
        assert scores[number].tolist() == [*near[best], *[-np.inf] * (20 - len(best))]
    assert_alone(index, queries, (scores, rows), keys)


WIDE_BOOKS = np.random.default_rng(8).standard_normal((16, 16, 8)).astype(np.float32)


def scanned(index: CodeIndex, queries: np.ndarray, k: int, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `CodeIndex.search` answers without FAISS: every code scored, query by query."""
    asked, found = index.coding.asked(queries, index.comparison), empty_result(len(queries), k)
    index._scan(asked, keys, found, repeat(np.arange(len(index))))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("codes", [3, 300, 8000])
@pytest.mark.parametrize(("head", "bits"), [("binary", 12), ("binary", 66), ("binary", 128), ("pq", 64)])
@pytest.mark.parametrize("comparison", COMPARISONS)
def test_what_faiss_proposes_is_what_a_scan_finds(head: str, bits: int, comparison: str, codes: int) -> None:
    """To the last digit and with every tie, where 8,000 images share a few codes, or hardly any do."""
    random = np.random.default_rng(bits + codes)
    dim = bits if head == "binary" else 128
    vectors = clustered(codes, dim)[random.integers(0, codes, 8000) if codes < 8000 else np.arange(8000)]
    queries = np.concatenate([clustered(9, dim, seed=1), 5 * vectors[:5], np.zeros((1, dim), np.float32)])
    index = build(vectors, head, comparison=comparison, codebooks=WIDE_BOOKS if head == "pq" else None)
    for keys in (random.integers(0, 2**64, 8000, dtype=np.uint64), np.arange(8000, dtype=np.uint64)):
        for k in (1, 50, 120):
            right, alone = scanned(index, queries, k, keys), index.search(queries[3:4], k, tiebreak=keys)
            for found, single, expected in zip(index.search(queries, k, tiebreak=keys), alone, right, strict=True):
                assert np.array_equal(found, expected)
                assert np.array_equal(single[0], expected[3])


def test_codes_that_are_told_apart_are_not_scanned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the fast scan would be work for nothing."""
    index = build(clustered(4000, 128), "pq", comparison="asymmetric", codebooks=WIDE_BOOKS)
    left: list[int] = []
    monkeypatch.setattr(index, "_scan", lambda queries, *_: left.append(len(queries)))
    index.search(clustered(50, 128, seed=1), 50)
    index.search(clustered(50, 128, seed=1), 50, np.arange(4000))
    assert sum(left) <= 5


@pytest.mark.parametrize("comparison", COMPARISONS)
@pytest.mark.parametrize("head", HEADS)
def test_more_lists_visited_find_more_and_all_of_them_everything(head: str, comparison: str) -> None:
    vectors, queries = clustered(3000), clustered(60, seed=1)
    exact, _ = build(vectors, head, comparison=comparison).search(queries, 10)
    recall = []
    for probes in (1, 4, 16):
        index = build(vectors, head, "ivf", comparison, ivf_lists=16, ivf_probes=probes)
        scores, rows = index.search(queries, 10)
        right = np.take_along_axis(every_score(queries, vectors, index), rows, axis=1)
        np.testing.assert_allclose(scores[rows >= 0], right[rows >= 0], rtol=1e-5, atol=1e-5)
        # By score: whom of equals the lists hold does not matter.
        recall.append(float((scores >= exact[:, -1:]).mean()))
    assert recall == sorted(recall)
    assert recall[0] > 0.5
    assert recall[1] > 0.9
    assert np.array_equal(scores, exact)


@pytest.mark.parametrize("codes", CODES)
@pytest.mark.parametrize(
    ("dim", "shape", "width"),
    [
        (12, None, 2),
        (64, None, 8),
        (24, (6, 16, 4), 3),  # two 4-bit codes share a byte
        (15, (5, 16, 3), 3),  # an odd number of them: half a byte stays empty
        (32, (8, 256, 4), 8),
        (12, (12, 2, 1), 2),
    ],
)
def test_codes_take_just_their_bytes(dim: int, shape: Any, width: int, codes: str, tmp_path: Path) -> None:
    books = None if shape is None else np.random.default_rng(7).standard_normal(shape).astype(np.float32)
    sizes = []
    for count in (1000, 3000):
        index = build(clustered(count, dim), "pq" if shape else "binary", codes, codebooks=books)
        index.save(tmp_path / "index")
        sizes.append((tmp_path / "index").stat().st_size)
    assert sizes[1] - sizes[0] == 2000 * index.nbytes
    assert index.nbytes == width + (8 if codes == "ivf" else 0)


@pytest.mark.parametrize("codes", CODES)
@pytest.mark.parametrize("head", HEADS)
def test_faiss_itself_reads_the_codes_and_the_codebooks_of_the_file(head: str, codes: str, tmp_path: Path) -> None:
    vectors, queries = clustered(500), clustered(4, seed=1)
    index = build(vectors, head, codes, "symmetric" if head == "binary" else "asymmetric")
    index.save(tmp_path / "index")
    read, asked = faiss.read_index, queries
    if head == "binary":
        read, asked = faiss.read_index_binary, np.packbits(queries > 0, axis=1, bitorder="little")
    stored = read(str(tmp_path / "index"))
    if codes == "ivf":
        stored.nprobe = stored.nlist
    if head == "pq":
        assert np.array_equal(faiss.vector_to_array(stored.pq.centroids).reshape(CODEBOOKS.shape), CODEBOOKS)
        assert not getattr(stored, "by_residual", False)
    distances, rows = stored.search(asked, 20)
    assert_scores((-distances, rows), every_score(queries, vectors, index))


@pytest.mark.parametrize("head", HEADS)
def test_the_other_comparison_is_a_view_of_the_same_codes(head: str) -> None:
    vectors, queries = clustered(300), clustered(9, seed=1)
    index, built = build(vectors, head), build(vectors, head, comparison="asymmetric")
    other = index.compared("asymmetric")
    assert (index.comparison, other.comparison) == ("symmetric", "asymmetric")
    for one, two in zip(other.search(queries, 9), built.search(queries, 9), strict=True):
        assert np.array_equal(one, two)
    assert np.shares_memory(other._columns, index._columns)
    with pytest.raises(VectorIndexError, match="comparison = 'both', must be one of"):
        index.compared("both")


@pytest.mark.parametrize("comparison", COMPARISONS)
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("codes", CODES)
def test_other_vectors_are_coded_alike_and_searched_exhaustively(head: str, codes: str, comparison: str) -> None:
    fresh, queries = clustered(200, seed=8), clustered(7, seed=1)
    alike = build_alike(fresh, build(clustered(300), head, codes, comparison))
    assert (alike.kind, alike.comparison) == (f"{head}_flat", comparison)
    assert_scores(alike.search(queries, 200), every_score(queries, fresh, alike))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("codes", CODES)
def test_a_stored_vector_asks_as_its_code(head: str, codes: str) -> None:
    """`similar` asks with decoded vectors: every image is then among the best for itself."""
    index = build(clustered(200), head, codes, ivf_probes=8)
    scores, _ = index.search(index.vectors(), 200)
    own = [float(index.search(index.vectors([row]), 1, np.array([row]))[0][0, 0]) for row in range(200)]
    np.testing.assert_allclose(scores[:, 0], own, atol=1e-6)
    np.testing.assert_allclose(own, 0, atol=1e-6)
