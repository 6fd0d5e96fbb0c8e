"""A map of other shops, and the figures of one that it has not seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.leaderboards.other_shops import WAYS, Shop, map_of, measure, shops_table
from croquis.evaluation.protocol import PROTOCOLS
from croquis.evaluation.ranked_answers import RelevanceJudge
from croquis.index.ranking import NO_ROW
from lightning_modules.maps.closed_form import LabelledVectors

DIM, ITEMS = 12, 30


def photos(seed: int, each: int) -> tuple[np.ndarray, np.ndarray]:
    """Items differ in the first nine numbers, photos of one item far more in the last three."""
    rng = np.random.default_rng(seed)
    items = np.repeat(np.arange(ITEMS), each)
    vectors = rng.normal(size=(len(items), DIM)) * np.r_[np.full(9, 0.3), np.full(3, 4.0)]
    vectors[:, :9] += rng.normal(size=(ITEMS, 9))[items]
    return (vectors + seed).astype(np.float32), items


def shop(seed: int) -> Shop:
    """Of each item one photo is searched and one asks."""
    fitted, items = photos(seed, 6)
    test, owners = photos(seed + 100, 2)
    labelled = LabelledVectors(fitted, items, np.ones(len(items), dtype=np.bool_))
    own, right = np.full((ITEMS, 1), NO_ROW), np.ones(ITEMS, dtype=np.int64)
    judge = RelevanceJudge(owners[::2], owners[1::2], own, right, PROTOCOLS["instance"])
    return Shop(labelled, test[1::2], test[::2], slice(9, 12), judge, by_item=True)


def test_a_map_of_other_shops_tells_the_items_of_a_new_one() -> None:
    found = measure({"a": shop(1), "b": shop(2), "c": shop(3)}, "a")
    assert found["measure"] == "hit@1"
    assert found["figures"]["map of the other sets"] > 0.6
    assert max(found["figures"][way] for way in WAYS[:3]) <= 0.5


def test_the_labels_of_the_new_shop_are_not_used() -> None:
    shops = {"a": shop(1), "b": shop(2)}
    shuffled = replace(shops["a"].train, items=np.random.default_rng(0).permutation(shops["a"].train.items))
    assert measure(shops, "a") == measure(shops | {"a": replace(shops["a"], train=shuffled)}, "a")


def test_items_of_two_shops_are_not_one() -> None:
    """Of shops whose items have one number each, the map takes off what photos of one item of one shop differ in."""
    one, other = shop(1), shop(2)
    moved = replace(other, train=replace(other.train, items=other.train.items[::-1].copy()))
    np.testing.assert_allclose(np.abs(map_of([one, other])), np.abs(map_of([one, moved])), atol=1e-3)


def test_the_table_has_a_row_per_set() -> None:
    cells = {"a set": {"measure": "hit@1", "figures": dict.fromkeys(WAYS, 0.25)}}
    assert "| a set | hit@1 | 0.250 | 0.250 | 0.250 | 0.250 |" in shops_table({"cells": cells}, None)


@pytest.mark.parametrize("by_item", [True, False])
def test_figures_are_of_the_first_or_the_first_five(by_item: bool) -> None:
    """One of 30 gallery photos is right: it is first, and a fifth of five."""
    known = replace(shop(1), by_item=by_item)
    assert known.figure(known.gallery, known.gallery) == pytest.approx(1.0 if by_item else 0.2)
