"""Attribute re-ranking against a loop, and the properties that the paper's rule must have."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from croquis.index.ranking import RankedLists
from croquis.rerank.chain import Chain, Moves
from croquis.rerank.evidence import GalleryEvidence, QueryEvidence
from croquis.rerank.overlap import OVERLAPS, RerankError, inverse_frequencies
from croquis.rerank.rerank_settings import RerankBlock
from croquis.rerank.shared_attributes import SharedAttributes, relative_scores

NAMES = [f"attribute:{number}" for number in range(8)]
GALLERY = 40


def world(seed: int, queries: int = 6, k: int = 30) -> tuple[list[set[str]], np.ndarray, list[set[str]]]:
    """Gallery attributes, ranked rows (some lists shorter) and query attributes."""
    random = np.random.default_rng(seed)

    def some() -> set[str]:
        return {name for name in NAMES if random.random() < 0.4}

    gallery = [some() for _ in range(GALLERY)]
    rows = np.stack([random.permutation(GALLERY)[:k] for _ in range(queries)])
    rows[0, 11:] = -1
    return gallery, rows, [some() | ({"attribute:unknown"} if query == 1 else set()) for query in range(queries)]


@dataclass(frozen=True)
class Reranker:
    """The step `attributes` over a gallery of sets."""

    chain: Chain

    def rerank(self, rows: np.ndarray, queries: list[set[str]], scores: np.ndarray | None = None) -> Moves:
        asked = QueryEvidence(
            np.zeros((len(rows), 1), np.float32),
            lambda: np.zeros((len(rows), 1), np.float32),
            lambda _: [frozenset(query) for query in queries],
        )
        return self.chain(asked, RankedLists(rows, np.zeros(rows.shape, np.float32) if scores is None else scores))


def reranker(gallery: list[set[str]], **changes: Any) -> Reranker:
    settings = {
        "depth": 20,
        "alpha": 1.0,
        "beta": 1.0,
        "overlap": "count",
        "gallery_attributes": "predicted",
        "standing": "rank",
        "steps": ("attributes",),
        "compare": (),
        "settings": {},
        **changes,
    }
    known = GalleryEvidence(
        lambda rows: np.zeros((len(rows), 1), np.float32),
        (),
        lambda: gallery,
        lambda: np.zeros((len(gallery), 0), bool),
    )
    return Reranker(Chain(["attributes"], RerankBlock(enabled=True, **settings), known))


def loop(
    gallery: list[set[str]], rows: list[int], query: set[str], depth: int, a: float, b: float, kind: str
) -> list[int]:
    """The rule read aloud, one list at a time."""
    known = set().union(*gallery)
    counts = {name: sum(name in one for one in gallery) for name in known}
    scored = []
    for rank, row in enumerate(rows[:depth], start=1):
        shared = query & gallery[row]
        if kind == "count":
            value = float(len(shared))
        elif kind == "jaccard":
            value = len(shared) / len(query | gallery[row]) if query | gallery[row] else 0.0
        else:
            value = sum(math.log((1 + len(gallery)) / (1 + counts[name])) for name in shared)
        scored.append((round(-(b * value - a * rank) / (a or b), 9), rank, row))
    return [row for _, _, row in sorted(scored)] + rows[depth:]


@pytest.mark.parametrize("kind", OVERLAPS)
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (1.0, 3.0), (2.0, 0.5), (0.0, 1.0)])
def test_rerank_equals_the_loop(kind: str, alpha: float, beta: float) -> None:
    gallery, rows, queries = world(1)
    found = reranker(gallery, alpha=alpha, beta=beta, overlap=kind).rerank(rows, queries)
    for line, old, query in zip(found.rows.tolist(), rows.tolist(), queries, strict=True):
        present = [row for row in old if row >= 0]
        expected = loop(gallery, present, query, 20, alpha, beta, kind)
        assert line == expected + [-1] * (len(old) - len(present))
    assert np.array_equal(found.rows, np.take_along_axis(rows, found.order, axis=1))


def test_the_overlap_is_what_is_shared_and_0_past_the_end() -> None:
    gallery, rows, queries = world(2)
    found = SharedAttributes(gallery).overlaps(rows, queries)
    for query, line, overlaps in zip(queries, rows.tolist(), found.tolist(), strict=True):
        assert overlaps == [len(query & gallery[row]) if row >= 0 else 0 for row in line]


def test_scores_keep_a_wide_lead_that_ranks_would_lose() -> None:
    """The second shares one attribute more. By rank it wins; by score only where the lead of the first is small."""
    gallery, rows = [{"a"}, {"a", "b"}, set()], np.array([[0, 1, 2]])
    assert reranker(gallery, beta=1.5).rerank(rows, [{"a", "b"}]).rows.tolist() == [[1, 0, 2]]
    by_score = reranker(gallery, alpha=10.0, beta=1.0, standing="score")
    for second, winner in ((0.75, 0), (0.85, 1)):
        for scale in (1.0, 40.0):  # of cosines, or of bits
            scores = scale * np.array([[0.9, second, 0.0]], np.float32) - 7
            assert by_score.rerank(rows, [{"a", "b"}], scores).rows[0, 0] == winner


def test_scores_stand_between_0_and_minus_1() -> None:
    scores = np.array([[5, 4, 1, -np.inf], [2, 2, 2, 2], [-np.inf] * 4], np.float32)
    assert relative_scores(scores)[:2].tolist() == [[0, -0.25, -1, -1], [0, 0, 0, 0]]
    found = reranker([{"a"}, {"a"}], standing="score", alpha=1.0, beta=0.0)
    ended = np.full((1, 4), -1)
    assert found.rerank(ended, [{"a"}], scores[2:]).rows.tolist() == ended.tolist()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    alpha=st.floats(0.01, 10),
    beta=st.floats(0, 10),
    factor=st.sampled_from([2.0, 3.0, 0.1, 7.3, 1 / 3]),
    kind=st.sampled_from(OVERLAPS),
)
def test_only_the_ratio_of_alpha_and_beta_matters(
    seed: int, alpha: float, beta: float, factor: float, kind: str
) -> None:
    gallery, rows, queries = world(seed)
    one = reranker(gallery, alpha=alpha, beta=beta, overlap=kind).rerank(rows, queries)
    other = reranker(gallery, alpha=alpha * factor, beta=beta * factor, overlap=kind).rerank(rows, queries)
    assert np.array_equal(one.rows, other.rows)


def test_the_nine_settings_of_the_paper_are_seven_orders() -> None:
    random = np.random.default_rng(3)
    gallery = [set(NAMES[: random.integers(0, 9)]) for _ in range(GALLERY)]  # overlaps from 0 to 8
    rows, queries = np.arange(GALLERY)[None], [set(NAMES)]
    orders = {
        (alpha, beta): reranker(gallery, alpha=alpha, beta=beta).rerank(rows, queries).rows.tobytes()
        for alpha in (1.0, 2.0, 3.0)
        for beta in (1.0, 2.0, 3.0)
    }
    assert len(set(orders.values())) == 7
    assert orders[1, 1] == orders[2, 2] == orders[3, 3]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), depth=st.integers(2, 40), beta=st.floats(0, 10))
def test_the_first_depth_results_stay_the_same_set_and_the_rest_stays_put(seed: int, depth: int, beta: float) -> None:
    gallery, rows, queries = world(seed)
    found = reranker(gallery, depth=depth, beta=beta).rerank(rows, queries)
    assert np.array_equal(np.sort(found.rows[:, :depth], axis=1), np.sort(rows[:, :depth], axis=1))
    assert np.array_equal(found.rows[:, depth:], rows[:, depth:])


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.0), (0.0, 0.0)])
def test_without_weight_on_the_overlap_nothing_moves(alpha: float, beta: float) -> None:
    gallery, rows, queries = world(4)
    found = reranker(gallery, alpha=alpha, beta=beta).rerank(rows, queries)
    assert np.array_equal(found.rows, rows)
    assert np.array_equal(found.order, np.broadcast_to(np.arange(rows.shape[1]), rows.shape))


def test_a_worked_example() -> None:
    gallery = [{"a"}, {"a", "b"}, set(), {"a", "b", "c"}]
    rows = np.array([[2, 0, 1, 3]])
    assert reranker(gallery).rerank(rows, [{"a", "b", "c"}]).rows.tolist() == [[2, 0, 1, 3]]  # all totals are -1
    assert reranker(gallery, beta=2.0).rerank(rows, [{"a", "b", "c"}]).rows.tolist() == [[3, 1, 0, 2]]
    assert reranker(gallery, alpha=0.1).rerank(rows, [{"a", "b", "c"}]).rows.tolist() == [[3, 1, 0, 2]]


def test_the_literal_sign_of_the_paper_puts_the_worst_first() -> None:
    """total = alpha * -rank + beta * overlap with alpha = -2 grows with the rank: equal overlaps come out reversed."""
    ranks, overlap = np.arange(1, 6), np.full(5, 2)
    literal = -2 * -ranks + 2 * overlap
    assert np.argsort(-literal).tolist() == [4, 3, 2, 1, 0]
    gallery = [{"a", "b"}] * 5
    found = reranker(gallery, alpha=2.0, beta=2.0).rerank(np.arange(5)[None], [{"a", "b"}])
    assert found.rows.tolist() == [[0, 1, 2, 3, 4]]
    with pytest.raises(RerankError, match=r"alpha = -2.0, must be 0 or more"):
        reranker(gallery, alpha=-2.0)


def test_rare_attributes_weigh_more_and_ubiquitous_ones_nothing() -> None:
    flags = np.array([[True, True], [True, False], [True, False]])
    weights = inverse_frequencies(flags)
    assert weights[0] == 0
    assert weights[1] == pytest.approx(math.log(2))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"depth": 1}, "depth = 1, must be at least 2"),
        ({"beta": float("nan")}, "beta = nan"),
        ({"standing": "place"}, "standing = 'place', must be one of"),
        ({"overlap": "cosine"}, "overlap = 'cosine', must be one of"),
    ],
)
def test_settings_out_of_range_are_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(RerankError, match=words):
        reranker([{"a"}], **changes)


def test_rows_that_do_not_fit_are_named() -> None:
    with pytest.raises(RerankError, match=r"for 2 queries"):
        SharedAttributes([{"a"}]).overlaps(np.zeros((1, 3), np.int64), [{"a"}, {"b"}])
    with pytest.raises(RerankError, match="the gallery has 1 images"):
        SharedAttributes([{"a"}]).overlaps(np.array([[0, 1]]), [{"a"}])


def test_a_gallery_without_attributes_changes_nothing() -> None:
    rows = np.array([[2, 0, 1]])
    for kind in OVERLAPS:
        assert reranker([set(), set(), set()], overlap=kind).rerank(rows, [{"a"}]).rows.tolist() == [[2, 0, 1]]
