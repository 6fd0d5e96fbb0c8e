"""What goes into the images of deploy/: linted, of the locked versions, and without what trains."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.support.deploy.compose_file import DEPLOY
from tests.support.deploy.dockerfiles import assert_clean
from tests.support.deploy.mlflow_launcher import SCRIPT, launcher
from tests.support.environment import REPOSITORY


def test_the_server_of_mlflow_has_the_versions_and_hashes_of_the_lock() -> None:
    lock, own = ((REPOSITORY / name).read_text() for name in ("locks/dev.txt", "deploy/mlflow/requirements.txt"))
    pinned = pins(own)
    assert {"flask-wtf", "mlflow", "psycopg", "psycopg-binary"} <= set(pinned)
    known = pins(lock)
    assert pinned == {name: known[name] for name in pinned}
    assert all("--hash=sha256:" in words for words in pinned.values())


def test_images_install_by_hash_and_build_with_the_lock() -> None:
    for name in ("Dockerfile", "deploy/mlflow/Dockerfile"):
        for words in re.findall(r"pip install ([^&\n]*)", (REPOSITORY / name).read_text()):
            assert "--require-hashes" in words or "--no-build-isolation --no-deps" in words, words
    pick = re.findall(r"RUN (sed -n '.*' locks/pipeline.txt)", (REPOSITORY / "Dockerfile").read_text())
    found = subprocess.run(["sh", "-c", *pick], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    assert pins(found) == {"setuptools": pins((REPOSITORY / "locks/pipeline.txt").read_text())["setuptools"]}


def pins(text: str) -> dict[str, str]:
    """Name -> version, marker and hashes."""
    found = re.findall(r"^([\w.-]+)(==.*(?:\n    --hash=.*)+)", text, re.MULTILINE)
    return {canonicalize_name(name): words.rstrip(" \\") for name, words in found}


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
