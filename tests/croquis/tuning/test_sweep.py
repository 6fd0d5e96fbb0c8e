"""Studies of fast trials: proposed in memory, stored as they are measured."""

from __future__ import annotations

import optuna
import pytest

from croquis.tuning.storage import open_storage
from croquis.tuning.study import open_study
from croquis.tuning.sweep import BEST, NEWEST, guides, measure_anchors, sweep
from tests.support.tuning.toy_task import ToyTask


@pytest.fixture
def study(tmp_path):
    return open_study(ToyTask(), open_storage(None, tmp_path))


def test_anchors_come_first_and_once(study):
    measure_anchors(study, ToyTask())
    measure_anchors(study, ToyTask())
    assert [trial.params for trial in study.trials] == ToyTask().anchors
    assert study.trials[0].value == pytest.approx(1 - 0.45**2)
    assert study.trials[1].user_attrs["settings"] == {"toy.x": 0.0, "toy.kind": "a"}


def test_trials_are_stored_with_their_values_and_find_the_top(study):
    sweep(study, ToyTask(), 120)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 120
    for trial in study.trials:
        assert trial.value == ToyTask().value(trial.params)
    assert study.best_trial.params["x"] == pytest.approx(0.7, abs=0.02)
    late = [abs(trial.params["x"] - 0.7) for trial in study.trials[60:]]
    early = [abs(trial.params["x"] - 0.7) for trial in study.trials[:10]]
    assert sum(late) / len(late) < sum(early) / len(early) / 2


def test_a_sweep_cut_short_keeps_what_it_measured(study):
    task = ToyTask()
    count = iter(range(1000))
    value = task.value

    def fail_later(point):
        if next(count) == 7:
            raise KeyboardInterrupt
        return value(point)

    task.value = fail_later
    with pytest.raises(KeyboardInterrupt):
        sweep(study, task, 50)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 7


def test_the_same_seed_proposes_the_same_and_another_worker_something_else(tmp_path):
    found = {}
    for name, worker in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        study = open_study(ToyTask(), open_storage(None, tmp_path / name))
        sweep(study, ToyTask(), 30, worker)
        found[name] = [trial.params["x"] for trial in study.trials]
    assert found["a"] == found["b"]
    assert not set(found["a"]) & set(found["c"])


def test_a_sweep_adds_no_more_than_others_have_left_to_do(study):
    sweep(study, ToyTask(), 30)
    sweep(study, ToyTask(), 100, total=90)
    assert len(study.trials) == 90
    sweep(study, ToyTask(), 100, total=80)
    assert len(study.trials) == 90


def test_tpe_is_shown_the_best_and_the_newest():
    study = optuna.create_study(direction="maximize")
    space = ToyTask().space
    for number in range(1000):
        value = 5.0 if number in (3, 400) else number % 97 / 100
        study.add_trial(
            optuna.trial.create_trial(params={"x": 0.5, "kind": "a"}, distributions=dict(space), value=value)
        )
    shown = guides(study.get_trials(deepcopy=False))
    numbers = [trial.number for trial in shown]
    assert numbers == sorted(set(numbers))
    assert {3, 400, *range(1000 - NEWEST, 1000)} <= set(numbers)
    assert len(numbers) <= BEST + NEWEST
    assert guides(study.get_trials()[:20])[-1].number == 19
