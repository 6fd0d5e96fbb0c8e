"""Lists what there is of a kind, each with a line that says what it is.

croquis list              the kinds
croquis list methods
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from croquis.cli.command_line import command
from croquis.plugins import BACKBONES, METHODS, RERANKERS, SOURCES, STUDIES, PluginRegistry
from croquis.refusals import RefusedError, hint_of

Listed = Iterable[tuple[str, str]]


def kinds() -> dict[str, Callable[[], Listed]]:
    """Kind -> what gives name and one line of each of its entries."""
    return {
        "methods": lambda: plugins(METHODS),
        "sources": lambda: plugins(SOURCES),
        "indexes": indexes,
        "rerankers": lambda: plugins(RERANKERS),
        "backbones": backbones,
        "metrics": metrics,
        "rules": rules,
        "studies": lambda: plugins(STUDIES),
    }


def plugins(registry: PluginRegistry[Any]) -> Listed:
    """The parts of a registry, those of other installed packages included; none is imported."""
    return ((name, headline(registry.module_of(name))) for name in registry.names)


def indexes() -> Listed:
    """By the head of the vectors that they hold."""
    from croquis.index.kinds import INDEX_KINDS

    for kind in INDEX_KINDS:
        settings = ", ".join(field.name for field in fields(kind.settings))
        yield f"{kind.head}: {kind.name}", f"settings: {settings}" if settings else "compares every one; no settings"


def backbones() -> Listed:
    """Name and summary of every backbone."""
    return ((name, family.summary) for name, family in BACKBONES.entries.items())


def metrics() -> Listed:
    """Those of all protocols."""
    from croquis.evaluation.protocol import PROTOCOLS

    found: dict[str, list[str]] = {}
    for protocol in PROTOCOLS.values():
        for metric in protocol.metrics:
            found.setdefault(metric.name, []).append(protocol.name)
    return ((name, f"of protocol {', '.join(protocols)}") for name, protocols in found.items())


def rules() -> Listed:
    """Name of every rule of `validate`, with its severity and what it checks."""
    from croquis.validation.rules import ALL_RULES

    return ((rule.name, f"{rule.severity}: {rule.checks}") for rule in ALL_RULES)


def headline(module: str) -> str:
    """The first line of a module's docstring, without importing it; empty where it is not installed."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return ""
    doc = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8")))
    return (doc or "").partition("\n")[0]


@command(__doc__)
@click.argument("kind", required=False)
def list_command(kind: str | None) -> int:
    known = kinds()
    if kind is None:
        print("\n".join(known))
        return 0
    if kind not in known:
        raise RefusedError(f"{kind!r} is no kind; kinds are {', '.join(known)}{hint_of(kind, known)}")
    entries = list(known[kind]())
    width = max((len(name) for name, _ in entries), default=0)
    print("\n".join(f"{name:<{width}}  {says}".rstrip() for name, says in entries))
    return 0
