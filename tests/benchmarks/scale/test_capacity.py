"""Capacity: the fits, the queue and the plan, held against what is known of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.scale.capacity import CapacityError, CapacityLine, Demand, Machine, fit, plan, services, simulate

STEADY = (1.0,)
MACHINE = Machine(cores=8, memory_gib=64, core_hour=0.05, gib_hour=0.01, fill=0.5)


@pytest.mark.parametrize(("growth", "shape"), [("linear", float), ("root", math.sqrt), ("log", math.log)])
def test_a_fit_finds_the_line_and_its_inverse(growth, shape):
    line = fit(growth, {n: 0.5 + 0.001 * shape(n) for n in (1000, 50_000, 2_000_000)}, STEADY)
    assert (line.start, line.slope) == pytest.approx((0.5, 0.001))
    assert line.at(line.largest(0.51)) == pytest.approx(0.51)
    assert line.largest(0.4) == 0


def test_a_line_goes_neither_below_nothing_nor_down():
    below = fit("linear", {1000: 0.1, 2000: 2.0, 3000: 4.2}, STEADY)
    assert below.start == 0
    assert below.at(2000) == pytest.approx(2.4, rel=0.2)
    down = fit("log", {1000: 3.0, 100_000: 1.0}, STEADY)
    assert (down.start, down.slope, down.largest(100)) == (2.0, 0.0, math.inf)


def test_the_queue_is_that_of_the_textbook():
    """M/M/1: the time in the system is exponential with the rate mu - lambda (Kleinrock 1975, 3.2)."""
    times = np.random.default_rng(3).exponential(10.0, 200_000)
    assert simulate(50.0, 1, times) == pytest.approx(math.log(100) / (0.1 - 0.05), rel=0.1)


def test_more_teams_wait_less_and_nobody_waits_for_enough_of_them():
    times = np.full(5000, 10.0)
    assert simulate(150.0, 2, times) > simulate(150.0, 3, times) > 10
    assert simulate(150.0, 50, times) == pytest.approx(10)


def test_a_team_lasts_as_long_as_its_slowest_shard():
    line = CapacityLine("linear", 0.0, 0.001, (1.0, 2.0))
    assert set(services(line, 1000, 1)) == {1.0, 2.0}
    assert set(services(line, 64_000, 64)) == {2.0}


def test_a_plan_holds_the_limit_with_the_machines_that_it_names():
    line = CapacityLine("linear", 0.0, 1e-4, (0.9, 1.0, 1.5))  # 100 ms for a million
    need = plan(Demand(10_000_000, queries=20, limit_ms=100), line, 1000, 50, 10, MACHINE)
    assert need.p99_ms <= 100
    assert line.at(10_000_000 / need.shards) * 1.5 <= 50
    assert need.encoding == 2  # 20/s x 50 ms, half of each core
    cores = need.shards * need.teams + need.encoding
    assert need.machines >= cores / 8
    assert need.memory_gib == pytest.approx(need.copies * 1e10 / 2**30)
    assert need.machines >= need.memory_gib / 32
    assert need.rebuild_cores == math.ceil(1e7 / 10 / 86400)
    assert need.month == pytest.approx(need.machines * 730 * (8 * 0.05 + 64 * 0.01))


def test_memory_alone_can_ask_for_machines():
    need = plan(Demand(10**9, queries=1), CapacityLine("log", 1.0, 0.0, STEADY), 512, 10, 100, MACHINE)
    assert (need.shards, need.teams, need.machines) == (1, 1, math.ceil(512e9 / 2**30 / 32))


def test_what_no_number_of_shards_can_do_is_said():
    with pytest.raises(CapacityError, match="4096 shards need"):
        plan(Demand(1000), CapacityLine("log", 500.0, 0.0, STEADY), 1, 1, 1, MACHINE)
