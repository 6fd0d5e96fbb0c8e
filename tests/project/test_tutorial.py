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
SCRIPT = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def steps(text: str) -> Iterator[tuple[str, str]]:
    """Each command of the console blocks, and the output that stands below it."""
    for block in BLOCK.findall(text):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = part.partition("\n")
            yield command, printed.strip()


def runnable(command: str) -> list[str]:
    """`croquis` and `python` of this environment."""
    words = shlex.split(command)
    ours = {"croquis": [sys.executable, "-m", "croquis"], "python": [sys.executable]}
    return [*ours.get(words[0], words[:1]), *words[1:]]


def run(command: str, folder: Path, environment: dict[str, str]) -> str:
    """What a command prints; `> FILE` at its end is kept to."""
    command, _, target = command.partition(" > ")
    done = subprocess.run(
        runnable(command), cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    if target:
        (folder / target).write_text(done.stdout)
        return ""
    return done.stdout.strip()


@pytest.mark.slow
def test_every_command_prints_what_the_tutorial_shows(tmp_path: Path) -> None:
    text = TUTORIAL.read_text(encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    (tmp_path / "render.py").write_text("".join(SCRIPT.findall(text)))
    servers: list[subprocess.Popen[bytes]] = []
    printed: list[tuple[str, str]] = []
    try:
        for command, _ in steps(text):
            if command.endswith(" &"):
                servers.append(subprocess.Popen(runnable(command[:-2]), cwd=tmp_path, env=environment))
                answer("http://127.0.0.1:8765/healthz", servers[-1])
                printed.append((command, ""))
            else:
                printed.append((command, run(command, tmp_path, environment)))
    finally:
        for server in servers:
            server.terminate()
            server.wait(30)
    assert len(servers) == 1
    assert printed == list(steps(text))
