"""The compose file, which nobody has run: its schema, and that our commands take the options that it gives them."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import pytest

from tests.support.command_line import options_of
from tests.support.deploy.compose_file import COMPOSE, DEPLOY, command_of, services
from tests.support.environment import REPOSITORY


@pytest.mark.slow
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


def test_every_log_is_bounded() -> None:
    for name, service in services().items():
        assert service["logging"]["driver"] == "json-file", name
        assert {"max-size", "max-file"} <= set(service["logging"]["options"]), name


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
