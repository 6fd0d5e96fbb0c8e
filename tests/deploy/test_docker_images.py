"""What goes into the images of deploy/: linted, of the locked versions, and without what trains."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.deploy.compose_file import DEPLOY
from tests.support.deploy.dockerfiles import assert_clean
from tests.support.deploy.mlflow_launcher import SCRIPT, launcher
from tests.support.environment import REPOSITORY


def test_the_server_of_mlflow_has_the_versions_of_the_lock() -> None:
    lock = (REPOSITORY / "locks/dev.txt").read_text()
    pinned = [
        Requirement(line) for line in (DEPLOY / "mlflow/requirements.txt").read_text().splitlines() if line[0] != "#"
    ]
    assert {canonicalize_name(each.name) for each in pinned} == {"flask-wtf", "mlflow", "psycopg"}
    for each in pinned:
        assert re.search(rf"^{canonicalize_name(each.name)}{re.escape(str(each.specifier))} ", lock, re.MULTILINE)


def test_its_dockerfile_is_clean_and_copies_what_it_starts() -> None:
    text = (DEPLOY / "mlflow/Dockerfile").read_text()
    assert SCRIPT.name in text
    assert f'ENTRYPOINT ["python", "{SCRIPT.name}"]' in text
    assert_clean("deploy/mlflow/Dockerfile")


def test_mlflow_is_not_started_without_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in launcher().NEEDED:
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("MLFLOW_ADMIN_PASSWORD", "")
    with pytest.raises(SystemExit, match="set MLFLOW_ADMIN_PASSWORD"):
        launcher().main([])


def test_odd_passwords_reach_mlflow_as_they_are(tmp_path: Path) -> None:
    from configparser import ConfigParser

    from sqlalchemy.engine import make_url

    odd = {"POSTGRES_ADDRESS": "postgres:5432", "POSTGRES_USER": "croquis", "POSTGRES_PASSWORD": "a%b@c/d:e"}
    odd |= {"MLFLOW_ADMIN_USERNAME": "keeper", "MLFLOW_ADMIN_PASSWORD": "100%{sure}"}
    (tmp_path / "users.ini").write_text(launcher().users(odd))
    read = ConfigParser()
    read.read(tmp_path / "users.ini")
    assert read["mlflow"]["admin_password"] == "100%{sure}"
    assert make_url(read["mlflow"]["database_uri"]).password == "a%b@c/d:e"
