"""The cluster bootstrap: against explicit loops, its coverage, and what it must not depend on."""

import numpy as np
import pytest

from croquis.evaluation import bootstrap
from croquis.evaluation.bootstrap import bootstrap_interval, bootstrap_intervals, paired_gain, resampled_means


def clustered(rng, items=40, queries=4, spread=0.3):
    """Queries whose values share their item's level; the expected mean is 0.5."""
    level = rng.normal(0.5, spread, size=items)
    values = np.repeat(level, queries) + rng.normal(0, 0.05, size=items * queries)
    return values, np.repeat([f"item-{i:03d}" for i in range(items)], queries)


def test_resamples_equal_an_explicit_loop_over_drawn_items():
    rng = np.random.default_rng(1)
    values, items = rng.random(7), np.array(["b", "a", "b", "c", "c", "c", "a"])
    drawn = np.random.default_rng(5).integers(0, 3, size=(20, 3))
    expected = []
    for names in drawn:
        queries = [value for name in names for value, item in zip(values, items, strict=True) if item == "abc"[name]]
        expected.append(np.mean(queries))
    np.testing.assert_allclose(resampled_means(values[:, None], items, 20, seed=5)[:, 0], expected)


def test_ninety_five_percent_intervals_cover_the_truth_about_that_often():
    rng = np.random.default_rng(0)
    covered = sum(bootstrap_interval(*clustered(rng), resamples=300, seed=trial).contains(0.5) for trial in range(300))
    assert 0.90 <= covered / 300 <= 0.98


def test_drawing_queries_instead_of_items_would_cover_far_too_rarely():
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(100):
        values, _ = clustered(rng)
        covered += bootstrap_interval(values, np.arange(len(values)), resamples=300, seed=trial).contains(0.5)
    assert covered / 100 < 0.85


def test_same_seed_same_interval_whatever_the_order_of_the_queries():
    values, items = clustered(np.random.default_rng(2))
    order = np.random.default_rng(3).permutation(len(values))
    first = bootstrap_interval(values, items, seed=9)
    assert first == bootstrap_interval(values, items, seed=9)
    assert first != bootstrap_interval(values, items, seed=10)
    shuffled = bootstrap_interval(values[order], items[order], seed=9)
    assert (shuffled.low, shuffled.high) == pytest.approx((first.low, first.high))


def test_the_weights_do_not_depend_on_how_many_are_held_at_a_time(monkeypatch):
    values, items = clustered(np.random.default_rng(2))
    whole = resampled_means(values[:, None], items, 50, seed=4)
    monkeypatch.setattr(bootstrap, "WEIGHTS_HELD", 3 * 40)
    np.testing.assert_allclose(resampled_means(values[:, None], items, 50, seed=4), whole)


def test_columns_share_their_resamples():
    values, items = clustered(np.random.default_rng(2))
    both = bootstrap_intervals(np.stack([values, values + 1.0], axis=1), items)
    assert both[1].low == pytest.approx(both[0].low + 1.0)
    alone = bootstrap_interval(values, items)
    assert (both[0].value, both[0].low, both[0].high) == pytest.approx((alone.value, alone.low, alone.high))


def test_a_constant_has_an_interval_without_width():
    interval = bootstrap_interval(np.ones(6), np.arange(6))
    assert (interval.low, interval.value, interval.high) == (1.0, 1.0, 1.0)


def test_pairing_sees_a_gain_that_two_separate_intervals_do_not():
    values, items = clustered(np.random.default_rng(6))
    better = values + np.random.default_rng(7).normal(0.02, 0.02, size=len(values))
    apart = bootstrap_interval(values, items), bootstrap_interval(better, items)
    assert apart[0].high > apart[1].low
    gain = paired_gain(values, better, items)
    assert gain.interval.low > 0
    assert gain.probability > 0.99


def test_two_equal_retrievers_gain_with_probability_one_half():
    values, items = clustered(np.random.default_rng(6))
    gain = paired_gain(values, values.copy(), items)
    assert (gain.probability, gain.interval.value) == (0.5, 0.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bootstrap_interval(np.ones(0), np.ones(0)), "at least one query"),
        (lambda: bootstrap_interval(np.ones(3), np.ones(2)), "3 values for 2 items"),
        (lambda: bootstrap_interval(np.ones(3), np.ones(3), confidence=1.0), "confidence is 1.0"),
        (lambda: paired_gain(np.ones(3), np.ones(2), np.ones(3)), "same queries"),
    ],
)
def test_wrong_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
