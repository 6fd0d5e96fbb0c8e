"""What of a file counts, and which files a stage runs: from small packages to the project's own stages."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from croquis.params import load_params
from croquis.tracking.stage_code import NOT_FOLLOWED, PACKAGES, bare, code_files, code_hash, dotted
from stages import code
from tests.support.imports import ROOT, imports
from tests.support.pipeline.small_project import TINY, clone, environment

PARAMS = load_params()


@pytest.mark.parametrize(
    ("source", "left"),
    [
        ("x = 1  # one\n", "x = 1"),
        ("# alone\nx = 1\n", "x = 1"),
        ("x = 1\n\n\ny = 2\n", "x = 1\ny = 2"),
        ('"""Module."""\nx = 1\n', "x = 1"),
        ('"""Module,\n\nlong.\n"""\nx = 1\n', "x = 1"),
        ('def f():\n    """Docs."""\n    return 1\n', "def f():\n    return 1"),
        ('class A:\n    """Docs."""\n\n    x: int\n    """Of x."""\n', "class A:\n    x: int"),
        ('def f(): """Docs."""\n', 'def f(): """Docs."""'),  # a line with more than the docstring stays
        ('x = "# no comment"\n', 'x = "# no comment"'),
        ('x = "# no"  # but this\n', 'x = "# no"'),
        ('x = """a\n\n# b\n"""\n', 'x = """a\n\n# b\n"""'),
        ('f("""\n\n  "quoted" # inside\n""")\n', 'f("""\n\n  "quoted" # inside\n""")'),
        ("x = (\n    1,  # one\n    # more\n\n    2,\n)\n", "x = (\n    1,\n    2,\n)"),
        ('"é"; x = 1\n', '"é"; x = 1'),
        ("", ""),
    ],
)
def test_comments_docstrings_and_blank_lines_do_not_count(source: str, left: str):
    assert bare(source) == left


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1\n", "x = 2\n"),
        ('x = "a#b"\n', 'x = "a#c"\n'),
        ('x = """a\n\nb"""\n', 'x = """a\nb"""\n'),
        ("if x:\n    y()\nz()\n", "if x:\n    y()\n    z()\n"),
        ("# noqa\nx = 1\n", "# noqa\nx = 1.0\n"),
    ],
)
def test_whatever_can_change_what_a_file_does_counts(one: str, other: str):
    assert bare(one) != bare(other)


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


FILES = {
    "stages/__init__.py": "",
    "stages/one.py": "from croquis.room import a\n\ndef later():\n    import croquis.room.b\n",
    "croquis/__init__.py": "from croquis.lazy import x\n",
    "croquis/lazy.py": "x = 1\n",
    "croquis/room/__init__.py": "",
    "croquis/room/a.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from croquis.room.typed import T\n"
    "else:\n    from croquis.room import untyped\n",
    "croquis/room/b.py": "from croquis.other.deep import name\n",
    "croquis/room/typed.py": "",
    "croquis/room/untyped.py": "",
    "croquis/room/idle.py": "",
    "croquis/other/__init__.py": "",
    "croquis/other/deep.py": "import os\nname = os.name\n",
    "croquis/other/style.css": "a {}",
    "croquis/untouched/style.css": "b {}",
}


def test_the_closure_follows_every_import_that_runs(tmp_path: Path):
    found = {path.as_posix() for path in code_files(["stages.one"], write(tmp_path, FILES))}
    idle = {"croquis/room/typed.py", "croquis/room/idle.py", "croquis/untouched/style.css"}
    # Of `if TYPE_CHECKING` the whole statement is left out: our code has no `else` there.
    face = {"croquis/__init__.py", "croquis/lazy.py"}  # of NOT_FOLLOWED
    assert found == set(FILES) - idle - face - {"croquis/room/untyped.py"}


def test_modules_of_the_registry_count_and_those_not_followed_do_not(tmp_path: Path):
    root = write(tmp_path, FILES)
    assert Path("croquis/room/idle.py") in code_files(["stages.one", "croquis.room.idle"], root)
    left = {path.as_posix() for path in code_files(["stages.one"], root, frozenset({"croquis.room.b"}))}
    assert not left & {"croquis/room/b.py", "croquis/other/deep.py", "croquis/other/style.css"}
    assert code_files(["stages.absent", "croquis.room.a.T"], root) == []


def test_a_module_of_another_package_counts_by_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root, site = write(tmp_path / "root", FILES), tmp_path / "site"
    write(site, {"outside_code/__init__.py": "", "outside_code/part.py": "from outside_code import more\n"})
    monkeypatch.syspath_prepend(str(site))
    files = code_files(["outside_code.part"], root)
    assert files == [site / "outside_code/part.py"]
    before = code_hash(files, root)
    assert list(before) == ["outside_code/part.py"]  # where it is installed says nothing
    (site / "outside_code/part.py").write_text("from outside_code import more\nx = 1\n")
    assert code_hash(files, root) != before


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copied")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copyfile(ROOT / name, folder / name)
    return folder


def hashed(folder: Path) -> dict[str, bytes]:
    code.main(folder)
    return {path.stem: path.read_bytes() for path in (folder / code.CODE).iterdir()}


@pytest.fixture(scope="module")
def unchanged(copied: Path) -> dict[str, bytes]:
    return hashed(copied)


def changed_by(folder: Path, before: dict[str, bytes], name: str, text: str) -> set[str]:
    """The files of data/code that differ when `text` stands at the end of a file."""
    path = folder / name
    original = path.read_text()
    path.write_text(original + text)
    try:
        after = hashed(folder)
    finally:
        path.write_text(original)
    return {stage for stage in before if before[stage] != after[stage]}


SEARCHING = {"index", "evaluate", "register"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("lightning_modules/methods/spq.py", {"train_embedder-spq"}),
        ("croquis/index/binary_index.py", SEARCHING),
        ("croquis/rerank/rerankers/alpha_qe.py", SEARCHING),
        ("croquis/sources/rendered/scene.py", {"ingest"}),
        ("croquis/validation/data_docs.css", {"validate"}),
        ("croquis/serving/app.py", set()),
        ("croquis/sources/idx.py", set()),
    ],
)
def test_a_change_of_code_changes_those_that_run_it(
    copied: Path, unchanged: dict[str, bytes], name: str, stages: set[str]
):
    assert changed_by(copied, unchanged, name, "ADDED = 1\n") == stages


@pytest.mark.slow
def test_a_change_of_comments_and_docstrings_changes_nothing(copied: Path):
    for path in [*copied.rglob("methods/*.py"), *copied.glob("croquis/index/*.py"), *copied.glob("stages/*.py")]:
        path.write_text(f"# A word more.\n\n{path.read_text()}\n# The end.\n\n\n")
        relative = path.relative_to(copied).as_posix()
        assert bare(path.read_text()) == bare((ROOT / relative).read_text())
    expected = code_of(ROOT)
    assert {stage: json.loads(content) for stage, content in hashed(copied).items() if stage != "methods"} == expected
    for path in copied.rglob("*.py"):
        path.write_bytes((ROOT / path.relative_to(copied)).read_bytes())


def code_of(root: Path) -> dict[str, dict[str, str]]:
    return {stage: code_hash(files, root) for stage, files in closures(root).items()}


@cache
def closures(root: Path = ROOT) -> dict[str, list[Path]]:
    """Each file of data/code -> what its stage runs."""
    return {
        name: code_files([f"stages.{name.partition('-')[0]}", *further], root, code.not_followed(name))
        for name, further in code.modules(PARAMS).items()
    }


@cache
def imported_by(path: Path) -> set[str]:
    return {found.name for found in imports(path)}


@pytest.mark.parametrize("name", sorted(code.modules(PARAMS)))
def test_every_file_of_a_closure_is_there_and_imported_by_another(name: str):
    files = closures()[name]
    assert all((ROOT / path).is_file() for path in files)
    scripts = {path for path in files if path.suffix == ".py"}
    imported = {name for path in scripts for name in imported_by(ROOT / path)}
    begun = {f"stages.{name.partition('-')[0]}", *code.modules(PARAMS)[name]}
    for path in scripts:
        module = dotted(ROOT / path, ROOT).removesuffix(".__init__")
        parent = any(other.is_relative_to(path.parent) for other in scripts - {path}) and path.stem == "__init__"
        assert parent or module in begun or any(f"{each}.".startswith(f"{module}.") for each in imported), path
    for path in set(files) - scripts:
        assert any(other.parent == path.parent for other in scripts), path


# A module of `stages`, so that it is a fork: which of our modules are loaded once a stage or the checks have run.
LOADED = f"""
import json, runpy, sys

if sys.argv[1:] == ["checks"]:
    from croquis.params import load_params

    load_params("params.yaml", methods=True)
else:
    sys.argv = sys.argv[1:]
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        assert not end.code
ours = {{name: module.__file__ for name, module in sys.modules.items() if getattr(module, "__file__", None)}}
print(json.dumps([name for name in ours if name.partition(".")[0] in {PACKAGES!r}]))
"""
CHECKS = "checks"
RUNS = [
    ["stages.code"],
    ["stages.ingest"],
    ["stages.validate"],
    ["stages.train_embedder", "histogram"],
    ["stages.index", "histogram"],
    ["stages.evaluate", "histogram"],
]


def loaded(folder: Path, programs: Path, *arguments: str) -> set[str]:
    """Modules of ours that a process has loaded in the end; those of libraries may be there from its start."""
    command = [str(programs / "python"), "-m", "stages.loaded", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return set(json.loads(done.stdout.splitlines()[-1])) - {"stages.loaded"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, programs: Path) -> Iterator[dict[str, set[str]]]:
    """What real runs of the stages have loaded, and `checks`, what reading params.yaml does."""
    folder = clone(tmp_path_factory.mktemp("runs"), TINY)
    (folder / "stages/loaded.py").write_text(LOADED)
    found = {" ".join(argv): loaded(folder, programs, *argv) for argv in RUNS}
    yield {**found, CHECKS: loaded(folder, programs, CHECKS)}
    shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.parametrize("argv", RUNS[1:], ids=" ".join)
def test_what_a_real_run_loads_is_in_its_closure(runs: dict[str, set[str]], argv: list[str]):
    own = "-".join(argv).removeprefix("stages.") if "train" in argv[0] else argv[0].removeprefix("stages.")
    inside = {dotted(ROOT / path, ROOT).removesuffix(".__init__") for path in closures()[own]}
    outside = {name.removesuffix(".__init__") for name in NOT_FOLLOWED}
    used = runs[" ".join(argv)] - runs[CHECKS]
    assert argv[0] not in used, "it ran as __main__"
    assert used, "a stage loads more than its params"
    assert used <= inside | outside
