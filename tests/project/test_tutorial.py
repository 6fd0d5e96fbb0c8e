"""docs/tutorial.md: every command of it runs, and prints what stands below it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

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


def run(command: str, folder: Path, environment: dict[str, str]) -> str:
    """What a command prints; `> FILE` at its end is kept to."""
    command, _, target = command.partition(" > ")
    done = subprocess.run(
        runnable(command), cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    if target:
        (folder / target).write_text(done.stdout)
        return ""
    return done.stdout.strip()


def run_all(text: str, place: Path) -> Iterator[tuple[str, str]]:
    """Each command, and what it printed in a folder `place`, under the name `HERE`; servers run to the end."""
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    environment |= {"PYTHONPATH": str(ROOT)}
    for name, content in SAVED.findall(text):
        (place / name).write_text(content)
    folder, servers = place, []
    try:
        for command, _ in steps(text):
            if command.startswith("cd "):
                folder = (folder / command.removeprefix("cd ")).resolve()
                yield command, ""
            elif command.endswith(" &"):
                servers.append(subprocess.Popen(runnable(command[:-2]), cwd=folder, env=environment))
                answer(f"http://127.0.0.1:{command.split()[-2]}/healthz", servers[-1])
                yield command, ""
            else:
                yield command, run(command, folder, environment).replace(str(place), HERE)
    finally:
        for server in servers:
            server.terminate()
            server.wait(30)
    assert len(servers) == 2


@pytest.mark.slow
def test_every_command_prints_what_the_tutorial_shows(tmp_path: Path) -> None:
    text = TUTORIAL.read_text(encoding="utf-8")
    printed = [(command, same(shown)) for command, shown in run_all(text, tmp_path.resolve())]
    assert printed == [(command, same(shown)) for command, shown in steps(text)]
