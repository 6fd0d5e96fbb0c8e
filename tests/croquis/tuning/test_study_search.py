"""Studies of slow trials: counting, resuming, dead workers, interruptions."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import optuna
import pytest
from filelock import FileLock
from optuna.trial import TrialState

from croquis.tuning.storage import open_storage
from croquis.tuning.study import (
    best_trial,
    done,
    fail_and_requeue,
    is_dead,
    open_study,
    requeue_stale_trials,
    this_worker,
)
from croquis.tuning.study_search import search
from croquis.tuning.task import TuneError
from tests.support.tuning import toy_task
from tests.support.tuning.toy_task import ToyTask


def run(root: Path, total: int, task: ToyTask | None = None, url: str | None = None) -> optuna.Study:
    task = task or ToyTask()
    study = open_study(task, open_storage(url, root))
    search(study, task, total, FileLock(root / "lock"), lambda _: None)
    return study


def states(study: optuna.Study) -> list[str]:
    return [trial.state.name for trial in study.get_trials(deepcopy=False)]


@pytest.fixture
def worker(tmp_path):
    """Starts a process that works on the toy study; ends it after the test."""
    started = []

    def start(total: int, hang: Path | None = None, seconds: float = 0.0) -> subprocess.Popen:
        environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
        environment["TOY_SECONDS"] = str(seconds)
        if hang:
            environment["TOY_HANG"] = str(hang)
        process = subprocess.Popen([sys.executable, toy_task.__file__, tmp_path, str(total)], env=environment)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def until(condition, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail("it did not happen in time")
        time.sleep(0.05)


@pytest.mark.parametrize("url", [None, "sqlite:///{}/optuna.db"])
def test_a_second_call_continues_to_the_same_total(tmp_path, url):
    url = url and url.format(tmp_path)
    assert done(run(tmp_path, 4, url=url)) == 4
    task = ToyTask()
    study = run(tmp_path, 7, task, url)
    assert (done(study), len(study.trials), len(task.measured)) == (7, 7, 3)
    assert len(run(tmp_path, 7, url=url).trials) == 7


def test_the_present_params_are_trial_0_and_the_other_anchors_follow(tmp_path):
    study = run(tmp_path, 3)
    assert [trial.params for trial in study.trials[:2]] == ToyTask().anchors
    assert study.trials[0].value == pytest.approx(1 - 0.45**2)
    assert study.trials[2].params not in ToyTask().anchors


def test_other_present_params_join_a_study_that_has_begun(tmp_path):
    run(tmp_path, 3)
    task = ToyTask()
    task.anchors = [{"x": 0.5, "kind": "b"}, {"x": 0.0, "kind": "a"}]
    assert run(tmp_path, 4, task).trials[3].params == {"x": 0.5, "kind": "b"}


def test_a_resumed_study_proposes_what_an_unbroken_one_does(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    whole = run(tmp_path / "one", 16)
    for total in (1, 5, 12, 16):
        parts = run(tmp_path / "two", total)
    assert [trial.params for trial in parts.trials] == [trial.params for trial in whole.trials]
    assert len({trial.params["x"] for trial in whole.trials}) == 16


def test_the_sampler_finds_the_top(tmp_path):
    assert best_trial(run(tmp_path, 40), ToyTask()).params["x"] == pytest.approx(0.7, abs=0.05)


def test_of_equals_the_one_that_changes_least_is_best(tmp_path):
    task = ToyTask()
    task.value = lambda _: 1.0
    task.anchors = task.anchors[:1]
    study = run(tmp_path, 6, task)
    assert best_trial(study, task).number == 0
    task.changes = lambda point: {} if point == study.trials[4].params else {"toy.x": 1}
    assert best_trial(study, task).number == 4


def test_a_killed_worker_loses_its_trial_only_and_the_trial_is_tried_again(tmp_path, worker):
    run(tmp_path, 2)
    mark = tmp_path / "mark"
    process = worker(6, hang=mark)
    until(mark.exists)
    process.send_signal(signal.SIGKILL)
    process.wait()
    task = ToyTask()
    study = run(tmp_path, 6, task)
    assert states(study) == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE", "COMPLETE", "COMPLETE"]
    lost, again = study.trials[2], study.trials[3]
    assert again.params == lost.params
    assert again.system_attrs["failed_trial"] == 2
    assert done(study) == 6


def test_the_trial_of_a_living_worker_is_left_alone(tmp_path, worker):
    run(tmp_path, 2)
    mark = tmp_path / "mark"
    worker(4, hang=mark)
    until(mark.exists)
    study = run(tmp_path, 4)
    assert states(study) == ["COMPLETE", "COMPLETE", "RUNNING", "COMPLETE"]
    assert requeue_stale_trials(study) == []


def test_workers_share_a_study_and_stop_at_its_total(tmp_path, worker):
    open_study(ToyTask(), open_storage(None, tmp_path))
    processes = [worker(15, seconds=0.1), worker(15, seconds=0.1)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0]
    study = open_study(ToyTask(), open_storage(None, tmp_path))
    assert states(study) == ["COMPLETE"] * 15
    assert len({trial.user_attrs["worker"] for trial in study.trials}) == 2


def test_an_interrupted_study_goes_on_with_the_trial_it_was_at(tmp_path):
    run(tmp_path, 3)
    task = ToyTask()
    task.raises = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, 5, task)
    study = run(tmp_path, 5)
    assert states(study) == ["COMPLETE"] * 3 + ["FAIL"] + ["COMPLETE"] * 2
    assert study.trials[4].params == task.measured[0]


def test_an_error_fails_the_trial_says_why_and_passes_on(tmp_path):
    task = ToyTask()
    task.raises = ZeroDivisionError("no such margin")
    with pytest.raises(ZeroDivisionError):
        run(tmp_path, 3, task)
    study = run(tmp_path, 3)
    assert states(study) == ["FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    assert "no such margin" in study.trials[0].user_attrs["error"]
    assert study.trials[1].params in ToyTask().anchors


def test_a_trial_that_kills_its_worker_each_time_is_given_up(tmp_path):
    study = open_study(ToyTask(), open_storage(None, tmp_path))
    for _ in range(2):
        trial = study.ask(dict(ToyTask().space))
        fail_and_requeue(study, study.trials[trial.number])
    assert states(study) == ["FAIL", "FAIL"]


def test_what_a_worker_measured_after_it_was_taken_for_dead_is_dropped(tmp_path):
    study = open_study(ToyTask(), open_storage(f"sqlite:///{tmp_path}/optuna.db", tmp_path))
    task, value = ToyTask(), ToyTask().value

    def buried_meanwhile(point):
        if len(task.measured) == 3:
            fail_and_requeue(study, study.trials[2])
        return value(point)

    task.value = buried_meanwhile
    search(study, task, 4, FileLock(tmp_path / "lock"), lambda _: None)
    assert states(study) == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert study.trials[3].params == study.trials[2].params


def test_who_is_dead(tmp_path):
    study = open_study(ToyTask(), open_storage(None, tmp_path))
    number = study.ask(dict(ToyTask().space)).number
    trial = study.trials[number]
    now = datetime.now()
    host, pid, start = this_worker().split("/")

    def dead(worker: str | None, age: timedelta = timedelta(0)) -> bool:
        trial.user_attrs = {} if worker is None else {"worker": worker}
        trial.datetime_start = now - age
        return is_dead(trial)

    assert not dead(f"{host}/{pid}/{start}", timedelta(days=30))
    assert dead(f"{host}/{pid}/1")  # a later process of the same number
    assert dead(f"{host}/99999999/1")
    assert not dead(f"elsewhere/{pid}/1", timedelta(hours=3))
    assert dead(f"elsewhere/{pid}/1", timedelta(hours=25))
    assert not dead(None, timedelta(seconds=1))
    assert dead(None, timedelta(minutes=2))


def test_storages_that_cannot_be_opened_say_so(tmp_path):
    with pytest.raises(TuneError, match="not a database URL"):
        open_storage("optuna.db", tmp_path)
    with pytest.raises(TuneError, match="cannot be opened"):
        open_storage(f"sqlite:///{tmp_path}/no/such/folder/optuna.db", tmp_path)


def test_the_optuna_command_reads_the_journal(tmp_path):
    study = run(tmp_path, 3)
    command = [Path(sys.executable).parent / "optuna", "--storage", tmp_path / "mlruns/optuna.log"]
    command += ["--storage-class", "JournalFileBackend", "best-trial", "--study-name", "toy", "-f", "json"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f'"number": {study.best_trial.number}' in shown


def test_pruned_trials_count_as_done(tmp_path):
    task = ToyTask()
    task.raises = optuna.TrialPruned()
    study = run(tmp_path, 2, task)
    assert states(study) == [TrialState.PRUNED.name] * 2
    with pytest.raises(TuneError, match="no completed trial"):
        best_trial(study, task)
