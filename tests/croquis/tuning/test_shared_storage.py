"""Studies on a real PostgreSQL, and Optuna's own tools on the storages that this project uses."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from croquis.cli import main
from croquis.tuning.storage import open_storage
from croquis.tuning.task import TuneError
from tests.support.engine_servers import free_port
from tests.support.postgres import PASSWORD, postgres
from tests.support.started_server import answer
from tests.support.tuning import toy_task
from tests.support.tuning.toy_task import ToyTask, states, work

pytestmark = pytest.mark.slow
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres("plain", "elsewhere", "reranked", "shown") as url:
        yield url


def start(root: Path, total: int, url: str, **settings: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), **settings}
    return subprocess.Popen([sys.executable, toy_task.__file__, root, str(total), url], env=environment)


def workspaces(folder: Path, *names: str) -> list[Path]:
    """Folders that share no lock file, as on machines of their own."""
    for name in names:
        (folder / name).mkdir()
    return [folder / name for name in names]


def test_workers_of_several_hosts_share_a_study_and_it_goes_on(server: str, tmp_path: Path) -> None:
    url, (east, west, together) = server + "plain", workspaces(tmp_path, "east", "west", "together")
    work(tmp_path, 2, url=url)
    workers = [start(root, 12, url, TOY_TOGETHER=str(together)) for root in (east, west)]
    assert [worker.wait(timeout=600) for worker in workers] == [0, 0]
    study = work(tmp_path, 14, url=url)
    assert states(study) == ["COMPLETE"] * 14
    assert [trial.params for trial in study.trials].count(ToyTask().anchors[0]) == 1
    assert len({trial.params["x"] for trial in study.trials}) == 14
    assert {each.pid for each in workers} <= {trial.user_attrs["process"] for trial in study.trials}
    assert not (tmp_path / "mlruns/optuna.log").exists()


def kill_in_trial(worker: subprocess.Popen[bytes], mark: Path) -> None:
    deadline = time.monotonic() + 240
    while not mark.exists():
        assert time.monotonic() < deadline
        assert worker.poll() is None
        time.sleep(0.05)
    worker.send_signal(signal.SIGKILL)
    worker.wait()


def test_the_trial_of_a_worker_killed_on_another_host_is_tried_again_here(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody here looks for the process: the database has heard nothing of it for three seconds."""
    url, mark = server + "elsewhere", tmp_path / "mark"
    there, here = workspaces(tmp_path, "there", "here")
    monkeypatch.setenv("TOY_HEARTBEAT", "1")
    work(here, 2, url=url)
    kill_in_trial(start(there, 3, url, TOY_HANG=str(mark)), mark)
    assert states(work(here, 3, url=url))[:3] == ["COMPLETE", "COMPLETE", "RUNNING"]
    silence = text("UPDATE trial_heartbeats SET heartbeat = heartbeat - INTERVAL '4 seconds'")
    with create_engine(url).begin() as connection:
        assert connection.execute(silence).rowcount > 0
    study = work(here, 5, url=url)
    assert states(study) == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    assert study.trials[4].params == study.trials[2].params


def test_the_command_searches_on_postgresql_with_two_workers(server: str, reranked: Path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    asked = ["rerank", "--method", "histogram", "--metric", "mrr", "--storage", server + "reranked"]
    assert main(["tune", *asked, "--trials", "20"], reranked) == 0
    assert ": 20 trials, 20 of them now" in capsys.readouterr().out
    assert main(["tune", *asked, "--trials", "40", "--workers", "2"], reranked) == 0
    assert re.search(": 4[01] trials, 2[01] of them now", capsys.readouterr().out)


def test_a_wrong_password_is_refused_and_not_shown(server: str, tmp_path: Path) -> None:
    with pytest.raises(TuneError, match=r"cannot be opened.*password authentication failed") as caught:
        open_storage(server.replace(PASSWORD, "not-the-secret") + "plain", tmp_path)
    assert "not-the-secret" not in str(caught.value)


@pytest.fixture(params=["journal", "postgresql"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Name of a storage with a study of three trials, and its class for the journal."""
    if request.param == "journal":
        work(tmp_path, 3)
        return str(tmp_path / "mlruns/optuna.log"), "Journal"
    url = request.getfixturevalue("server") + "shown"
    work(tmp_path, 3, url=url)
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
