"""Every metric against a brute-force oracle that walks the list as the definition reads."""

import doctest
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from croquis.evaluation import chance_levels, metrics


@st.composite
def rankings(draw):
    """(relevance (Q, depth), n_relevant (Q,)) where the gallery may hold relevant images beyond the list."""
    queries, depth = draw(st.integers(1, 6)), draw(st.integers(1, 12))
    cells = draw(st.lists(st.booleans(), min_size=queries * depth, max_size=queries * depth))
    relevance = np.array(cells, dtype=bool).reshape(queries, depth)
    unseen = draw(st.lists(st.integers(0, 4), min_size=queries, max_size=queries))
    return relevance, np.minimum(relevance.sum(axis=1) + np.array(unseen), depth)


def slow_average_precision(ranked: list[bool], last: int, divisor: int) -> float:
    hits, total = 0, 0.0
    for rank, relevant in enumerate(ranked[:last], start=1):
        if relevant:
            hits += 1
            total += hits / rank
    return total / divisor if divisor else 0.0


@settings(max_examples=60, deadline=None)
@given(rankings(), st.integers(1, 15))
def test_hits_precision_and_reciprocal_rank_match_the_oracle(ranking, k):
    relevance, _ = ranking
    for query, ranked in enumerate(relevance.tolist()):
        places = [rank for rank, relevant in enumerate(ranked, start=1) if relevant]
        assert metrics.hit_at_k(relevance, k)[query] == float(any(place <= k for place in places))
        assert metrics.precision_at_k(relevance, k)[query] == pytest.approx(sum(p <= k for p in places) / k)
        assert metrics.first_hit_rank(relevance)[query] == (places[0] if places else 0)
        assert metrics.reciprocal_rank(relevance)[query] == pytest.approx(1 / places[0] if places else 0.0)


@settings(max_examples=60, deadline=None)
@given(rankings())
def test_average_precisions_match_the_oracle(ranking):
    relevance, counts = ranking
    depth = relevance.shape[1]
    at_r = metrics.average_precision_at_r(relevance, counts)
    by_all = metrics.average_precision(relevance, counts)
    by_hits = metrics.average_precision(relevance, counts, "hits")
    for query, ranked in enumerate(relevance.tolist()):
        count = int(counts[query])
        assert at_r[query] == pytest.approx(slow_average_precision(ranked, count, count))
        assert by_all[query] == pytest.approx(slow_average_precision(ranked, depth, min(count, depth)))
        assert by_hits[query] == pytest.approx(slow_average_precision(ranked, depth, sum(ranked)))


@settings(max_examples=40, deadline=None)
@given(rankings())
def test_every_metric_lies_between_zero_and_one_and_hits_grow_with_k(ranking):
    table = metrics.metric_table(*ranking)
    assert all(((values >= 0) & (values <= 1)).all() for values in table.values())
    for small, large in itertools.pairwise(metrics.REPORTED_K):
        assert (table[f"hit@{small}"] <= table[f"hit@{large}"]).all()


def test_a_perfect_ranking_scores_one_and_an_empty_one_zero():
    perfect = np.array([[True, True, True, False]])
    missed = np.zeros((1, 4), dtype=bool)
    for name in ("hit@1", "map@r", "mrr"):
        assert metrics.metric_table(perfect, np.array([3]))[name][0] == 1.0
        assert metrics.metric_table(missed, np.array([3]))[name][0] == 0.0


def test_the_normalisers_differ_as_the_reference_libraries_do():
    # One hit at rank 1, four relevant, list of five: 0.25 by what could be found, 1.00 by what was found.
    ranked, counts = np.array([[True, False, False, False, False]]), np.array([4])
    assert metrics.average_precision(ranked, counts)[0] == pytest.approx(0.25)
    assert metrics.average_precision(ranked, counts, "hits")[0] == pytest.approx(1.0)


def test_a_list_too_short_for_map_at_r_is_refused():
    with pytest.raises(ValueError, match=r"depth 7 \(the largest R\), got 3: raise evaluate.depth"):
        metrics.average_precision_at_r(np.zeros((2, 3), dtype=bool), np.array([1, 7]))


@pytest.mark.parametrize(
    ("relevance", "counts", "message"),
    [
        (np.ones((1, 3), dtype=bool), np.array([2]), "3 relevant results but n_relevant says 2"),
        (np.ones((2, 3), dtype=bool), np.array([3]), "one count per query"),
    ],
)
def test_counts_that_contradict_the_list_are_refused(relevance, counts, message):
    with pytest.raises(ValueError, match=message):
        metrics.average_precision_at_r(relevance, counts)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="k is 0"):
        metrics.hit_at_k(np.ones((1, 1), dtype=bool), 0)
    with pytest.raises(ValueError, match="'retrievable' or 'hits'"):
        metrics.average_precision(np.ones((1, 1), dtype=bool), np.array([1]), "found")


def test_no_queries_give_empty_columns():
    table = metrics.metric_table(np.zeros((0, 10), dtype=bool), np.zeros(0, dtype=int))
    assert {len(values) for values in table.values()} == {0}


@pytest.mark.parametrize(("size", "relevant"), [(1, 1), (4, 1), (5, 2), (6, 3), (6, 6), (7, 4)])
def test_chance_levels_are_the_mean_over_every_order_of_the_gallery(size, relevant):
    orders = np.array(list(itertools.combinations(range(size), relevant)))
    relevance = np.zeros((len(orders), size), dtype=bool)
    np.put_along_axis(relevance, orders, True, axis=1)
    counts = np.full(len(orders), relevant)
    reported_k = (1, 2, 5, 9)
    reported = metrics.reported_metrics(reported_k=reported_k)
    expected = metrics.metric_table(relevance, counts, reported)
    levels = metrics.chance_table(np.array([size]), np.array([relevant]), size, reported)
    assert set(levels) == set(expected)
    for name, level in levels.items():
        assert level == pytest.approx(expected[name].mean()), name


@pytest.mark.parametrize(("average", "normaliser"), [
    ("map@all", "retrievable"), ("map@3", "retrievable"), ("map@3", "hits"), ("map@1", "hits"), ("map@9", "hits"),
])  # fmt: skip
@pytest.mark.parametrize(("size", "relevant"), [(1, 1), (4, 1), (5, 2), (6, 3), (6, 6), (7, 4)])
def test_chance_of_each_average_precision_is_the_mean_over_every_order(size, relevant, average, normaliser):
    orders = np.array(list(itertools.combinations(range(size), relevant)))
    relevance = np.zeros((len(orders), size), dtype=bool)
    np.put_along_axis(relevance, orders, True, axis=1)
    reported = metrics.reported_metrics(average, normaliser, (1,))
    values = metrics.metric_table(relevance, np.full(len(orders), relevant), reported)[average]
    levels = metrics.chance_table(np.array([size]), np.array([relevant]), size, reported)
    assert levels[average] == pytest.approx(values.mean())


@pytest.mark.parametrize("name", ["map@", "map@some", "hit@1", "map@-3"])
def test_an_average_precision_of_no_known_name_is_refused(name):
    with pytest.raises(ValueError, match="not an average precision"):
        metrics.named_average_precision(name, np.ones((1, 1), dtype=bool), np.array([1]))


def test_chance_of_a_query_without_relevant_images_is_zero():
    assert chance_levels.chance_hit_at_k(np.array([3]), np.array([0]), 5)[0] == 0.0
    assert chance_levels.chance_average_precision_at_r(np.array([3]), np.array([0]))[0] == 0.0


def test_chance_averages_over_queries_with_different_galleries():
    levels = metrics.chance_table(np.array([10, 20, 10]), np.array([1, 2, 5]), 10)
    assert levels["hit@1"] == pytest.approx((0.1 + 0.1 + 0.5) / 3)


@pytest.mark.parametrize("module", [metrics, chance_levels])
def test_the_worked_examples_of_the_docstrings_hold(module):
    result = doctest.testmod(module)
    assert result.attempted > 3
    assert result.failed == 0
