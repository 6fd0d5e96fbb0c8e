"""The layout of the repository: what lies at the root, how large a room is, and that a name stands for one thing."""

from __future__ import annotations

import ast
import subprocess
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import pytest
from ruamel.yaml import YAML

from tests.support.imports import PACKAGES, ROOT, python_files

AT_THE_ROOT = {
    *(
        "benchmarks",
        "croquis",
        "data",
        "deploy",
        "docs",
        "examples",
        "lightning_modules",
        "mlruns",
        "presets",
        "stages",
        "tests",
    ),
    *("models", "reports"),  # what the pipeline puts out
    "locks",  # versions of packages, by use
    *(".ci", ".dvc", ".github"),
}
MOST_FILES = 15  # of Python
MOST_LINES = 3
NOT_PYTHON = {
    "croquis/serving/page": "the 25 files of one web page, which a browser loads by these names",
}
SAME_STEMS = {
    "__init__": "Python's name for a package",
    "__main__": "Python's name for what `python -m` runs",
}
# Of two classes of one name, one may be the params block of the other: it then stands in croquis/params.
BLOCKS = "croquis/params/"


def tracked() -> list[PurePosixPath]:
    """Files of the repository, new ones included, relative to it."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [PurePosixPath(line) for line in listed if (ROOT / line).is_file()]


def rooms() -> dict[str, list[PurePosixPath]]:
    """Folder -> its files, for all folders of the packages."""
    found: dict[str, list[PurePosixPath]] = defaultdict(list)
    for path in tracked():
        if path.parts[0] in PACKAGES:
            found[path.parent.as_posix()].append(path)
    return found


def several(places: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The names that stand in more than one place."""
    return {name: files for name, files in places.items() if len(files) > 1}


def test_the_root_holds_what_the_layout_names() -> None:
    assert {path.parts[0] for path in tracked() if len(path.parts) > 1} <= AT_THE_ROOT


def test_no_room_is_large() -> None:
    sizes = {room: sum(path.suffix == ".py" for path in files) for room, files in rooms().items()}
    assert {room: size for room, size in sizes.items() if size > MOST_FILES} == {}
    assert {room for room, size in sizes.items() if size == 0} == set(NOT_PYTHON)


def test_every_room_says_in_three_lines_what_it_holds() -> None:
    wrong = {}
    for room in set(rooms()) - set(NOT_PYTHON) - {"croquis"}:  # that one is the public face, which explains its use
        init = ROOT / room / "__init__.py"
        said = ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))) if init.is_file() else None
        lines = len(said.splitlines()) if said else 0
        if not 1 <= lines <= MOST_LINES:
            wrong[room] = lines
    assert not wrong


def test_no_file_name_stands_twice() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in python_files(*PACKAGES):
        if path.stem not in SAME_STEMS:
            places[path.stem].append(path.relative_to(ROOT).as_posix())
    assert not several(places)


@pytest.mark.slow
def test_no_class_name_stands_twice_but_for_params_blocks() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in python_files(*PACKAGES):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(path.relative_to(ROOT).as_posix())
    twice = several(places)
    pairs = {name for name, files in twice.items() if len(files) == 2 and sum(f.startswith(BLOCKS) for f in files) == 1}
    assert not {name: files for name, files in twice.items() if name not in pairs}


def test_the_folder_stages_holds_the_stages_of_dvc_yaml() -> None:
    pipeline = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    files = {path.stem for path in (ROOT / "stages").glob("*.py")} - set(SAME_STEMS)
    assert files == set(pipeline["stages"])
    assert [path for path in Path(ROOT, "stages").iterdir() if path.is_dir() and path.name != "__pycache__"] == []
