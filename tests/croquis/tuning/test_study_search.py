"""Studies: counting, resuming, killed workers, interruptions."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from croquis.tuning.storage import JOURNAL, open_storage
from croquis.tuning.study import best_trial, done, open_study
from croquis.tuning.task import TuneError
from tests.support.tuning import toy_task
from tests.support.tuning.toy_task import ToyTask, states, work

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Start]:
    """Starts a process that works on the toy study; ends it after the test."""
    started = []

    def start(total: int, **settings: object) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path.cwd()),
            **{name: str(each) for name, each in settings.items()},
        }
        process = subprocess.Popen([sys.executable, toy_task.__file__, tmp_path, str(total)], env=environment)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def until(condition: Callable[[], bool], seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail("it did not happen in time")
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("url", [None, "sqlite:///{}/optuna.db"])
def test_a_second_call_continues_to_the_same_total(tmp_path, url):
    url = url and url.format(tmp_path)
    assert done(work(tmp_path, 4, url=url)) == 4
    task = ToyTask()
    study = work(tmp_path, 7, task, url)
    assert (done(study), len(study.trials), len(task.measured)) == (7, 7, 3)
    assert len(work(tmp_path, 7, url=url).trials) == 7


def test_the_present_params_are_trial_0_and_the_other_anchors_follow(tmp_path):
    study = work(tmp_path, 3)
    assert [trial.params for trial in study.trials[:2]] == ToyTask().anchors
    assert study.trials[0].value == pytest.approx(1 - 0.45**2)
    assert study.trials[2].params not in ToyTask().anchors
    assert study.trials[2].user_attrs["settings"] == ToyTask().settings(study.trials[2].params)


def test_other_present_params_join_a_study_that_has_begun(tmp_path):
    work(tmp_path, 3)
    task = ToyTask()
    task.anchors = [{"x": 0.5, "kind": "b"}, {"x": 0.0, "kind": "a"}]
    assert work(tmp_path, 4, task).trials[3].params == {"x": 0.5, "kind": "b"}


def test_a_resumed_study_proposes_what_an_unbroken_one_does(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    whole = work(tmp_path / "one", 16)
    for total in (1, 5, 12, 16):
        parts = work(tmp_path / "two", total)
    assert [trial.params for trial in parts.trials] == [trial.params for trial in whole.trials]
    assert len({trial.params["x"] for trial in whole.trials}) == 16


def test_the_sampler_finds_the_top(tmp_path):
    assert best_trial(work(tmp_path, 40), ToyTask()).params["x"] == pytest.approx(0.7, abs=0.05)


def test_of_equals_the_one_that_changes_least_is_best(tmp_path):
    task = ToyTask()
    task.value = lambda _: 1.0
    task.anchors = task.anchors[:1]
    study = work(tmp_path, 6, task)
    assert best_trial(study, task).number == 0
    task.changes = lambda point: {} if point == study.trials[4].params else {"toy.x": 1}
    assert best_trial(study, task).number == 4


@pytest.mark.slow
def test_a_killed_worker_loses_its_trial_only_and_the_trial_is_tried_again(tmp_path, worker):
    work(tmp_path, 2)
    mark = tmp_path / "mark"
    process = worker(6, TOY_HANG=mark)
    until(mark.exists)
    process.send_signal(signal.SIGKILL)
    process.wait()
    study = work(tmp_path, 6)
    assert states(study) == ["COMPLETE"] * 2 + ["FAIL"] + ["COMPLETE"] * 4
    assert study.trials[3].params == study.trials[2].params
    assert done(study) == 6


@pytest.mark.slow
def test_the_trial_of_a_living_worker_is_left_alone(tmp_path, worker):
    work(tmp_path, 2)
    mark = tmp_path / "mark"
    worker(4, TOY_HANG=mark)
    until(mark.exists)
    study = work(tmp_path, 4)
    assert states(study) == ["COMPLETE", "COMPLETE", "RUNNING", "COMPLETE", "COMPLETE"]


@pytest.mark.slow
def test_workers_share_a_study_and_each_ends_its_trial(tmp_path, worker):
    (tmp_path / "together").mkdir()
    processes = [worker(15, TOY_TOGETHER=tmp_path / "together") for _ in range(2)]
    assert [process.wait(timeout=600) for process in processes] == [0, 0]
    study = open_study(ToyTask(), open_storage(None, tmp_path))
    assert set(states(study)) == {"COMPLETE"}
    assert 15 <= len(study.trials) <= 16
    assert len({trial.params["x"] for trial in study.trials}) == len(study.trials)  # anchors, too: once
    assert {trial.user_attrs["process"] for trial in study.trials} == {each.pid for each in processes}


def test_an_interrupted_study_goes_on_with_the_trial_it_was_at(tmp_path):
    work(tmp_path, 3)
    task = ToyTask()
    task.raises = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        work(tmp_path, 5, task)
    study = work(tmp_path, 5)
    assert states(study) == ["COMPLETE"] * 3 + ["FAIL"] + ["COMPLETE"] * 2
    assert study.trials[4].params == task.measured[0]


def test_a_trial_that_is_interrupted_each_time_is_given_up(tmp_path):
    task = ToyTask()
    task.anchors, task.raises = task.anchors[:1], KeyboardInterrupt()
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            work(tmp_path, 5, task)
    assert states(open_study(task, open_storage(None, tmp_path))) == ["FAIL", "FAIL"]


def test_an_error_fails_the_trial_says_why_and_passes_on(tmp_path):
    task = ToyTask()
    task.raises = ZeroDivisionError("no such margin")
    with pytest.raises(ZeroDivisionError):
        work(tmp_path, 3, task)
    study = work(tmp_path, 3)
    assert states(study) == ["FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    assert "no such margin" in study.trials[0].user_attrs["error"]
    assert ToyTask().anchors[0] in [trial.params for trial in study.trials[1:]]


def test_what_a_worker_measured_after_it_was_taken_for_dead_is_dropped(tmp_path):
    task, value = ToyTask(), ToyTask().value
    other = open_study(task, open_storage(None, tmp_path))

    def buried_meanwhile(point):
        if len(task.measured) == 3:
            other.tell(2, state=TrialState.FAIL)
        return value(point)

    task.value = buried_meanwhile
    assert states(work(tmp_path, 4, task)) == ["COMPLETE"] * 2 + ["FAIL"] + ["COMPLETE"] * 2


def test_storages_that_cannot_be_opened_say_so(tmp_path):
    with pytest.raises(TuneError, match="not a database URL"):
        open_storage("optuna.db", tmp_path)
    with pytest.raises(TuneError, match="cannot be opened"):
        open_storage(f"sqlite:///{tmp_path}/no/such/folder/optuna.db", tmp_path)


@pytest.mark.parametrize("lost", [1, 25, 40])
def test_a_journal_cut_in_its_last_record_goes_on(tmp_path, lost, caplog):
    work(tmp_path, 3)
    journal = tmp_path / JOURNAL
    journal.write_bytes(journal.read_bytes()[:-lost])
    for trials in (4, 5):
        work(tmp_path, trials)
    assert states(open_study(ToyTask(), open_storage(None, tmp_path))).count("COMPLETE") == 5
    assert caplog.text.count("ended in half a record") == 1


def test_a_record_cut_by_another_worker_does_not_spoil_the_next(tmp_path):
    study = open_study(ToyTask(), open_storage(None, tmp_path))
    with (tmp_path / JOURNAL).open("ab") as journal:
        journal.write(b'{"op_code": 4, "wor')
    study.set_user_attr("after", 1)
    assert open_study(ToyTask(), open_storage(None, tmp_path)).user_attrs["after"] == 1


@pytest.mark.parametrize("line", [b"hello\n", b"{}\n", b"\0\0\0\n", b'{"op_code": 4, "wor{"op_code": 4}\n'])
def test_a_foreign_line_in_the_journal_is_told_with_the_file_and_a_cure(tmp_path, line):
    work(tmp_path, 2)
    journal = tmp_path / JOURNAL
    whole = journal.read_bytes()
    journal.write_bytes(whole + line + whole)
    for _ in range(2):
        with pytest.raises(TuneError, match=rf"{journal} holds a line that Optuna did not write.* move it away"):
            open_storage(None, tmp_path)
    journal.rename(tmp_path / "broken.log")
    assert len(work(tmp_path, 2).trials) == 2


def test_pruned_trials_count_as_done(tmp_path):
    task = ToyTask()
    task.raises = optuna.TrialPruned()
    study = work(tmp_path, 2, task)
    assert states(study) == [TrialState.PRUNED.name] * 2
    with pytest.raises(TuneError, match="no completed trial"):
        best_trial(study, task)


@pytest.mark.parametrize("folder", ["croquis/tuning", "lightning_modules/studies"])
def test_no_private_name_of_optuna_is_used(folder):
    """Nor of anything else: an underscore after a dot follows `self` only, and no import begins with one."""
    for path in Path(folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [getattr(node, "module", None) or "", *(each.name for each in node.names)]
                assert names[0] == "__future__" or not [name for name in names if "._" in f".{name}"], path
            if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.endswith("_"):
                assert ast.unparse(node.value) == "self", f"{path}:{node.lineno}"
