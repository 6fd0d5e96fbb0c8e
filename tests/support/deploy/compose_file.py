"""deploy/compose.yaml as a test reads it: merged, with every variable given a value."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML

from tests.support.command_line import options_of
from tests.support.environment import REPOSITORY

DEPLOY = REPOSITORY / "deploy"
COMPOSE = DEPLOY / "compose.yaml"
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)([^}]*)\}")
OPENED = re.compile(r"(?:--port=|--listen-client-urls=http://0\.0\.0\.0:|://:)(\d+)")
LISTENS = {"postgres": {5432}, "minio": {9000}, "milvus": {19530, 9091}}  # what their images do unasked
GIVEN = "a-value-of-24-characters"


def load(values: bool = True) -> dict[str, Any]:
    """The file with its anchors merged; `values`: with every variable replaced."""
    text = COMPOSE.read_text(encoding="utf-8")
    return YAML(typ="safe", pure=True).load(VARIABLE.sub(GIVEN, text) if values else text)  # type: ignore[no-any-return]


def services() -> dict[str, dict[str, Any]]:
    return load()["services"]  # type: ignore[no-any-return]


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


def listening(name: str) -> set[int]:
    """Ports that a service listens on."""
    said = services()[name]
    if name == "serving":
        return {options_of(command_of(said), "croquis", "serve")["port"]}
    if name == "ingest":
        return {options_of(command_of(said), "croquis", "events", "consume")["metrics_port"]}
    text = " ".join([*started_with(said), str(said.get("environment", {}).get("KAFKA_LISTENERS", ""))])
    return LISTENS.get(name, set()) | {int(port) for port in OPENED.findall(text)}


def waited_for(name: str, on_the_way: tuple[str, ...] = ()) -> set[str]:
    """Services that are up before this one starts; fails on a loop."""
    assert name not in on_the_way, f"they wait for one another: {' -> '.join((*on_the_way, name))}"
    direct = set(services()[name].get("depends_on", {}))
    return direct.union(*(waited_for(other, (*on_the_way, name)) for other in direct))
