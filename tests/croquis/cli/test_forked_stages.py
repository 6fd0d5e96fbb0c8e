"""A fork does what a Python of its own would do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from croquis.cli import forked_stages

SPEAKS = """
import os, sys
print(sys.argv[1:], os.getcwd(), os.environ.get("WORD"), sys.stdin.read(), __name__, sys.path[0])
print("to stderr", file=sys.stderr)
sys.exit(eval(sys.argv[1]))
"""
FAILS = "raise ValueError('no')"
SLEEPS = """
import pathlib, os, signal, time
pathlib.Path("pid").write_text(str(os.getpid()))
try:
    time.sleep(60)
except KeyboardInterrupt:
    pathlib.Path("interrupted").touch()
    raise
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "stages").mkdir()
    for name, text in {"__init__": "", "speaks": SPEAKS, "fails": FAILS, "sleeps": SLEEPS}.items():
        (tmp_path / f"stages/{name}.py").write_text(text)
    return tmp_path


@pytest.fixture(scope="module")
def python() -> Iterator[Path]:
    # A shell that starts the tests in the background has them ignore SIGINT, and what they start inherits that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forked_stages, "LIBRARIES", ())
        with forked_stages.forked_stages(wait=True) as programs:
            yield programs / "python"
    signal.signal(signal.SIGINT, before)


def run(python: Path | str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "WORD": "said"}
    return subprocess.run([python, *arguments], cwd=folder, env=variables, input="in", capture_output=True, text=True)


@pytest.mark.parametrize("status", ["None", "0", "3", "'told'", "os.kill(os.getpid(), 15)"])
def test_output_folder_environment_and_status_are_those_of_a_python(python: Path, folder: Path, status: str) -> None:
    found, right = (run(each, folder, "-m", "stages.speaks", status) for each in (python, sys.executable))
    assert (found.returncode, found.stdout, found.stderr) == (right.returncode, right.stdout, right.stderr)


def test_an_error_is_shown_where_it_would_be(python: Path, folder: Path) -> None:
    found = run(python, folder, "-m", "stages.fails")
    assert found.returncode == 1
    assert found.stderr.endswith("ValueError: no\n")


def test_all_else_is_the_real_python(python: Path, folder: Path) -> None:
    assert (
        run(python, folder, "-c", "import os, sys; print(os.getppid(), sys.orig_argv[1])").stdout
        == f"{os.getpid()} -c\n"
    )
    assert run(python, folder, "-m", "timeit", "-n1", "-r1").returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_fork_ends_with_its_client(python: Path, folder: Path, number: signal.Signals) -> None:
    client = subprocess.Popen([python, "-m", "stages.sleeps"], cwd=folder, stderr=subprocess.DEVNULL)
    while not (folder / "pid").is_file() or not (folder / "pid").read_text():
        time.sleep(0.01)
    client.send_signal(number)
    assert client.wait(timeout=60) == -number
    fork = int((folder / "pid").read_text())
    for _ in range(1000):
        if not Path(f"/proc/{fork}").exists():
            break
        time.sleep(0.01)
    assert not Path(f"/proc/{fork}").exists()
    assert (folder / "interrupted").exists() == (number == signal.SIGINT)


def test_without_a_process_to_fork_stages_run_in_a_python_of_their_own(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "threaded.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(0.1,)).start()"
    )
    monkeypatch.setattr(forked_stages, "LIBRARIES", ("threaded",))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with forked_stages.forked_stages() as programs:
        found = run(programs / "python", folder, "-m", "stages.speaks", "4")
    assert found.returncode == 4
    assert "['4']" in found.stdout
