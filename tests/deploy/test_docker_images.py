"""What goes into the images of deploy/: linted, of the locked versions, and without what trains."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.deploy.compose_file import DEPLOY, services
from tests.support.deploy.dockerfiles import assert_clean
from tests.support.deploy.mlflow_launcher import SCRIPT, launcher
from tests.support.environment import REPOSITORY

TRAINS = {"torch", "torchvision", "pytorch-lightning", "mlflow", "dvc", "optuna"}


def closure(names: list[Requirement]) -> set[str]:
    """All distributions that some requirements bring, as they are installed here."""
    seen: set[tuple[str, str]] = set()
    waiting = [(found, extra) for found in names for extra in ("", *found.extras)]
    while waiting:
        found, extra = waiting.pop()
        key = (canonicalize_name(found.name), extra)
        if key in seen:
            continue
        seen.add(key)
        for line in requires(found.name) or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                waiting += [(needed, more) for more in ("", *needed.extras)]
    return {name for name, _ in seen}


def test_the_search_server_and_the_ingest_bring_nothing_that_trains() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = services()["ingest"]["build"]["args"]["EXTRAS"].split(",")
    assert services()["serving"]["build"] == services()["ingest"]["build"]
    lines = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    brought = closure([Requirement(line) for line in lines])
    assert {"onnxruntime", "fastapi", "mlflow-skinny", "pymilvus", "confluent-kafka"} <= brought
    assert not brought & TRAINS


def test_the_server_of_mlflow_has_the_versions_of_the_lock() -> None:
    lock = (REPOSITORY / "requirements.lock").read_text()
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
