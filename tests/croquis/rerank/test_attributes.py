"""Re-ranking by attributes against a loop, and the properties that the paper's rule must have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from croquis.index.ranking import RankedLists
from croquis.rerank.chain import Chain, make_step
from croquis.rerank.evidence import GalleryEvidence, QueryEvidence, certain_gallery
from croquis.rerank.overlap import LEVELS, OVERLAPS, Overlap, RerankError, flags, inverse_frequencies
from croquis.rerank.rerank_settings import STANDINGS
from croquis.rerank.weighing import relative_scores
from tests.support.reranking import BLOCK, GALLERY, NAMES, RANKS, asks, decide, world

LETTERS = ("a", "b", "c")
STEPS = ("attributes", "probability")


def sets_chain(gallery: Sequence[set[str]], names: Sequence[str] = LETTERS, **changes: Any) -> Chain:
    """The step `attributes` over a gallery of sets."""
    known = certain_gallery(lambda rows: np.zeros((len(rows), 1), np.float32), tuple(names), gallery)
    return Chain(["attributes"], replace(BLOCK, **{"beta": 1.0, **changes}), known)


def rerank(chain: Chain, rows: Any, queries: Sequence[set[str]], scores: np.ndarray | None = None) -> list[list[int]]:
    rows = np.asarray(rows)
    ranked = RankedLists(rows, np.zeros(rows.shape, np.float32) if scores is None else scores)
    return chain(asks(queries), ranked).rows.tolist()


def rows_of(step: str, source: str, asked: QueryEvidence, known: GalleryEvidence) -> tuple[list[dict[str, float]], ...]:
    """Attributes of the queries and of the gallery as numbers by name; those that are 0 lack."""
    if step == "attributes":
        queries, gallery = (
            [dict.fromkeys(one, 1.0) for one in sets] for sets in (asked.attributes, known.attributes())
        )
        return queries, gallery
    unit = LEVELS if source == "predicted" else 1
    return tuple(
        [{name: float(value) / unit for name, value in zip(NAMES, line, strict=True) if value} for line in lines]
        for lines, unit in ((asked.probabilities, 1), (known.holdings(), unit))
    )


def overlap_by_loop(
    query: dict[str, float], held: dict[str, float], gallery: list[dict[str, float]], kind: str
) -> float:
    """The rule read aloud: what is shared, by how rare it is, or as a share of what either has."""
    both = query.keys() & held.keys()
    rare = {name: math.log((1 + len(gallery)) / (1 + sum(one.get(name, 0.0) for one in gallery))) for name in both}
    shared = sum(query[name] * held[name] * (rare[name] if kind == "idf" else 1.0) for name in both)
    either = sum(query.values()) + sum(held.values()) - shared
    return (shared / either if either else 0.0) if kind == "jaccard" else shared


@pytest.mark.parametrize("source", ["predicted", "catalogue"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("kind", OVERLAPS)
@pytest.mark.parametrize("standing", STANDINGS)
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (1.0, 3.0), (2.0, 0.5), (0.0, 1.0)])
def test_scores_and_order_equal_the_loop(
    source: str, step: str, kind: str, standing: str, alpha: float, beta: float
) -> None:
    """The catalogue knows two attributes that the classifier does not, and one of the classifier's no image has."""
    asked, known, ranked = world(int(10 * alpha + beta))
    head = ranked.cut(BLOCK.depth)
    if source == "catalogue":
        random = np.random.default_rng(4)
        names = [*NAMES[:-1], "x:one", "x:two"]
        known = certain_gallery(
            known.vectors, NAMES, [{n for n in names if random.random() < 0.4} for _ in range(GALLERY)]
        )
    block = replace(BLOCK, overlap=kind, standing=standing, alpha=alpha, beta=beta)
    made, unit = make_step(step, block, known), alpha or beta
    queries, gallery = rows_of(step, source, asked, known)
    moves, scores = Chain([step], block, known)(asked, ranked), made.scores(asked, head)
    for number, (query, line) in enumerate(zip(queries, head.rows.tolist(), strict=True)):
        overlaps = [overlap_by_loop(query, gallery[row], gallery, kind) if row >= 0 else 0.0 for row in line]
        before = head.scores[number].astype(float)
        first, last = before[0], before[np.isfinite(before)][-1]
        where = [-(rank + 1.0) if standing == "rank" else (max(score, last) - first) / (first - last)
                 for rank, score in enumerate(before)]  # fmt: skip
        expected = [
            round(alpha / unit * at + beta / unit * value, 9) for at, value in zip(where, overlaps, strict=True)
        ]
        np.testing.assert_allclose(scores[number], expected, rtol=0, atol=2e-9)
        present = [place for place, row in enumerate(line) if row >= 0]
        order = sorted(present, key=lambda place: (-expected[place], place))
        assert moves.rows[number, : len(order)].tolist() == [line[place] for place in order]
        told, parts = made.contributions(asked, number, head.rows[number])
        assert len(told) == parts.shape[1]
        if kind != "jaccard":  # its parts are of the numerator
            assert parts.sum(axis=1)[present] == pytest.approx(np.array(overlaps)[present])


def test_certain_probabilities_are_attribute_sets() -> None:
    """With zeros and ones the expected overlap is the count, Jaccard and idf of the sets, to the bit."""
    asked, known, ranked = world(3)
    sure = flags(decide(asked.probabilities), NAMES)
    certain = QueryEvidence(asked.vectors, lambda: sure.astype(np.float32), decide)
    held = certain_gallery(known.vectors, NAMES, known.attributes())
    for kind in OVERLAPS:
        block = replace(BLOCK, overlap=kind)
        one, other = (make_step(step, block, held).scores(certain, ranked) for step in STEPS)
        assert one.tobytes() == other.tobytes()


def test_the_expected_overlap_against_a_loop_over_outcomes() -> None:
    """Two attributes, independent: the mean over their sixteen outcomes of how many are shared."""
    query, held = np.array([[0.3, 0.8]]), np.array([[153, 51]], dtype=np.uint8)
    expected = 0.0
    for outcome in np.ndindex(2, 2, 2, 2):
        asking, has = np.array(outcome[:2]), np.array(outcome[2:])
        of_query = np.where(asking, query[0], 1 - query[0])
        chance = np.prod(of_query * np.where(has, held[0] / LEVELS, 1 - held[0] / LEVELS))
        expected += chance * (asking & has).sum()
    assert Overlap(NAMES[:2], held).overlaps(np.array([[0]]), query)[0, 0] == pytest.approx(expected)


def test_scores_keep_a_wide_lead_that_ranks_would_lose() -> None:
    """The second shares one attribute more. By rank it wins; by score only where the lead of the first is small."""
    gallery, rows = [{"a"}, {"a", "b"}, set()], [[0, 1, 2]]
    assert rerank(sets_chain(gallery, beta=1.5), rows, [{"a", "b"}]) == [[1, 0, 2]]
    by_score = sets_chain(gallery, alpha=10.0, standing="score")
    for second, winner in ((0.75, 0), (0.85, 1)):
        for scale in (1.0, 40.0):  # of cosines, or of bits
            scores = scale * np.array([[0.9, second, 0.0]], np.float32) - 7
            assert rerank(by_score, rows, [{"a", "b"}], scores)[0][0] == winner


def test_scores_stand_between_0_and_minus_1() -> None:
    scores = np.array([[5, 4, 1, -np.inf], [2, 2, 2, 2], [-np.inf] * 4], np.float32)
    assert relative_scores(scores)[:2].tolist() == [[0, -0.25, -1, -1], [0, 0, 0, 0]]
    assert rerank(sets_chain([{"a"}], standing="score", beta=0.0), [[-1] * 4], [{"a"}], scores[2:]) == [[-1] * 4]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    alpha=st.floats(0.01, 10),
    beta=st.floats(0, 10),
    factor=st.sampled_from([2.0, 3.0, 0.1, 7.3, 1 / 3]),
    kind=st.sampled_from(OVERLAPS),
    step=st.sampled_from(STEPS),
    standing=st.sampled_from(STANDINGS),
)
def test_only_the_ratio_of_alpha_and_beta_matters(
    seed: int, alpha: float, beta: float, factor: float, kind: str, step: str, standing: str
) -> None:
    asked, known, ranked = world(seed)
    one = replace(BLOCK, alpha=alpha, beta=beta, overlap=kind, standing=standing)
    other = replace(one, alpha=alpha * factor, beta=beta * factor)
    assert np.array_equal(*(Chain([step], block, known)(asked, ranked).rows for block in (one, other)))


def test_the_nine_settings_of_the_paper_are_seven_orders() -> None:
    random = np.random.default_rng(3)
    gallery = [set(NAMES[: random.integers(0, len(NAMES) + 1)]) for _ in range(GALLERY)]
    orders = {
        (alpha, beta): rerank(
            sets_chain(gallery, NAMES, alpha=alpha, beta=beta, depth=GALLERY), [range(GALLERY)], [set(NAMES)]
        )
        for alpha in (1.0, 2.0, 3.0)
        for beta in (1.0, 2.0, 3.0)
    }
    assert len({str(order) for order in orders.values()}) == 7
    assert orders[1, 1] == orders[2, 2] == orders[3, 3]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.0), (0.0, 0.0)])
def test_without_weight_on_the_overlap_nothing_moves(step: str, alpha: float, beta: float) -> None:
    asked, known, ranked = world(4)
    moves = Chain([step], replace(BLOCK, alpha=alpha, beta=beta), known)(asked, ranked)
    assert np.array_equal(moves.rows, ranked.rows)
    assert np.array_equal(moves.order, np.broadcast_to(np.arange(RANKS), moves.order.shape))


def test_a_worked_example() -> None:
    gallery, rows, query = [{"a"}, {"a", "b"}, set(), {"a", "b", "c"}], [[2, 0, 1, 3]], [{"a", "b", "c"}]
    assert rerank(sets_chain(gallery), rows, query) == [[2, 0, 1, 3]]  # all totals are -1
    assert rerank(sets_chain(gallery, beta=2.0), rows, query) == [[3, 1, 0, 2]]
    assert rerank(sets_chain(gallery, alpha=0.1), rows, query) == [[3, 1, 0, 2]]
    for kind in OVERLAPS:
        assert rerank(sets_chain([set()] * 4, overlap=kind), rows, query) == rows, "nothing is shared"


def test_the_literal_sign_of_the_paper_puts_the_worst_first() -> None:
    """total = alpha * -rank + beta * overlap with alpha = -2 grows with the rank: equal overlaps come out reversed."""
    ranks, overlap = np.arange(1, 6), np.full(5, 2)
    literal = -2 * -ranks + 2 * overlap
    assert np.argsort(-literal).tolist() == [4, 3, 2, 1, 0]
    gallery = [{"a", "b"}] * 5
    assert rerank(sets_chain(gallery, alpha=2.0, beta=2.0), [range(5)], [{"a", "b"}]) == [[0, 1, 2, 3, 4]]


def test_rare_attributes_weigh_more_and_ubiquitous_ones_nothing() -> None:
    weights = inverse_frequencies(np.array([[True, True], [True, False], [True, False]]))
    assert weights.tolist() == [0, pytest.approx(math.log(2))]


def test_rows_that_do_not_fit_are_named() -> None:
    with pytest.raises(RerankError, match=r"for 2 queries"):
        rerank(sets_chain([{"a"}]), np.zeros((1, 3), np.int64), [{"a"}, {"b"}])
    with pytest.raises(RerankError, match="the gallery has 1 images"):
        rerank(sets_chain([{"a"}]), [[0, 1]], [{"a"}])
