"""Chains of re-rankers: what each step looks at, what never changes, and what is told of a move."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from croquis.index.ranking import RankedLists
from croquis.plugins import RERANKERS
from croquis.rerank.chain import Chain
from croquis.rerank.evidence import GalleryEvidence, QueryEvidence
from croquis.rerank.overlap import RerankError
from croquis.rerank.rerank_settings import RerankBlock, check_depth
from tests.support.reranking import BLOCK, DIM, GALLERY, NAMES, decide, world

CHAINS = [chain for length in (1, 2) for chain in permutations(RERANKERS.built_in, length)] + [RERANKERS.built_in]


@pytest.mark.parametrize("steps", CHAINS, ids="+".join)
@settings(max_examples=6, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    depth=st.integers(2, 40),
    kind=st.sampled_from(["count", "jaccard", "idf"]),
    standing=st.sampled_from(["rank", "score"]),
)
def test_the_first_depth_results_stay_the_same_set(
    steps: tuple[str, ...], seed: int, depth: int, kind: str, standing: str
) -> None:
    """So depth = k leaves hit@k as it is, whatever is right."""
    asked, known, ranked = world(seed)
    rows, block = ranked.rows, replace(BLOCK, depth=depth, overlap=kind, standing=standing)
    found = Chain(steps, block, known)(asked, ranked)
    assert np.array_equal(np.sort(found.rows[:, :depth], axis=1), np.sort(rows[:, :depth], axis=1))
    assert np.array_equal(found.rows[:, depth:], rows[:, depth:])
    assert np.array_equal(found.rows, np.take_along_axis(rows, found.order, axis=1))
    assert (found.rows[0, 11:] == -1).all(), "a list that ended early ends there still"
    right = np.isin(rows, np.random.default_rng(seed).choice(GALLERY, 8, replace=False))
    after = np.take_along_axis(right, found.order, axis=1)
    assert np.array_equal(after[:, :depth].any(axis=1), right[:, :depth].any(axis=1))


@pytest.mark.parametrize("steps", [steps for steps in CHAINS if len(steps) == 2], ids="+".join)
def test_a_chain_is_its_steps_one_after_the_other(steps: tuple[str, ...]) -> None:
    """By rank, a step needs of the one before it the new list only."""
    asked, known, ranked = world(7)
    first = Chain(steps[:1], BLOCK, known)(asked, ranked)
    second = Chain(steps[1:], BLOCK, known)(asked, RankedLists(first.rows, ranked.scores))
    assert np.array_equal(Chain(steps, BLOCK, known)(asked, ranked).rows, second.rows)


def test_by_score_a_step_weighs_the_scores_of_the_one_before_it() -> None:
    """With next to no weight on the overlap the list stays as query expansion left it, not as the search did."""
    asked, known, ranked = world(7)
    expanded = Chain(["alpha_qe"], BLOCK, known)(asked, ranked).rows
    assert not np.array_equal(expanded, ranked.rows)
    block = replace(BLOCK, alpha=1.0, beta=1e-7, standing="score")
    assert np.array_equal(Chain(["alpha_qe", "probability"], block, known)(asked, ranked).rows, expanded)


def test_what_moved_a_result_up_is_what_it_has_and_the_overtaken_lack() -> None:
    """All share attribute 0, which explains nothing; the third result has 1 and 2 besides."""
    sets = [{NAMES[0]}, {NAMES[0]}, {NAMES[0], NAMES[1], NAMES[2]}]
    held = np.array([[name in one for name in NAMES] for one in sets])
    known = GalleryEvidence(lambda rows: np.zeros((len(rows), DIM), np.float32), NAMES, lambda: sets, lambda: held)
    asked = QueryEvidence(np.zeros((1, DIM), np.float32), lambda: np.float32([[1, 0.6, 0.9, 0, 0, 0]]), decide)
    ranked = RankedLists(np.array([[0, 1, 2, -1]]), np.float32([[0.9, 0.8, 0.7, -np.inf]]))
    for step, reasons in (("attributes", (NAMES[1], NAMES[2])), ("probability", (NAMES[2], NAMES[1]))):
        chain = Chain([step], BLOCK, known)
        moves = chain(asked, ranked)
        assert moves.rows.tolist() == [[2, 0, 1, -1]]
        assert chain.explain(asked, moves, 4) == [[reasons, (), (), ()]]


def test_vectors_give_no_reasons() -> None:
    asked, known, ranked = world(9)
    chain = Chain(["k_reciprocal"], BLOCK, known)
    moves = chain(asked, ranked)
    assert not np.array_equal(moves.rows, ranked.rows)
    assert {reason for line in chain.explain(asked, moves, 10) for reason in line} == {()}


def test_the_classifier_looks_once_and_only_where_a_step_asks() -> None:
    looked: list[int] = []
    asked, known, ranked = world(2)
    counted = QueryEvidence(asked.vectors, lambda: looked.append(1) or asked.probabilities, decide)
    Chain(["alpha_qe"], BLOCK, known)(counted, ranked)
    assert not looked
    for steps in (["attributes"], ["probability"]):
        Chain(steps, BLOCK, known)(counted, ranked)
    assert len(looked) == 1


def test_the_depth_all_sorts_the_whole_list_as_its_length_does() -> None:
    asked, known, ranked = world(5)
    length = ranked.rows.shape[1]
    whole, counted, cut = (
        Chain(["k_reciprocal"], replace(BLOCK, depth=depth), known)(asked, ranked).rows
        for depth in ("all", length, length // 2)
    )
    assert np.array_equal(whole, counted)
    assert not np.array_equal(whole, cut)
    block = replace(BLOCK, depth="all")
    assert RerankBlock.from_description(json.loads(json.dumps(block.to_json())), "rerank", RerankError) == block
    for wrong in ("some", 1.5, True):
        with pytest.raises(RerankError, match="depth"):
            RerankBlock.from_description({**block.to_json(), "depth": wrong}, "rerank", RerankError)


def test_all_is_refused_for_a_gallery_that_no_shortlist_holds() -> None:
    check_depth("all", 10_000)
    check_depth(100, 1_000_000)
    with pytest.raises(RerankError, match=r"rerank\.depth is all, and the gallery has 10,001 images"):
        check_depth("all", 10_001)


@pytest.mark.parametrize(
    ("steps", "changes", "words"),
    [
        ([], {}, r"rerank.steps = \[\], must be some of"),
        (["colour"], {}, r"rerank.steps = \['colour'\]"),
        (["alpha_qe", "alpha_qe"], {}, "each once"),
        (["k_reciprocal"], {"depth": 1}, "depth = 1, must be 2 to 10000"),
        (["probability"], {"beta": -1.0}, "beta = -1.0, must be 0.0 to 100.0"),
        (["attributes"], {"alpha": -2.0}, "alpha = -2.0, must be 0.0 to 100.0"),
        (["attributes"], {"beta": float("nan")}, "beta = nan"),
        (["attributes"], {"standing": "place"}, "standing = 'place', must be one of"),
        (["attributes"], {"overlap": "cosine"}, "overlap = 'cosine', must be one of"),
    ],
)
def test_settings_that_cannot_be_followed_are_named(steps: list[str], changes: dict[str, Any], words: str) -> None:
    with pytest.raises(RerankError, match=words):
        Chain(steps, replace(BLOCK, **changes), world(1)[1])


def test_without_a_classifier_only_vectors_can_be_looked_at() -> None:
    asked, known, ranked = world(1)
    bare, blind = GalleryEvidence(known.vectors), QueryEvidence(asked.vectors)
    with pytest.raises(RerankError, match="'probability' needs an attribute classifier"):
        Chain(["probability"], BLOCK, bare)
    with pytest.raises(RerankError, match="no attribute classifier"):
        Chain(["attributes"], BLOCK, known)(blind, ranked)
    assert Chain(["alpha_qe", "k_reciprocal"], BLOCK, bare)(blind, ranked).rows.shape == ranked.rows.shape
