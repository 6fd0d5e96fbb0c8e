"""Who imports whom, read from the source: every import statement counts, in functions and under TYPE_CHECKING too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("croquis", "lightning_modules", "stages", "benchmarks")


@dataclass(frozen=True)
class Import:
    """One imported name: `file`, relative to the repository, imports `name`, e.g. `croquis.files.read_json`."""

    file: str
    line: int
    name: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.name}"


def python_files(*packages: str) -> list[Path]:
    """The files of some packages, given as folders, e.g. `croquis/index`."""
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[Import]:
    """`import a.b` as `a.b`, `from a import b` as `a.b`; the project has no relative imports."""
    file = path.relative_to(ROOT).as_posix()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (Import(file, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (Import(file, node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def room_of(name: str) -> str:
    """The room that a dotted name lies in: `index` for `croquis.index.build.load_index`, `files` for `croquis.files`,
    `croquis` for a name of the package itself, and the package for the others."""
    package, *rest = name.split(".")
    if package != "croquis" or not rest:
        return package
    inside = ROOT / package / rest[0]
    return rest[0] if inside.is_dir() or inside.with_suffix(".py").is_file() else package


def room_of_file(file: str) -> str:
    """The room of a file, given relative to the repository."""
    return room_of(".".join(Path(file).with_suffix("").parts).removesuffix(".__init__"))


def arrows() -> Iterator[tuple[str, str, Import]]:
    """Every import from one room into another: the importing room, the imported one, the statement."""
    for path in python_files(*PACKAGES):
        for found in imports(path):
            if found.name.split(".")[0] in PACKAGES:
                here, there = room_of_file(found.file), room_of(found.name)
                if here != there:
                    yield here, there, found
