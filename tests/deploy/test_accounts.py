"""Accounts with no more rights than their services need: of PostgreSQL on a real server, of Milvus by what is asked."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import pytest

from croquis.registry.registry import Registry
from croquis.tracking.tracking_store import open_store
from tests.support.deploy.compose_file import DEPLOY, services
from tests.support.postgres import PASSWORD, USER, binaries, postgres

WORDS = {"MLFLOW": "of-mlflow", "OPTUNA": "of-optuna", "SERVING": "of-'serving"}
FORBIDDEN = (
    "DROP TABLE registered_models",
    "DELETE FROM registered_models",
    "UPDATE registered_model_aliases SET version = 2",
    "INSERT INTO registered_models (name) VALUES ('mine')",
    "TRUNCATE model_versions",
    "CREATE TABLE mine (a int)",
    "CREATE DATABASE mine",
    "CREATE ROLE mine",
)


@pytest.mark.slow
def test_the_serving_user_of_postgresql_reads_the_registry_and_can_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    psycopg = pytest.importorskip("psycopg")
    binaries()
    with postgres() as url:
        at = urlsplit(url)
        variables = {f"{name}_DATABASE_PASSWORD": word for name, word in WORDS.items()}
        variables |= {"POSTGRES_USER": USER, "PGPASSWORD": PASSWORD, "PGHOST": str(at.hostname), "PGPORT": str(at.port)}
        subprocess.run(["sh", str(DEPLOY / "postgres/users.sh")], env={**os.environ, **variables}, check=True)
        there = f"{at.hostname}:{at.port}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql+psycopg://mlflow:of-mlflow@{there}/mlflow")
        owner = Registry(open_store(tmp_path), "coats")
        owner.store.client.create_registered_model("coats")
        tags = {"bundle_hash": "1" * 64, "method": "siamese"}
        owner.store.client.create_model_version("coats", str(tmp_path), tags=tags)
        owner.set_alias("champion", 1)

        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql+psycopg://serving:of-%27serving@{there}/mlflow")
        reader = Registry(open_store(tmp_path), "coats")
        assert reader.named("models:/coats@champion").bundle_hash == "1" * 64
        with psycopg.connect(f"postgresql://serving:of-%27serving@{there}/mlflow", autocommit=True) as connection:
            for statement in FORBIDDEN:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement)
        for user, database in (("serving", "mlflow_users"), ("serving", "optuna"), ("optuna", "mlflow")):
            word = {"serving": "of-%27serving", "optuna": "of-optuna"}[user]
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                psycopg.connect(f"postgresql://{user}:{word}@{there}/{database}")
        assert owner.aliases() == {"champion": 1}


class Milvus:
    """Keeps what is asked of it."""

    def __init__(self) -> None:
        self.roles: list[str] = ["admin", "public"]
        self.users: list[str] = ["root"]
        self.granted: dict[str, set[str]] = {}
        self.of: dict[str, str] = {}

    def list_roles(self) -> list[str]:
        return self.roles

    def list_users(self) -> list[str]:
        return self.users

    def create_role(self, role_name: str) -> None:
        self.roles.append(role_name)

    def create_user(self, user_name: str, password: str) -> None:
        assert password == f"word of {user_name}"
        self.users.append(user_name)

    def grant_privilege_v2(self, role_name: str, privilege: str, collection_name: str, db_name: str) -> None:
        assert (collection_name, db_name) == ("*", "default")
        self.granted.setdefault(role_name, set()).add(privilege)

    def grant_role(self, user_name: str, role_name: str) -> None:
        self.of[user_name] = role_name


def test_users_of_milvus_are_given_what_they_need_and_no_drop() -> None:
    client, users = Milvus(), launcher_of("milvus/users.py")
    for _ in range(2):  # a second run changes nothing
        users.make_users(client, {name: f"word of {name}" for name in users.ROLES})
    assert client.roles[2:] == client.users[1:] == ["serving", "ingest"]
    assert client.of == {"serving": "serving", "ingest": "ingest"}
    writes = {"Insert", "Upsert", "Delete", "CreateCollection", "CreateIndex", "CreateAlias"}
    assert not client.granted["serving"] & writes
    assert client.granted["serving"] | writes <= client.granted["ingest"]
    assert not [name for name in client.granted["ingest"] if "Drop" in name or name.startswith(("All", "Cluster"))]


def test_pymilvus_has_these_calls() -> None:
    from inspect import signature

    client = pytest.importorskip("pymilvus").MilvusClient
    for name in ("list_roles", "list_users", "create_role", "create_user", "grant_privilege_v2", "grant_role"):
        ours = [*signature(getattr(Milvus, name)).parameters]
        assert [*signature(getattr(client, name)).parameters][: len(ours)] == ours


def test_no_service_has_an_administrators_account_but_what_is_run_by_hand() -> None:
    found: dict[str, Any] = services()
    for name in ("serving", "ingest"):
        given = found[name]["environment"]
        assert given["MLFLOW_TRACKING_USERNAME"] == name
        assert given["CROQUIS_MILVUS_TOKEN"].startswith(f"{name}:")
    assert found["mlflow"]["environment"]["POSTGRES_USER"] == "mlflow"
    assert all(service["logging"]["options"]["max-size"] for service in found.values())


def launcher_of(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("users", DEPLOY / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
