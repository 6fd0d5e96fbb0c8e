"""The command: both studies from params.yaml to params.yaml, and their copy in MLflow."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

from croquis.cli import main
from croquis.params import load_params
from croquis.tracking.tracking_store import open_store
from croquis.tuning.mlflow_runs import EXPERIMENT, PARENT_TAG, STUDY_TAG
from croquis.tuning.storage import open_storage
from croquis.tuning.study import best_trial, enqueue_anchors, open_study, waiting
from croquis.tuning.study_job import StudyJob, make_task, run_study
from tests.support.environment import clear_environment
from tests.support.tuning.study_projects import own_project

pytestmark = pytest.mark.slow

RERANK = ["rerank", "--method", "histogram", "--metric", "mrr"]
DEAD = "http://127.0.0.1:1"


def runs(root: Path):
    store = open_store(root)
    found = list(store.client.search_runs([store.experiment(EXPERIMENT)], max_results=1000))
    children = [run for run in found if PARENT_TAG in run.data.tags]
    return store, [run for run in found if run not in children], children


class Studied(NamedTuple):
    """A project after a study without, then with `--write`, and what both calls printed."""

    root: Path
    params_before: str
    shown_only: str
    shown_writing: str


@pytest.fixture(scope="module")
def studied(reranked_world, empty_store, tmp_path_factory) -> Studied:
    root, shown = tmp_path_factory.mktemp("studied"), []
    own_project(reranked_world, empty_store, root, "data", "models")
    before = (root / "params.yaml").read_text()
    with pytest.MonkeyPatch.context() as patch:
        clear_environment(patch)
        for more in ([], ["--write"]):
            with redirect_stdout(io.StringIO()) as written:
                assert main(["tune", *RERANK, "--trials", "70", *more], root) == 0
            shown.append(written.getvalue())
            if not more:
                assert (root / "params.yaml").read_text() == before
    return Studied(root, before, *shown)


class TestARerankStudy:
    @pytest.fixture
    def task(self, studied: Studied):
        return make_task(StudyJob("rerank", studied.root, 70, method="histogram", metric="mrr"))

    @pytest.fixture
    def study(self, studied: Studied, task):
        return open_study(task, open_storage(None, studied.root))

    def test_it_shows_what_it_would_change_and_how(self, studied: Studied):
        assert "+  enabled: true" in studied.shown_only
        assert "--write" in studied.shown_only

    def test_write_tells_of_the_file_and_the_next_step(self, studied: Studied):
        assert ": 70 trials\n" in studied.shown_writing
        assert studied.shown_writing.endswith("params.yaml is written; now: croquis repro\n")

    def test_write_changes_values_and_keeps_comments(self, studied: Studied):
        assert (studied.root / "params.yaml").read_text().count("#") == studied.params_before.count("#")
        assert load_params(studied.root / "params.yaml").rerank.enabled

    def test_the_file_holds_the_best_trial(self, task, study):
        best = best_trial(study, task)
        assert best.value > task.value(task.anchors[1])
        assert task.value(task.anchors[0]) == best.value
        enqueue_anchors(study, task)
        assert waiting(study) == 0

    def test_mlflow_has_the_best_value_and_the_pictures(self, studied: Studied, task, study):
        store, (parent,), _ = runs(studied.root)
        assert (parent.info.status, parent.data.tags[STUDY_TAG]) == ("FINISHED", study.study_name)
        assert parent.data.metrics["best"] == best_trial(study, task).value
        pictures = {path.name for path in (store.root / parent.info.artifact_uri).glob("*.png")}
        assert pictures == {f"{n}.png" for n in ("history", "slice", "importance", "parallel_coordinate", "contour")}

    def test_mlflow_has_fifty_trials_with_anchors_and_best(self, studied: Studied, task, study):
        _, (parent,), children = runs(studied.root)
        assert 50 <= len(children) <= 52
        assert {child.data.tags[PARENT_TAG] for child in children} == {parent.info.run_id}
        values = {int(child.data.tags["optuna.trial"]): child.data.metrics["value"] for child in children}
        assert values == {number: study.trials[number].value for number in values}
        assert {0, 1, best_trial(study, task).number} <= set(values)


def test_more_trials_continue_the_study_and_its_run(reranked, capsys):
    assert main(["tune", *RERANK, "--trials", "4"], reranked) == 0
    assert main(["tune", *RERANK, "--trials", "9"], reranked) == 0
    assert ": 9 trials, 5 of them now" in capsys.readouterr().out
    _, parents, children = runs(reranked)
    assert len(parents) == 1
    assert len(children) == 9


def test_a_dead_tracker_warns_and_a_later_call_makes_the_runs(reranked, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DEAD)
    assert main(["tune", *RERANK, "--trials", "5"], reranked) == 0
    assert "goes on without it" in caplog.text
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert main(["tune", *RERANK, "--trials", "5"], reranked) == 0
    _, parents, children = runs(reranked)
    assert (len(parents), len(children)) == (1, 5)


def test_what_cannot_start_is_refused_with_the_fix(tmp_path, reranked, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "params.yaml").write_text((reranked / "params.yaml").read_text())
    assert main(["tune", "margin"], empty) == 1
    assert "make repro" in capsys.readouterr().err
    assert main(["tune", "rerank"], empty) == 1
    assert "make repro" in capsys.readouterr().err
    assert main(["tune", "rerank", "--trials", "0"], reranked) == 1
    assert "--trials is 0" in capsys.readouterr().err


def hear_ctrl_c() -> None:
    """A shell makes what it starts in the background deaf to Ctrl-C, and so a `make test &` these processes."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.slow
def test_a_margin_study_survives_a_kill_and_ctrl_c(shapes):
    command = [sys.executable, "-m", "croquis", "tune", "margin", "--trials", "3", "--epochs", "20"]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "MLFLOW_TRACKING_URI": DEAD}

    def stop_after_epochs(count: int, how: signal.Signals) -> int:
        process = subprocess.Popen(
            command,
            cwd=shapes,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=hear_ctrl_c,
        )
        for _ in range(count):
            while "epoch" not in process.stderr.readline():
                assert process.poll() is None
        process.send_signal(how)
        process.communicate(timeout=60)
        return process.returncode

    assert stop_after_epochs(2, signal.SIGKILL) == -signal.SIGKILL
    assert stop_after_epochs(2, signal.SIGINT) == 130
    time.sleep(0.1)
    outcome = run_study(StudyJob("margin", shapes, 2, epochs=20))
    states = [trial.state.name for trial in outcome.study.trials]
    assert states.count("FAIL") == 2
    assert states.count("COMPLETE") + states.count("PRUNED") == 2
    assert outcome.anchors["params.yaml"].value is not None
    assert not [path for path in (shapes / ".scratch/tune").rglob("*") if path.is_file()]
    _, (parent,), children = runs(shapes)
    assert len(children) == 2
    store = open_store(shapes)
    curve = store.client.get_metric_history(children[0].info.run_id, "val/score")
    assert len(curve) >= 2
    assert parent.info.status == "FINISHED"
