"""Studies on a real PostgreSQL, and Optuna's own tools on the storages that this project uses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from toy_task import ToyTask

from stages import tune
from tests.postgres import PASSWORD, free_port, postgres
from tests.servers import answer
from tuning.search import search
from tuning.study import open_storage, open_study
from tuning.task import TuneError

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres("plain", "killed", "reranked", "shown") as url:
        yield url


def start(root: Path, total: int, url: str, **settings: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), str(HERE)]), **settings}
    return subprocess.Popen([sys.executable, HERE / "toy_task.py", root, str(total), url], env=environment)


def run(root: Path, total: int, url: str | None):
    study = open_study(ToyTask(), open_storage(url, root))
    search(study, ToyTask(), total, FileLock(root / "lock"), lambda _: None)
    return study


def states(study) -> list[str]:
    return [trial.state.name for trial in study.get_trials(deepcopy=False)]


def test_workers_share_a_study_on_postgresql_and_it_goes_on(server: str, tmp_path: Path) -> None:
    open_study(ToyTask(), open_storage(server + "plain", tmp_path))
    workers = [start(tmp_path, 12, server + "plain", TOY_SECONDS="0.1") for _ in range(2)]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0]
    study = run(tmp_path, 14, server + "plain")
    assert states(study) == ["COMPLETE"] * 14
    assert len({trial.user_attrs["worker"] for trial in study.trials}) == 3
    assert not (tmp_path / "mlruns/optuna.log").exists()


def test_a_worker_killed_on_postgresql_loses_its_trial_only(server: str, tmp_path: Path) -> None:
    url, mark = server + "killed", tmp_path / "mark"
    run(tmp_path, 2, url)
    worker = start(tmp_path, 6, url, TOY_HANG=str(mark))
    deadline = time.monotonic() + 60
    while not mark.exists():
        assert time.monotonic() < deadline
        assert worker.poll() is None
        time.sleep(0.05)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    study = run(tmp_path, 4, url)
    assert states(study) == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert study.trials[3].params == study.trials[2].params


def test_the_command_searches_on_postgresql_with_two_workers(server: str, reranked: Path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    asked = ["rerank", "--method", "histogram", "--metric", "mrr", "--storage", server + "reranked"]
    assert tune.main([*asked, "--trials", "20"], reranked) == 0
    assert ": 20 trials, 20 of them now" in capsys.readouterr().out
    assert tune.main([*asked, "--trials", "40", "--workers", "2"], reranked) == 0
    assert ": 40 trials, 20 of them now" in capsys.readouterr().out


def test_a_wrong_password_is_refused_and_not_shown(server: str, tmp_path: Path) -> None:
    with pytest.raises(TuneError, match=r"cannot be opened.*password authentication failed") as caught:
        open_storage(server.replace(PASSWORD, "not-the-secret") + "plain", tmp_path)
    assert "not-the-secret" not in str(caught.value)


@pytest.fixture(params=["journal", "postgresql"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Name of a storage with a study of three trials, and its class for the journal."""
    if request.param == "journal":
        run(tmp_path, 3, None)
        return str(tmp_path / "mlruns/optuna.log"), "Journal"
    url = request.getfixturevalue("server") + "shown"
    run(tmp_path, 3, url)
    return url, ""


def test_the_optuna_command_reads_it(storage: tuple[str, str]) -> None:
    name, kind = storage
    chosen = ["--storage-class", "JournalFileBackend"] if kind else []
    command = [BIN / "optuna", "--storage", name, *chosen, "trials", "--study-name", "toy", "-f", "json"]
    shown = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert [trial["state"] for trial in shown] == ["COMPLETE"] * 3


def test_optuna_dashboard_shows_it(storage: tuple[str, str]) -> None:
    pytest.importorskip("optuna_dashboard", reason="pip install 'croquis[team]'")
    name, kind = storage
    chosen = ["--storage-class", "JournalFileStorage"] if kind else []
    port = free_port()
    command = [BIN / "optuna-dashboard", name, *chosen, "--host", "127.0.0.1", "--port", str(port)]
    dashboard = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        studies = json.loads(answer(f"http://127.0.0.1:{port}/api/studies", dashboard))["study_summaries"]
        (study,) = (each for each in studies if each["study_name"] == "toy")
        shown = json.loads(answer(f"http://127.0.0.1:{port}/api/studies/{study['study_id']}", dashboard))
        assert [trial["state"] for trial in shown["trials"]] == ["Complete"] * 3
        assert shown["trials"][1]["values"] == [ToyTask().value({"x": 0.0})]
    finally:
        dashboard.terminate()
        dashboard.wait()
