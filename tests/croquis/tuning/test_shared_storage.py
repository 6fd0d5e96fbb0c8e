"""Studies on a real PostgreSQL, and Optuna's own tools on the storages that this project uses."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from croquis.cli import main
from croquis.tuning.storage import HEARTBEAT, open_storage, origin
from croquis.tuning.study import open_study
from croquis.tuning.study_search import search
from croquis.tuning.task import TuneError
from tests.support.engine_servers import free_port
from tests.support.postgres import PASSWORD, postgres
from tests.support.started_server import answer
from tests.support.tuning import toy_task
from tests.support.tuning.toy_task import ToyTask

pytestmark = pytest.mark.slow
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres("plain", "killed", "elsewhere", "reranked", "shown") as url:
        yield url


def start(root: Path, total: int, url: str, **settings: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), **settings}
    return subprocess.Popen([sys.executable, toy_task.__file__, root, str(total), url], env=environment)


def run(root: Path, total: int, url: str | None, heartbeat: int = HEARTBEAT):
    study = open_study(ToyTask(), open_storage(url, root, heartbeat))
    search(study, ToyTask(), total, FileLock(root / "lock"), lambda _: None)
    return study


def states(study) -> list[str]:
    return [trial.state.name for trial in study.get_trials(deepcopy=False)]


def hosts(study) -> list[str]:
    return [trial.user_attrs["worker"].partition("/")[0] for trial in study.trials]


def workspaces(folder: Path, *names: str) -> list[Path]:
    """Folders that share no lock file."""
    for name in names:
        (folder / name).mkdir()
    return [folder / name for name in names]


def test_workers_of_several_hosts_share_a_study_and_it_goes_on(server: str, tmp_path: Path) -> None:
    url, roots = server + "plain", workspaces(tmp_path, "east", "west")
    open_study(ToyTask(), open_storage(url, tmp_path))
    workers = [start(root, 12, url, TOY_SECONDS="0.1", TOY_HOST=root.name) for root in roots]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0]
    study = run(tmp_path, 14, url)
    assert states(study) == ["COMPLETE"] * 14
    assert [trial.params for trial in study.trials].count(ToyTask().anchors[0]) == 1
    assert set(hosts(study)) == {"east", "west", socket.gethostname()}
    assert len({origin(study, root) for root in roots}) == 2  # what the seeds of `rerank` begin at
    assert not (tmp_path / "mlruns/optuna.log").exists()


def test_a_worker_killed_on_postgresql_loses_its_trial_only(server: str, tmp_path: Path) -> None:
    url, mark = server + "killed", tmp_path / "mark"
    run(tmp_path, 2, url)
    kill_in_trial(start(tmp_path, 6, url, TOY_HANG=str(mark)), mark)
    study = run(tmp_path, 4, url)
    assert states(study) == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert study.trials[3].params == study.trials[2].params


def kill_in_trial(worker: subprocess.Popen[bytes], mark: Path) -> None:
    deadline = time.monotonic() + 60
    while not mark.exists():
        assert time.monotonic() < deadline
        assert worker.poll() is None
        time.sleep(0.05)
    worker.send_signal(signal.SIGKILL)
    worker.wait()


def test_the_trial_of_a_worker_killed_on_another_host_is_tried_again_here(server: str, tmp_path: Path) -> None:
    """The host here cannot look for the process: it waits until the database has heard nothing of it for three seconds."""
    url, mark, (there, here) = server + "elsewhere", tmp_path / "mark", workspaces(tmp_path, "there", "here")
    run(here, 2, url, heartbeat=1)
    worker = start(there, 3, url, TOY_HANG=str(mark), TOY_HOST="there", TOY_HEARTBEAT="1")
    kill_in_trial(worker, mark)
    study = run(here, 3, url, heartbeat=1)
    assert states(study) == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE"]
    assert hosts(study)[2:] == ["there", socket.gethostname()]
    assert study.trials[3].params == study.trials[2].params
    assert study.trials[3].system_attrs["failed_trial"] == 2


def test_the_command_searches_on_postgresql_with_two_workers(server: str, reranked: Path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    asked = ["rerank", "--method", "histogram", "--metric", "mrr", "--storage", server + "reranked"]
    assert main(["tune", *asked, "--trials", "20"], reranked) == 0
    assert ": 20 trials, 20 of them now" in capsys.readouterr().out
    assert main(["tune", *asked, "--trials", "40", "--workers", "2"], reranked) == 0
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
