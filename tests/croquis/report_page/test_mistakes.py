"""Which queries the error browser chooses, and in which order."""

from __future__ import annotations

import numpy as np
import pytest

from croquis.report_page.method_results import QueryRanks
from croquis.report_page.mistakes import (
    Confusion,
    closest_confusions,
    moved_queries,
    queries_to_answer,
    sampled,
    won_queries,
    worst_queries,
)


def ranks(**found: int) -> QueryRanks:
    names = list(found)
    return QueryRanks(names, names, ["coat"] * len(names), np.array(list(found.values()), dtype=np.int64))


def test_what_was_not_found_is_worst_then_the_largest_rank_and_right_at_once_is_left_out() -> None:
    found = ranks(a=3, b=1, c=0, d=12, e=12, f=2)
    assert worst_queries(found) == ["c", "d", "e", "a", "f"]
    assert worst_queries(found, 2) == ["c", "d"]


def test_a_method_wins_the_queries_that_it_alone_answers_right_at_once_the_largest_gap_first() -> None:
    first, second = ranks(a=1, b=1, c=2, d=1, e=1), ranks(a=4, b=1, c=1, d=0, e=9)
    assert won_queries(first, second) == ["d", "e", "a"]
    assert won_queries(second, first) == ["c"]
    assert won_queries(first, ranks(a=4)) == ["a"]


def test_moves_are_ordered_by_the_ratio_of_the_ranks() -> None:
    before, after = ranks(a=52, b=4, c=1, d=3, e=0), ranks(a=51, b=1, c=3, d=3, e=7)
    helped, harmed = moved_queries(before, after)
    assert helped == ["e", "b", "a"]
    assert harmed == ["c"]


def test_the_confusions_that_look_most_alike_come_first_and_a_pair_of_photos_once() -> None:
    found = [Confusion("a", 1, 2, 0.9), Confusion("b", 2, 1, 0.2), Confusion("c", 3, 4, 0.5), Confusion("d", 1, 2, 0.1)]
    assert [each.query for each in closest_confusions(found)] == ["d", "c"]
    assert [each.query for each in closest_confusions(found, 1)] == ["d"]


def test_a_sample_does_not_depend_on_the_order_of_the_ids() -> None:
    names = [f"photo-{number}" for number in range(40)]
    assert sampled(names, 5) == sampled(names[::-1], 5)
    assert sampled(names, 5) != sorted(names)[:5]


@pytest.mark.parametrize(("fill_to", "count"), [(0, 2), (3, 3), (9, 4)])
def test_needed_queries_are_always_answered_and_wrong_ones_fill_up(fill_to: int, count: int) -> None:
    found = queries_to_answer([["a"], ["b", "a"]], {"x": ["b", "c"], "y": ["d"]}, fill_to)
    assert {"a", "b"} <= set(found) <= {"a", "b", "c", "d"}
    assert len(found) == count
    assert found == sorted(found)
