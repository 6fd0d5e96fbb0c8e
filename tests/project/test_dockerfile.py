"""The Dockerfile: what a linter says of it, and that what it copies, installs and starts is what the project has."""

from __future__ import annotations

import json
import re

import pytest

from croquis.serving.server_settings import ServeOptions
from tests.support.command_line import options_of
from tests.support.deploy.dockerfiles import assert_clean
from tests.support.environment import REPOSITORY


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    """Name and arguments of each instruction, in order."""
    text = (REPOSITORY / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(name, arguments) for name, _, arguments in (line.partition(" ") for line in lines)]


def last(instructions: list[tuple[str, str]], name: str) -> str:
    return [arguments for found, arguments in instructions if found == name][-1]


def test_the_linter_finds_nothing() -> None:
    assert_clean("Dockerfile")


def test_the_build_is_given_the_package_the_locks_and_nothing_large() -> None:
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    given = {rule[1:] for rule in rules if rule.startswith("!")}
    metadata = {"pyproject.toml", "README.md", "LICENSE"}  # setuptools needs them, and the files of `share/croquis`
    assert given == {"croquis", "locks", *metadata, "params.yaml", "dvc.yaml", ".dvcignore", ".dvc/plots"}


def test_all_that_is_installed_is_locked(instructions: list[tuple[str, str]]) -> None:
    packages, project = [arguments for name, arguments in instructions if name == "RUN"]
    assert re.search(r"""pip install [^&]*--require-hashes -r "locks/\$LOCK\.txt\"""", packages)
    assert re.search(r"pip install [^&]*--no-deps \.", project)
    (lock,) = re.findall(r"LOCK=(.+)", last(instructions, "ARG"))
    assert (REPOSITORY / f"locks/{lock}.txt").is_file()  # test_locks.py says what is in it


def test_it_runs_as_nobody_special_and_tells_its_health(instructions: list[tuple[str, str]]) -> None:
    assert int(last(instructions, "USER")) >= 10_000
    assert [name for name, _ in instructions].index("USER") < [name for name, _ in instructions].index("ENTRYPOINT")
    assert "/readyz" in last(instructions, "HEALTHCHECK")


def test_the_start_command_is_one_that_the_server_takes(instructions: list[tuple[str, str]]) -> None:
    entry, command = (json.loads(last(instructions, name)) for name in ("ENTRYPOINT", "CMD"))
    given = options_of([*entry, *command], "croquis", "serve")
    assert given.pop("folder") is None  # the bundle is an option here
    options = ServeOptions(**given)
    volumes = json.loads(last(instructions, "VOLUME"))
    assert [str(options.bundle), str(options.changes)] == volumes
    assert str(options.port) == last(instructions, "EXPOSE")
    assert f":{options.port}/readyz" in last(instructions, "HEALTHCHECK")
