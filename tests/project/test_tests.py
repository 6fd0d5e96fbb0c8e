"""The tests mirror the tree and share code by `tests/support` only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.file_order import TESTS

MIRRORED = ("croquis", "lightning_modules", "benchmarks")
WITHOUT_A_ROOM = {"croquis/serving/browser"}  # the page in a browser: its files are croquis/serving/page


def imported(path: Path) -> Iterator[str]:
    """Dotted names that a file imports, `from a import b` as `a.b`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (f"{module}.{alias.name}" for alias in node.names)


@pytest.mark.slow
def test_no_test_imports_another_test_or_a_conftest():
    wrong = []
    for path in sorted(TESTS.rglob("*.py")):
        for name in imported(path):
            parts = name.split(".")
            ours = parts[0] == "tests" and parts[1:2] != ["support"]
            if ours or parts[0] in ("", "conftest") or any(part.startswith("test_") for part in parts[:-1]):
                wrong.append(f"{path.relative_to(TESTS)} imports {name}")
    assert not wrong


def test_no_test_changes_where_modules_are_found():
    words = ("sys.path." + "insert", "sys.path." + "append")
    texts = {path: path.read_text(encoding="utf-8") for path in TESTS.rglob("*.py")}
    assert [path for path, text in texts.items() if any(word in text for word in words)] == []


@pytest.mark.parametrize("package", MIRRORED)
def test_every_folder_of_tests_has_a_room_of_its_name(package: str):
    folders = {path.parent.relative_to(TESTS).as_posix() for path in (TESTS / package).rglob("*.py")} - WITHOUT_A_ROOM
    assert [folder for folder in sorted(folders) if not Path(folder).is_dir()] == []


def test_tests_of_stages_are_named_after_what_they_run():
    stages = {path.stem for path in Path("stages").glob("*.py")}
    several = {"coded_methods", "official_sources"}  # they run one stage after the other
    tested = {path.stem.removeprefix("test_") for path in (TESTS / "stages").glob("test_*.py")}
    assert tested - several <= stages


@pytest.mark.slow
def test_no_test_asserts_how_long_something_took():
    """A slow machine would fail it; a wait may have a deadline."""
    clocks = {"time", "monotonic", "perf_counter", "process_time"}
    wrong = []
    for path in sorted(TESTS.rglob("*.py")):
        asserts = [
            node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Assert)
        ]
        differences = [node for each in asserts for node in ast.walk(each) if isinstance(node, ast.BinOp)]
        wrong += [
            f"{path.relative_to(TESTS)}:{node.lineno}"
            for node in differences
            for call in ast.walk(node)
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in clocks
        ]
    assert not wrong


def test_support_holds_no_tests():
    assert not list((TESTS / "support").rglob("test_*.py"))
    assert not list((TESTS / "support").rglob("conftest.py"))


def test_file_names_are_unique():
    """So that a name alone says which file is meant."""
    names = [path.name for path in TESTS.rglob("test_*.py")]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []
