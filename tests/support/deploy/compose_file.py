"""deploy/compose.yaml as a test reads it: merged, with every variable given a value."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML

from tests.support.environment import REPOSITORY

DEPLOY = REPOSITORY / "deploy"
COMPOSE = DEPLOY / "compose.yaml"
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)([^}]*)\}")
GIVEN = "a-value-of-24-characters"


def services() -> dict[str, dict[str, Any]]:
    """With anchors merged and every variable replaced."""
    text = VARIABLE.sub(GIVEN, COMPOSE.read_text(encoding="utf-8"))
    return YAML(typ="safe", pure=True).load(text)["services"]  # type: ignore[no-any-return]


def words(value: Any) -> Iterator[str]:
    """Every string and number in a part of the file, keys left out."""
    if isinstance(value, dict):
        for part in value.values():
            yield from words(part)
    elif isinstance(value, list):
        for part in value:
            yield from words(part)
    elif value is not None:
        yield str(value)


def command_of(service: dict[str, Any]) -> list[str]:
    """All words that a service's program is started with."""
    return [str(word) for word in (*service.get("entrypoint", dockerfile_words("ENTRYPOINT")), *service["command"])]


def started_with(service: dict[str, Any]) -> list[str]:
    """Entrypoint and command, as far as the file gives them."""
    return [*words(service.get("entrypoint")), *words(service.get("command"))]


def dockerfile_words(name: str) -> list[str]:
    """The words of an instruction of the project's Dockerfile."""
    (line,) = re.findall(rf"^{name} (.*)$", (REPOSITORY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    return [str(word) for word in json.loads(line)]
