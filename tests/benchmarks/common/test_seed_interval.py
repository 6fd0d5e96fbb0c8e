"""Intervals over seeds, against the t table and sums by hand."""

from __future__ import annotations

import math

import pytest

from benchmarks.common.seed_interval import Spread, paired, spread

# Two-sided 95 % quantiles of Student's t, by degrees of freedom, as printed in any table.
T_TABLE = {1: 12.706, 2: 4.303, 4: 2.776, 9: 2.262}


@pytest.mark.parametrize("values", [[0.2, 0.4], [0.1, 0.2, 0.6], [1, 2, 3, 4, 10], list(range(10))])
def test_the_interval_is_the_one_of_the_table(values):
    found = spread(values)
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
    assert found.mean == pytest.approx(mean)
    assert found.half == pytest.approx(T_TABLE[len(values) - 1] * deviation / math.sqrt(len(values)), rel=1e-3)


def test_one_seed_tells_nothing_of_others():
    assert spread([0.5]) == Spread(0.5, None, 1)
    assert str(spread([0.5])) == "0.500"
    assert not spread([0.5]).excludes_zero
    with pytest.raises(ValueError, match="at least one"):
        spread([])


def test_a_difference_is_paired_by_seed():
    first, second = {1: 0.10, 2: 0.50, 3: 0.90}, {3: 1.00, 2: 0.61, 1: 0.20, 4: 0.0}
    gain = paired(first, second)
    assert gain.mean == pytest.approx(0.31 / 3)
    assert gain.half < 0.02  # though the values themselves lie far apart
    assert gain.excludes_zero
    assert f"{gain:+}".startswith("+0.103 ±")
    assert paired({1: 0.1}, {2: 0.1}) is None
