"""The team's set-up of docs/registry.md: an MLflow server with users, on PostgreSQL, that hands artifacts through."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval.bundle import Bundle
from stages import register
from tests.postgres import free_port, postgres
from tests.registry_world import MODEL, Project, copied, empty_project
from tests.servers import answer
from tracking.registry import CHAMPION
from tracking.store import TrackingError, open_store

pytestmark = pytest.mark.slow

ADMIN, SECRET = "keeper", "a-long-password"
SETTINGS = """[mlflow]
default_permission = MANAGE
database_uri = {database}
admin_username = {admin}
admin_password = {secret}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address, and the folder that only the server writes artifacts to."""
    pytest.importorskip("flask_wtf", reason="pip install 'croquis[team]'")
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    with postgres("mlflow", "users") as database:
        settings = SETTINGS.format(database=f"{database}users", admin=ADMIN, secret=SECRET)
        (folder / "users.ini").write_text(settings)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        command = [
            *(sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--workers", "1"),
            *("--backend-store-uri", f"{database}mlflow"),
            *("--artifacts-destination", str(folder / "artifacts"), "--serve-artifacts"),
            *("--host", "127.0.0.1", "--port", str(port)),
        ]
        environment = {
            "MLFLOW_AUTH_CONFIG_PATH": str(folder / "users.ini"),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "of-this-test",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        with (folder / "log").open("wb") as log:
            started = subprocess.Popen(command, cwd=folder, env={**kept, **environment}, stdout=log, stderr=log)
        try:
            answer(f"http://127.0.0.1:{port}/health", started)
            yield f"http://127.0.0.1:{port}", folder / "artifacts"
        finally:
            started.terminate()
            started.wait(timeout=60)


@pytest.fixture
def project(
    server: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Project:
    """A workspace that knows the server and a user of it, and has no store of its own."""
    project = copied(empty_project(tmp_path_factory), tmp_path, monkeypatch)
    (project.root / "mlruns/mlflow.db").unlink()
    for name, value in (("URI", server[0]), ("USERNAME", ADMIN), ("PASSWORD", SECRET)):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
    return project


def test_a_champion_is_registered_over_the_server(project: Project, server: tuple[str, Path]) -> None:
    register.main(project.root)
    registry = project.registry
    assert registry.aliases() == {CHAMPION: 1}
    champion = registry.holder(CHAMPION)
    assert champion is not None
    assert Bundle.load(registry.bundle_folder(1)).hash == champion.bundle_hash
    assert registry.store.client.get_model_version(MODEL, "1").description.startswith("# version 1")
    assert list(server[1].rglob("model_card.md"))
    assert not (project.root / "mlruns/mlflow.db").exists()
    assert not (project.root / "mlruns/artifacts").exists()


@pytest.mark.parametrize("password", [None, "wrong"])
def test_nobody_gets_in_without_the_password(
    server: tuple[str, Path], password: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = server[0]
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{address}/api/2.0/mlflow/experiments/search?max_results=1", timeout=30)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    if password:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", ADMIN)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
    with pytest.raises(TrackingError, match=f"{address} cannot be used.*(401|[Aa]uthenticat)"):
        open_store(tmp_path)
