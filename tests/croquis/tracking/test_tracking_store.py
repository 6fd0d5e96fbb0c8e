"""The store: where it is, that it is made once, that its folder can move, and what a dead one does."""

from __future__ import annotations

import logging
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from croquis.tracking import tracking_store as store_module
from croquis.tracking.environment import project_root, store_root
from croquis.tracking.tracking_store import (
    STAGE_EXPERIMENT,
    Store,
    TrackingError,
    open_store,
    sqlite_path,
    tracking_uri,
    try_store,
)
from tests.support.environment import REPOSITORY


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_uri_is_absolute_and_below_the_project(tmp_path: Path) -> None:
    assert tracking_uri(tmp_path) == f"sqlite:///{tmp_path.resolve()}/mlruns/mlflow.db"


def test_dvc_root_names_the_main_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert store_root(copy) == tmp_path.resolve()
    assert tracking_uri(copy) == f"sqlite:///{tmp_path.resolve()}/mlruns/mlflow.db"


def test_variable_wins_and_a_relative_database_is_made_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert tracking_uri(tmp_path) == "http://127.0.0.1:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlruns/other.db")
    assert sqlite_path(tracking_uri(tmp_path)) == tmp_path.resolve() / "mlruns/other.db"


def test_project_root_is_the_nearest_folder_with_a_pipeline(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").touch()
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert project_root(inner) == tmp_path.resolve()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a%2Fb", "a?b#c", "größe 服 100%", "..%2Fplain"])
def test_any_folder_name_keeps_its_store_and_artifacts_inside(tmp_path: Path, name: str) -> None:
    for neighbour in ("a/b", "a b", "a", "plain"):
        (tmp_path / neighbour / "mlruns").mkdir(parents=True)
    before = set(tmp_path.rglob("*"))
    root, picture = tmp_path / name, tmp_path / name / "source/picture.txt"
    picture.parent.mkdir(parents=True)
    picture.write_text("picture")
    run_id = (store := open_store(root)).client.create_run(store.experiment(STAGE_EXPERIMENT)).info.run_id
    store.upload(run_id, picture.parent)
    again = open_store(root)
    with again.here():
        assert [found.path for found in again.client.list_artifacts(run_id)] == ["picture.txt"]
    assert (root / "mlruns/mlflow.db").is_file()
    assert sqlite_path(again.uri) == root / "mlruns/mlflow.db"
    made = set(tmp_path.rglob("*")) - before
    assert [path for path in made if not path.is_relative_to(root)] == []


def test_artifact_locations_are_relative_to_the_project(store: Store) -> None:
    run = store.client.create_run(store.experiment(STAGE_EXPERIMENT))
    assert run.info.artifact_uri == f"mlruns/artifacts/{run.info.run_id}/artifacts"


def test_a_moved_folder_keeps_its_artifacts(store: Store, tmp_path: Path) -> None:
    run_id = store.client.create_run(store.experiment(STAGE_EXPERIMENT)).info.run_id
    source = tmp_path / "source"
    source.mkdir()
    (source / "picture.txt").write_text("picture")
    store.upload(run_id, source)
    moved = tmp_path / "moved"
    shutil.copytree(store.root, moved)
    there = open_store(moved)
    assert there.root == moved
    location = there.client.get_run(run_id).info.artifact_uri
    assert (moved / location / "picture.txt").read_text() == "picture"
    with there.here():
        assert [found.path for found in there.client.list_artifacts(run_id)] == ["picture.txt"]


def test_uploads_land_in_the_store_whatever_the_current_folder(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = store.client.create_run(store.experiment(STAGE_EXPERIMENT)).info.run_id
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.txt").write_text("a")
    monkeypatch.chdir(tmp_path)
    store.upload(run_id, tmp_path / "source")
    assert (store.root / "mlruns/artifacts" / run_id / "artifacts/a.txt").is_file()
    assert not (tmp_path / "mlruns").exists()


# Forks, so that MLflow is imported once, and all begin at the same moment.
FOUR_AT_ONCE = """
import os, sys, traceback
from pathlib import Path
import mlflow.store.tracking.sqlalchemy_store
from croquis.tracking.tracking_store import open_store

children = []
for _ in range(4):
    children.append(os.fork())
    if children[-1] == 0:
        try:
            os.write(1, f"{open_store(Path(sys.argv[1])).experiment('croquis')}\\n".encode())  # whole, among the others
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
print([os.waitpid(child, 0)[1] for child in children])
"""


@pytest.mark.slow
def test_processes_that_start_together_make_one_whole_database(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FOUR_AT_ONCE, str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)
    *answers, ends = done.stdout.splitlines()
    assert ends == "[0, 0, 0, 0]", done.stderr
    assert answers == ["1"] * 4


@pytest.mark.slow
def test_a_database_that_was_killed_half_made_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlruns" / ".mlflow.db.partial").write_bytes(b"half of a database")
    assert open_store(tmp_path).client.search_experiments()
    assert not (tmp_path / "mlruns" / ".mlflow.db.partial").exists()


def test_a_dead_server_is_named_before_mlflow_asks_it_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr(store_module, "_client", lambda _: pytest.fail("MLflow was asked"))
    with pytest.raises(TrackingError, match=uri):
        open_store(tmp_path)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlruns" / "mlflow.db").write_text("not a database at all, but long enough to be read as one" * 50)
    with pytest.raises(TrackingError, match=r"mlflow\.db cannot be used"):
        open_store(tmp_path)


def test_a_password_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://someone:secret@127.0.0.1:{free_port()}")
    with pytest.raises(TrackingError) as raised:
        open_store(tmp_path)
    assert "secret" not in str(raised.value)


def test_an_ordinary_stage_is_warned_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store_module, "_warned", set())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    with caplog.at_level(logging.WARNING):
        assert try_store(tmp_path) is None
        assert try_store(tmp_path) is None
    assert len([record for record in caplog.records if "tracking store" in record.message]) == 1
