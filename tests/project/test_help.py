"""`--help` does no work: every module that can be run and every sub-command prints its usage and leaves the folder empty."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from croquis.cli import main
from croquis.cli.command_line import LazyGroup
from croquis.cli.command_tree import croquis

ROOT = Path.cwd()
FOLDERS = ("benchmarks", "croquis", "deploy", "lightning_modules", "stages")
MAIN = re.compile(r'^if __name__ == "__main__":$', re.MULTILINE)
# Each runs in an empty folder of its own, as a fork of one process that has imported what is slow to import. Not
# onnxruntime: it begins a thread, which a fork would lack.
RUNNER = """
import contextlib, importlib, os, runpy, sys, tempfile
for name in ("cv2", "faiss", "great_expectations", "mlflow", "optuna", "pandas", "pytorch_lightning", "torchvision"):
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
failed = []
for line in sys.stdin.read().split("\\n"):
    kind, name = line.split(" ", 1)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as output:
        pid = os.fork()
        if pid == 0:
            os.chdir(folder)
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            code = 0
            try:
                sys.argv = [name, "--help"]
                (runpy.run_module if kind == "module" else runpy.run_path)(name, run_name="__main__")
            except SystemExit as end:
                code = end.code or 0
            except BaseException as error:
                code = repr(error)
            print(f"code {code}", flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
        output.seek(0)
        said, _, code = output.read().rpartition("code ")
        usage = said.lower().lstrip().startswith("usage: ")
        if code.strip() != "0" or not usage or os.listdir(folder):
            failed.append(f"{line}: code {code.strip()}, left {os.listdir(folder)}, said {said[:300]!r}")
print("\\n".join(failed), end="")
"""


def modules() -> list[str]:
    """`module NAME` or `file PATH` of everything that can be run."""
    found = []
    for path in sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        if MAIN.search(path.read_text(encoding="utf-8")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
            found.append(f"file {path}" if path.is_relative_to(ROOT / "deploy") else f"module {name}")
    programs = re.findall(r"\$\(PYTHON\) -m (tests\.\S+)", (ROOT / "Makefile").read_text(encoding="utf-8"))
    return [*found, *(f"module {name}" for name in programs)]


def commands(group: LazyGroup = croquis, prefix: str = "") -> Iterator[str]:
    """Every group and sub-command, from the tree."""
    yield prefix
    for name, entry in group.entries.items():
        found = entry.load()
        if isinstance(found, LazyGroup):
            yield from commands(found, f"{prefix}{name} ")
        else:
            assert isinstance(found, click.Command)
            yield f"{prefix}{name}"


def without_success(asked: list[str]) -> str:
    """What did not end well, ran without a usage, or wrote something."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUNNER],
        input="\n".join(asked),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_help_of_what_can_be_run_prints_the_usage_and_writes_nothing():
    asked = modules()
    assert {"module stages.ingest", "module croquis"} <= set(asked)
    assert without_success(asked) == ""


def test_help_of_every_command_prints_the_usage_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    asked = [*commands()]
    assert {"", "registry promote"} <= set(asked)
    for name in asked:
        assert main([*name.split(), "--help"]) == 0, name
        assert capsys.readouterr().out.startswith("Usage: croquis"), name
        assert not list(tmp_path.iterdir()), name


def test_only_stages_benchmarks_and_the_command_can_be_run():
    names = {line.partition(" ")[2] for line in modules() if line.startswith("module ")}
    assert {name for name in names if name.partition(".")[0] in ("croquis", "lightning_modules")} == {"croquis"}
    stages = {path.stem for path in (ROOT / "stages").glob("*.py")} - {"__init__"}
    assert {name.removeprefix("stages.") for name in names if name.startswith("stages.")} == stages


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["stages.ingest", "siamese"], "error: unrecognized arguments: siamese (python -m stages.ingest --help)"),
        (["stages.index"], "error: the following arguments are required: METHOD (python -m stages.index --help)"),
    ],
)
def test_a_stage_refuses_arguments_that_it_does_not_have(tmp_path: Path, arguments: list[str], words: str):
    assert run_stage(tmp_path, *arguments) == (2, f"{words}\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_stage_tells_what_is_wrong_in_one_line_and_where_with_debug(tmp_path: Path):
    words = "error: params.yaml does not exist; run from the project root\n"
    assert run_stage(tmp_path, "stages.validate") == (1, words)
    code, told = run_stage(tmp_path, "stages.validate", "--debug")
    assert code == 1
    assert "Traceback" in told
    assert "ParamsError" in told


def run_stage(folder: Path, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-W", "ignore", "-m", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr
