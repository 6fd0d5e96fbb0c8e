"""docs/tutorial.md: every command of it runs, and prints what stands below it."""

from __future__ import annotations

import contextlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from croquis.cli import main
from tests.support.environment import clear_environment
from tests.support.pipeline.small_project import environment
from tests.support.started_server import answer

ROOT = Path.cwd()
TUTORIAL = ROOT / "docs/tutorial.md"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SAVED = re.compile(r"Save this as `([\w.]+)`[^`]*?\n\n?```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)
HERE = "/home/me/tutorial"
# What differs from run to run, or from machine to machine.
CHANGING = (
    (re.compile(r"about \d+ (s|min|h) of"), "about N of"),
    (re.compile(r"in \d+ s \(\d+ a minute\)"), "in N s"),
    (re.compile(r"\b[0-9a-f]{10}([0-9a-f]{2})?\b"), "HASH"),
    (re.compile(r"[\d.]+ -> [\d.]+ ms a query, [\d.]+ times"), "N ms a query"),
)


def steps(text: str) -> Iterator[tuple[str, str]]:
    """Each command of the console blocks, and the output that stands below it."""
    for block in BLOCK.findall(text):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = part.partition("\n")
            yield command, printed.strip()


def same(printed: str) -> str:
    """Without what may differ."""
    for pattern, word in CHANGING:
        printed = pattern.sub(word, printed)
    return printed


def runnable(command: str) -> list[str]:
    """`croquis` and `python` of this environment."""
    words = shlex.split(command)
    ours = {"croquis": [sys.executable, "-m", "croquis"], "python": [sys.executable]}
    return [*ours.get(words[0], words[:1]), *words[1:]]


def run(command: str, folder: Path, variables: dict[str, str], captured: pytest.CaptureFixture[str]) -> str:
    """What a command prints; `> FILE` at its end is kept to.

    Those of `croquis` run in this process, but for `croquis repro`, which starts others.
    """
    command, _, target = command.partition(" > ")
    if command.startswith("croquis ") and not command.startswith("croquis repro"):
        captured.readouterr()
        with contextlib.chdir(folder):
            code = main(shlex.split(command)[1:])
        printed, errors = captured.readouterr()
    else:
        done = subprocess.run(
            runnable(command), cwd=folder, env=variables, capture_output=True, text=True, check=False, timeout=900
        )
        code, printed, errors = done.returncode, done.stdout, done.stderr
    assert code == 0, f"{command}: {errors}"
    if target:
        (folder / target).write_text(printed)
        return ""
    return printed.strip()


def run_all(text: str, place: Path, captured: pytest.CaptureFixture[str], programs: Path) -> Iterator[tuple[str, str]]:
    """Each command, and what it printed in a folder `place`, under the name `HERE`; servers run to the end.

    `programs` has the `python` that stages are run by.
    """
    variables = environment(programs) | {"PYTHONPATH": str(ROOT)}
    for name, content in SAVED.findall(text):
        (place / name).write_text(content)
    folder, servers = place, []
    try:
        for command, _ in steps(text):
            if command.startswith("cd "):
                folder = (folder / command.removeprefix("cd ")).resolve()
                yield command, ""
            elif command.endswith(" &"):
                servers.append(subprocess.Popen(runnable(command[:-2]), cwd=folder, env=variables))
                answer(f"http://127.0.0.1:{command.split()[-2]}/healthz", servers[-1])
                yield command, ""
            else:
                yield command, run(command, folder, variables, captured).replace(str(place), HERE)
    finally:
        for server in servers:
            server.terminate()
            server.wait(30)
    assert len(servers) == 2


@pytest.mark.slow
def test_every_command_prints_what_the_tutorial_shows(
    tmp_path: Path, programs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clear_environment(monkeypatch)
    text = TUTORIAL.read_text(encoding="utf-8")
    printed = [(command, same(shown)) for command, shown in run_all(text, tmp_path.resolve(), capsys, programs)]
    assert printed == [(command, same(shown)) for command, shown in steps(text)]
