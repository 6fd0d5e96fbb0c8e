"""Which files of the project a module needs: its imports, theirs, and so on, function-level imports included."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGES = ("croquis", "lightning_modules", "stages")


def file_of(module: str) -> Path | None:
    path = Path(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


@cache
def imports(path: Path) -> frozenset[str]:
    """Modules of the project that a file imports; those under `if TYPE_CHECKING` do not run and do not count."""
    return frozenset(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in _running(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        yield from (name for name in names if name.split(".")[0] in PACKAGES and file_of(name))


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        yield node
        yield from _running(node)


def closure(path: Path, not_followed: tuple[str, ...] = ()) -> set[Path]:
    """All files that run when `path` is run; packages in `not_followed` are left out with what only they import."""
    seen: set[Path] = set()
    waiting = [path]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        for module in imports(current):
            if module.split(".")[0] in not_followed:
                continue
            found = file_of(module)
            if found is not None:
                waiting += [found, *_parents(found)]
    return seen


def _parents(path: Path) -> list[Path]:
    return [parent / "__init__.py" for parent in path.parents if (parent / "__init__.py").is_file()]
