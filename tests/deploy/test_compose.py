"""The compose file: by its schema, and what no schema can see: that the code, files, ports and names it speaks of exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib

import pytest

pytest.importorskip("mlflow", reason="pip install 'croquis[pipeline]'")
from croquis.serving.server_settings import ADMIN_TOKEN_VARIABLE, API_KEYS_VARIABLE
from croquis.store.versions import TOKEN_VARIABLE
from tests.support.command_line import options_of
from tests.support.deploy.compose_file import (
    COMPOSE,
    DEPLOY,
    VARIABLE,
    command_of,
    listening,
    load,
    services,
    started_with,
    waited_for,
    words,
)
from tests.support.deploy.mlflow_launcher import SCRIPT, launcher
from tests.support.environment import REPOSITORY

SECRET = re.compile(r"PASSWORD|TOKEN|SECRET")


def test_it_keeps_to_the_schema() -> None:
    pytest.importorskip("check_jsonschema", reason="pip install 'croquis[dev]'")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_our_programs_take_their_options() -> None:
    found = services()
    server = options_of(command_of(found["serving"]), "croquis", "serve")
    reader = options_of(command_of(found["ingest"]), "croquis", "events", "consume")
    feeder = options_of(command_of(found["feed"]), "croquis", "events", "feed")
    keeper = options_of(command_of(found["versions"]), "croquis", "store")
    assert server["host"] == "0.0.0.0"
    assert server["model"] == reader["model"]
    assert (reader["source"], reader["to"]) == (feeder["to"], keeper["store"])
    model, _, alias = server["model"].removeprefix("models:/").partition("@")
    assert f"model_name: {model}" in (REPOSITORY / "params.yaml").read_text()
    assert alias == "champion"


def test_mlflow_takes_its_options() -> None:
    from mlflow.cli import server

    known = {name for parameter in server.params for name in parameter.opts}
    given = {word.partition("=")[0] for word in services()["mlflow"]["command"]}
    assert given <= known
    assert {"--artifacts-destination", "--allowed-hosts"} <= given


def test_variables_are_those_that_the_code_reads() -> None:
    found, tracking = services(), {f"MLFLOW_TRACKING_{name}" for name in ("URI", "USERNAME", "PASSWORD")}
    assert set(found["mlflow"]["environment"]) == set(launcher().NEEDED)
    for name in ("serving", "ingest", "versions"):
        ours = {key for key in found[name]["environment"] if key.startswith("CROQUIS_")}
        assert ours <= {TOKEN_VARIABLE, ADMIN_TOKEN_VARIABLE, API_KEYS_VARIABLE}
        assert tracking <= set(found[name]["environment"])
        said = " ".join(started_with(found[name]))
        assert ("milvus:" in said) == (TOKEN_VARIABLE in found[name]["environment"])


def test_no_secret_has_a_default_or_stands_in_the_repository() -> None:
    used = VARIABLE.findall(COMPOSE.read_text())
    assert {rest[:2] for _, rest in used} == {":?"}  # an empty one too stops compose
    lines = [line for line in (DEPLOY / "example.env").read_text().splitlines() if line and not line.startswith("#")]
    assert sorted(lines) == sorted(f"{name}=" for name in {name for name, _ in used})
    for name, service in load(values=False)["services"].items():
        for variable, value in service.get("environment", {}).items():
            assert not SECRET.search(variable) or VARIABLE.search(str(value)), f"{name}: {variable}"
    assert "/deploy/.env" in (REPOSITORY / ".gitignore").read_text().splitlines()


def test_what_is_published_is_listened_to_on_this_host_only() -> None:
    published = {}
    for name, service in services().items():
        for port in service.get("ports", []):
            address, outside, inside = port.split(":")
            assert address == "127.0.0.1"
            assert int(inside) in listening(name)
            published[name] = int(outside)
    assert set(published) == {"postgres", "mlflow", "serving"}
    assert len(set(published.values())) == len(published)


def test_who_speaks_to_whom_waits_for_it_at_a_port_that_is_there() -> None:
    found, asked = services(), set()
    for name, service in found.items():
        text = " ".join([*started_with(service), *words(service.get("environment"))])
        for other, port in re.findall(rf"(?<![\w-])({'|'.join(found)}):(\d+)", text):
            assert int(port) in listening(other), f"{name} asks {other} at {port}"
            assert other == name or other in waited_for(name), f"{name} does not wait for {other}"
            asked.add((name, other))
        for port in re.findall(r"(?:localhost|127\.0\.0\.1):(\d+)", " ".join(words(service.get("healthcheck")))):
            assert int(port) in listening(name)
    assert {("ingest", "kafka"), ("ingest", "milvus"), ("serving", "mlflow"), ("mlflow", "postgres")} <= asked


def test_the_order_has_no_loop_and_what_is_waited_for_can_come() -> None:
    found = services()
    for name, service in found.items():
        waited_for(name)
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_completed_successfully":
                assert found[other]["restart"] in ("no", "on-failure")
            else:
                assert how["condition"] == "service_healthy"
                assert found[other]["healthcheck"]["test"]


def test_every_service_is_bounded_pinned_and_watched() -> None:
    for name, service in services().items():
        limits = service["deploy"]["resources"]["limits"]
        assert float(limits["cpus"]) > 0
        assert re.fullmatch(r"\d+[GM]", limits["memory"])
        tag = service["image"].rpartition("/")[2].partition(":")[2]
        assert re.search(r"\d", tag), f"{name}: {service['image']} can be another image tomorrow"
        if service["restart"] == "unless-stopped":
            assert {"test", "interval", "timeout", "retries"} <= set(service["healthcheck"])


def test_images_have_the_versions_of_the_project() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    built = {service["image"] for service in services().values() if "build" in service}
    (mlflow,) = re.findall(r"^mlflow==(\S+)$", (DEPLOY / "mlflow/requirements.txt").read_text(), re.MULTILINE)
    assert built == {f"croquis-server:{project['version']}", f"croquis-mlflow:{mlflow}"}


def test_files_and_volumes_are_there() -> None:
    named = set()
    for service in services().values():
        if "build" in service:
            context = service["build"] if isinstance(service["build"], str) else service["build"]["context"]
            assert (DEPLOY / context / "Dockerfile").is_file()
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            if source.startswith("."):
                assert (DEPLOY / source).exists(), source
            else:
                named.add(source)
    assert named == set(load()["volumes"])


def test_the_databases_are_those_that_are_used() -> None:
    made = set(re.findall(r"^CREATE DATABASE (\w+);$", (DEPLOY / "postgres/databases.sql").read_text(), re.MULTILINE))
    first = services()["postgres"]["environment"]["POSTGRES_DB"]
    assert made | {first} == {"mlflow", "mlflow_users", "optuna"}
    used = re.findall(r'database\(\w+(?:\.\w+)?, "(\w+)"\)', SCRIPT.read_text())
    assert sorted(used) == ["mlflow", "mlflow_users"]
    assert "/optuna" in (DEPLOY / "README.md").read_text()


def test_the_page_gives_commands_that_are_there() -> None:
    """Every `docker compose` line: its services exist, and what is run by hand takes its options."""
    blocks = re.findall(r"^```\n(.*?)^```$", (DEPLOY / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    text = "".join(blocks).replace("\\\n", " ")
    known, ran = services(), set()
    for line in re.findall(r"docker compose (.+?)(?:\)|$| (?:[|>#]|&&) )", text, re.MULTILINE):
        task, *rest = shlex.split(line)
        while rest and rest[0].startswith("-"):
            rest = rest[2 if rest[0] == "--name" else 1 :]
        named = rest[:1] if task in ("run", "exec") else rest
        assert set(named) <= set(known), line
        if task == "run" and len(rest) > 1 and rest[0] in ("ingest", "versions", "feed"):
            options_of([*known[rest[0]]["entrypoint"], *rest[1:]], "croquis")
            ran.add((rest[0], rest[1]))
    assert {("versions", "publish"), ("versions", "rollback"), ("versions", "save"), ("versions", "load")} <= ran
