"""The command line itself: version, misspelt words, exit codes, verbosity, tracebacks, completion, and what it imports."""

from __future__ import annotations

import json
import logging
import os
import resource
import subprocess
import sys
from pathlib import Path

import click
import pytest

from croquis.cli import main
from croquis.cli.command_line import Invocation, Subcommand, command
from croquis.cli.command_tree import COMMANDS, REGISTRY
from croquis.refusals import RefusedError

HEAVY = {"torch", "mlflow", "dvc", "pandas", "pydantic", "numpy", "optuna", "uvicorn", "ruamel"}
LISTED = """
import json, sys
from croquis.cli import main
code = main(["--help"])
print(json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command `raise`, which raises what its argument names, and `log`, which logs at two levels."""

    @command("Raises.")
    @click.argument("name")
    def raising(name: str) -> int:
        errors = {"ours": RefusedError("7 is too many: take 6"), "other": KeyError("x"), "ctrl-c": KeyboardInterrupt()}
        raise {**errors, "package": ModuleNotFoundError("no", name="ray.util")}[name]

    @command("Logs.")
    @click.pass_obj
    def log(invocation: Invocation) -> int:
        invocation.set_up_logging()
        print(logging.getLogger().level)
        return 3

    monkeypatch.setitem(globals(), "raising", raising)
    monkeypatch.setitem(globals(), "log", log)
    monkeypatch.setitem(sys.modules, "croquis_test_commands", sys.modules[__name__])
    monkeypatch.setitem(COMMANDS, "raise", Subcommand("croquis_test_commands:raising", "raise", "scale"))
    monkeypatch.setitem(COMMANDS, "log", Subcommand("croquis_test_commands:log", "log", "scale"))


def test_it_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("croquis 0.")


def test_help_imports_nothing_heavy_and_is_quick(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run(
        [sys.executable, "-c", LISTED], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    *said, last = done.stdout.splitlines()
    code, modules = json.loads(last)
    assert code == 0
    assert not HEAVY & set(modules)
    for name, entry in COMMANDS.items():
        assert any(line.split() and line.split()[0] == name and entry.says[:20] in line for line in said)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 0.3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["tuen"], "No such command 'tuen'. Did you mean 'tune'? (croquis --help)"),
        (["registry", "promot"], "No such command 'promot'. Did you mean 'promote'? (croquis registry --help)"),
        (["preset", "--dif"], "No such option '--dif'. Did you mean '--diff'?"),
        (["repro", "--jobs", "many"], "Invalid value for '--jobs': 'many' is not a valid integer range."),
        (["serve", "one", "two"], "Got unexpected extra argument (two)"),
    ],
)
def test_a_misspelt_word_is_told_in_one_line_with_what_was_meant(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert told in written.err
    assert written.err.startswith("error: ")
    assert written.err.count("\n") == 1


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "Commands:" in capsys.readouterr().err
    assert main(["registry"]) == 2
    shown = capsys.readouterr().err
    assert all(entry.says[:20] in shown for entry in REGISTRY.values())


@pytest.mark.parametrize(
    ("name", "code", "told"),
    [
        ("ours", 1, "error: 7 is too many: take 6\n"),
        ("other", 1, "error: unexpected KeyError: 'x' (--debug shows where)\n"),
        ("package", 1, "error: ray is not installed: pip install 'croquis[scale]'\n"),
        ("ctrl-c", 130, "\nerror: interrupted\n"),
    ],
)
@pytest.mark.usefixtures("added")
def test_an_error_is_one_line_and_an_exit_code(
    name: str, code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["raise", name]) == code
    assert capsys.readouterr().err == told


@pytest.mark.parametrize("arguments", [["--debug", "raise", "ours"], ["raise", "--debug", "ours"]])
@pytest.mark.usefixtures("added")
def test_debug_shows_the_traceback_before_the_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 1
    told = capsys.readouterr().err
    assert told.startswith("Traceback (most recent call last):")
    assert told.endswith("error: 7 is too many: take 6\n")


@pytest.mark.parametrize(
    ("arguments", "level"),
    [
        (["log"], logging.WARNING),
        (["-v", "log"], logging.INFO),
        (["log", "-vv"], logging.DEBUG),
        (["-v", "log", "-v"], logging.DEBUG),
        (["-q", "log"], logging.ERROR),
    ],
)
@pytest.mark.usefixtures("added")
def test_verbosity_may_stand_before_or_after_the_command(
    arguments: list[str], level: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TQDM_DISABLE", "")
    monkeypatch.setattr(logging, "basicConfig", lambda **given: logging.getLogger().setLevel(given["level"]))
    before = logging.getLogger().level
    try:
        assert main(arguments) == 3
    finally:
        logging.getLogger().setLevel(before)
    assert capsys.readouterr().out == f"{int(level)}\n"
    assert os.environ["TQDM_DISABLE"] == ("1" if level == logging.ERROR else "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_is_shown(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    if shell == "bash" and not Path("/bin/bash").exists():
        pytest.skip("there is no bash here")
    assert main(["completion", shell]) == 0
    assert f"_CROQUIS_COMPLETE={shell}_complete" in capsys.readouterr().out


def test_commands_are_completed_without_importing_them(tmp_path: Path) -> None:
    asked = {"_CROQUIS_COMPLETE": "bash_complete", "COMP_WORDS": "croquis registry pro", "COMP_CWORD": "2"}
    environment = {**os.environ, **asked, "PYTHONPATH": str(Path.cwd())}
    code = "import sys; from croquis.cli import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["plain,promote"]
