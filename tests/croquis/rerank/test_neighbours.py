"""k-reciprocal re-ranking and alpha query expansion against loops from the papers and points placed by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from croquis.rerank.rerankers.alpha_qe import alpha_qe_scores
from croquis.rerank.rerankers.k_reciprocal import MAJORITIES, k_reciprocal_scores
from croquis.rerank.steps import unit_rows


def at(*degrees: float) -> np.ndarray:
    """Points on the unit circle, (n, 2)."""
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1)


def k_reciprocal_order(query: np.ndarray, shortlist: np.ndarray, **settings: Any) -> np.ndarray:
    return np.argsort(-k_reciprocal_scores(query, shortlist, **settings), kind="stable")


def alpha_qe_order(query: np.ndarray, shortlist: np.ndarray, **settings: Any) -> np.ndarray:
    return np.argsort(-alpha_qe_scores(query, shortlist, **settings), kind="stable")


def by_loops(
    query: np.ndarray, shortlist: np.ndarray, k1: int, k2: int, weight: float, majority: str = "paper"
) -> list[int]:
    """Zhong et al. 2017, equations 1 to 12, read aloud with sets."""
    points = [each / np.linalg.norm(each) for each in [query, *shortlist]]
    count = len(points)
    plain = [[max(0.0, 2 - 2 * float(a @ b)) for b in points] for a in points]
    plain = [[value / max(line) for value in line] for line in plain]
    ranked = [sorted(range(count), key=lambda j, i=i: (plain[i][j], j)) for i in range(count)]

    def nearest(i: int, k: int) -> set[int]:
        return set(ranked[i][: k + 1]) | {i}

    def reciprocal(i: int, k: int) -> set[int]:
        return {j for j in nearest(i, k) if i in nearest(j, k)}

    half = max(1, round(k1 / 2))
    encoded = []
    for i in range(count):
        own = reciprocal(i, k1)
        whole = set(own)
        for j in own:
            other = reciprocal(j, half)
            known = 3 * len(own & other)
            if known > 2 * len(other) or (majority == "paper" and known == 2 * len(other)):
                whole |= other
        line = [math.exp(-plain[i][j]) if j in whole else 0.0 for j in range(count)]
        encoded.append([value / sum(line) for value in line])
    if k2 > 1:
        encoded = [[sum(encoded[j][g] for j in ranked[i][:k2]) / k2 for g in range(count)] for i in range(count)]
    final = []
    for j in range(1, count):
        least = sum(min(a, b) for a, b in zip(encoded[0], encoded[j], strict=True))
        most = sum(max(a, b) for a, b in zip(encoded[0], encoded[j], strict=True))
        final.append(round((1 - weight) * (1 - least / most) + weight * plain[0][j], 10))
    return sorted(range(count - 1), key=lambda j: (final[j], j))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    k1=st.integers(1, 12),
    k2=st.integers(1, 6),
    weight=st.sampled_from([0.0, 0.3, 0.75, 1.0]),
    majority=st.sampled_from(MAJORITIES),
)
def test_k_reciprocal_equals_the_paper_in_loops(seed: int, k1: int, k2: int, weight: float, majority: str) -> None:
    random = np.random.default_rng(seed)
    query, shortlist = random.normal(size=4), random.normal(size=(14, 4))
    shortlist = shortlist[np.argsort(-unit_rows(shortlist) @ unit_rows(query), kind="stable")]
    found = k_reciprocal_order(query, shortlist, neighbours=k1, expansion=k2, distance_weight=weight, majority=majority)
    assert found.tolist() == by_loops(query, shortlist, k1, k2, weight, majority)


def test_the_papers_and_the_official_majority_differ_where_two_thirds_are_known() -> None:
    random = np.random.default_rng(3)
    different = 0
    for _ in range(20):
        query, shortlist = random.normal(size=4), random.normal(size=(14, 4))
        paper, official = (
            k_reciprocal_scores(query, shortlist, neighbours=6, expansion=1, distance_weight=0.3, majority=majority)
            for majority in MAJORITIES
        )
        different += not np.array_equal(paper, official)
    assert different > 5


def test_k_reciprocal_brings_up_the_photos_that_have_the_query_among_their_neighbours() -> None:
    """The intruder is nearest but sits in a crowd of its own; the two behind it have the query among their nearest."""
    query = at(0)[0]
    shortlist = at(-9, 10, 11, -10, -10.5, -11, -11.5)
    found = k_reciprocal_order(query, shortlist, neighbours=3, expansion=1, distance_weight=0.0)
    assert found[:2].tolist() == [1, 2]
    still = k_reciprocal_order(query, shortlist, neighbours=3, expansion=1, distance_weight=1.0)
    assert still[0] == 0, "by the plain distance the intruder stays first"


def test_alpha_qe_on_points_placed_by_hand() -> None:
    """Query at 0, results at 20, -21 and 30 degrees. With the first joined, its weight is cos(20) ** power: at power 0 the
    query becomes 10 degrees, nearer to 30 than to -21; at power 40 (weight 0.083) it becomes 1.5 degrees, and nothing moves.
    """
    query, shortlist = at(0)[0], at(20, -21, 30)
    assert alpha_qe_order(query, shortlist, neighbours=1, power=0).tolist() == [0, 2, 1]
    assert alpha_qe_order(query, shortlist, neighbours=1, power=40).tolist() == [0, 1, 2]
    # Joined by 20 and -21 alike it stays close to 0.
    assert alpha_qe_order(query, shortlist, neighbours=2, power=0).tolist() == [0, 1, 2]


def test_alpha_qe_gives_no_weight_to_results_on_the_other_side() -> None:
    """The one at 100 degrees would push the query away from itself, to 26 degrees below 0, nearer to -60 than to 50."""
    query, shortlist = at(0)[0], at(50, -60, 100)
    pushed = unit_rows(query + np.array([math.cos(math.radians(100)) * 10]) @ shortlist[2:])
    assert np.argsort(-shortlist @ pushed).tolist()[0] == 1, "with its negative cosine the order would change"
    assert alpha_qe_order(query, shortlist[[2, 0, 1]], neighbours=1, power=1).tolist() == [1, 2, 0]


@pytest.mark.parametrize("length", [0.1, 1.0, 50.0])
def test_the_length_of_vectors_does_not_matter(length: float) -> None:
    random = np.random.default_rng(4)
    query, shortlist = random.normal(size=5), random.normal(size=(9, 5))
    for order in (
        lambda a, b: k_reciprocal_order(a, b, neighbours=4, expansion=2, distance_weight=0.3),
        lambda a, b: alpha_qe_order(a, b, neighbours=3, power=2.0),
    ):
        assert order(query, shortlist).tolist() == order(query * length, shortlist * length).tolist()


def test_one_result_and_equal_results_keep_their_places() -> None:
    one, same = at(10), np.repeat(at(10), 4, axis=0)
    for shortlist in (one, same):
        count = list(range(len(shortlist)))
        assert k_reciprocal_order(at(0)[0], shortlist, neighbours=2, expansion=2, distance_weight=0.3).tolist() == count
        assert alpha_qe_order(at(0)[0], shortlist, neighbours=2, power=1.0).tolist() == count


# Thirteen directions sin(1.3 i + 0.7 j (1 + 0.1 i) + 0.25), i of 13 and j of 5, to six decimals: the first asks, the others
# by their cosine to it. Expected: scores computed once on 2026-11-29 in plain Python from the papers' equations (Zhong et
# al. 2017, k1 6, k2 3, lambda 0.3; `official` with the test `> 2/3` of zhunzhong07/person-re-ranking at HEAD, read 2026-11;
# alpha-QE of Radenovic et al. 2019, n 3, alpha 3).
SCORES = {
    "paper": [
        -0.27505795,
        -0.39075457,
        -0.18266107,
        -0.44690266,
        -0.52134301,
        -0.56138216,
        -0.62556601,
        -0.67162248,
        -0.65845748,
        -0.70669417,
        -0.71928358,
        -0.77663467,
    ],
    "official": [
        -0.27505795,
        -0.38641146,
        -0.18266107,
        -0.46466775,
        -0.53295445,
        -0.57238403,
        -0.61832595,
        -0.66534425,
        -0.65845748,
        -0.70255288,
        -0.7153637,
        -0.77663467,
    ],
    "alpha_qe": [
        0.77279259,
        0.42297547,
        0.53912366,
        0.34783223,
        0.06731942,
        0.02329003,
        -0.17843808,
        -0.25950187,
        -0.47670773,
        -0.54297339,
        -0.53063219,
        -0.96222138,
    ],
}


def waves() -> tuple[np.ndarray, np.ndarray]:
    rows = [[round(math.sin(1.3 * i + 0.7 * j * (1 + 0.1 * i) + 0.25), 6) for j in range(5)] for i in range(13)]
    points = unit_rows(np.array(rows))
    return points[0], points[1:][np.argsort(-points[1:] @ points[0], kind="stable")]


@pytest.mark.parametrize("majority", MAJORITIES)
def test_k_reciprocal_gives_the_scores_of_the_equations(majority: str) -> None:
    query, shortlist = waves()
    found = k_reciprocal_scores(query, shortlist, neighbours=6, expansion=3, distance_weight=0.3, majority=majority)
    assert found.tolist() == pytest.approx(SCORES[majority], abs=1e-7)


def test_alpha_qe_gives_the_scores_of_the_equation() -> None:
    query, shortlist = waves()
    found = alpha_qe_scores(query, shortlist, neighbours=3, power=3.0)
    assert found.tolist() == pytest.approx(SCORES["alpha_qe"], abs=1e-7)
