"""Ties, self matches and relevance of ranked lists."""

import numpy as np
import pytest

from croquis.index.ranking import NO_ROW, RankedLists, drop_rows, label_blind_keys, relevance_of


def lists(rows, scores):
    return RankedLists(np.array(rows, dtype=np.int64), np.array(scores, dtype=np.float32))


def test_keys_are_distinct_stable_and_not_in_the_order_of_the_ids():
    keys = label_blind_keys([f"image-{i}" for i in range(1000)])
    assert len(set(keys.tolist())) == 1000
    assert abs(np.corrcoef(np.arange(1000), keys.argsort().argsort())[0, 1]) < 0.1
    assert label_blind_keys(["image-0"])[0] == keys[0]


def test_the_query_itself_is_taken_out_and_the_rest_moves_up():
    ranked = lists([[4, 2, 9], [7, 8, 9]], [[0.9, 0.8, 0.7], [0.9, 0.8, 0.7]])
    left = drop_rows(ranked, np.array([[2, NO_ROW], [NO_ROW, NO_ROW]]))
    assert left.rows.tolist() == [[4, 9, NO_ROW], [7, 8, 9]]
    assert left.scores[0].tolist() == pytest.approx([0.9, 0.7, -np.inf])


def test_relevance_follows_the_label_and_ended_lists_hold_nothing_relevant():
    labels = np.array([5, 6, 5])
    relevance = relevance_of(lists([[2, 1, 0], [1, NO_ROW, NO_ROW]], np.zeros((2, 3))), np.array([5, 5]), labels)
    assert relevance.tolist() == [[True, False, True], [False, False, False]]
