"""`make repro`: stages that do not need each other run at the same time, and DVC finds everything done afterwards."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from croquis.cli import main
from croquis.cli.commands import repro
from croquis.cli.commands.repro import needed_by, to_run
from croquis.refusals import RefusedError

PARAMS = Path.cwd() / "params.yaml"
DVC = [sys.executable, "-m", "dvc"]
# `left` and `right` end only when they meet.
PIPELINE = """\
stages:
  source:
    cmd: cp number.txt source.txt
    deps: [number.txt]
    outs: [source.txt]
  left:
    cmd: sh meet.sh .left .right && cp source.txt left.txt
    deps: [source.txt]
    outs: [left.txt]
  right:
    cmd: sh meet.sh .right .left && cp source.txt right.txt
    deps: [source.txt]
    outs: [right.txt]
  sum:
    cmd: cat left.txt right.txt > sum.txt; echo the sum is made
    deps: [left.txt, right.txt]
    outs: [sum.txt]
"""
MEET = 'touch "$1"; for i in $(seq 200); do test -e "$2" && exit 0; sleep 0.1; done; exit 1'
NEEDS = {
    "source": frozenset(),
    "left": frozenset({"source"}),
    "right": frozenset({"source"}),
    "sum": frozenset({"left", "right"}),
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    for command in (["git", "init", "-q"], [*DVC, "init", "-q"]):
        subprocess.run(command, cwd=tmp_path, check=True)
    shutil.copyfile(PARAMS, tmp_path / "params.yaml")
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    (tmp_path / "meet.sh").write_text(MEET)
    (tmp_path / "number.txt").write_text("1\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_branches_run_at_the_same_time_and_nothing_is_left_to_do(project, capfd):
    assert main(["repro", "--jobs", "2"]) == 0
    assert (project / "sum.txt").read_text() == "1\n1\n"
    said = capfd.readouterr().out
    assert "[left] done after" in said
    assert "[right] done after" in said
    assert "\nthe sum is made\n" in said  # alone, so without a name before it
    assert subprocess.run([*DVC, "status", "-q"], cwd=project, check=False).returncode == 0
    (project / "number.txt").write_text("2\n")
    assert main(["repro", "--jobs", "2"]) == 0
    assert (project / "sum.txt").read_text() == "2\n2\n"
    capfd.readouterr()
    assert main(["repro", "--jobs", "2"]) == 0
    said = capfd.readouterr().out
    assert "done after" not in said
    assert "up to date" in said


@pytest.mark.slow
def test_after_a_failure_nothing_more_is_started(project, capfd):
    (project / "dvc.yaml").write_text(PIPELINE.replace("&& cp source.txt left.txt", "&& cp no-such-file left.txt"))
    assert main(["repro", "--jobs", "2"]) == 1
    said = capfd.readouterr()
    assert "[left] ended with status" in said.out
    assert "no-such-file" in said.out
    assert "failed: left" in said.err
    assert (project / "right.txt").exists()  # it had begun, and is kept
    assert not (project / "sum.txt").exists()
    (project / "dvc.yaml").write_text(PIPELINE)
    assert main(["repro", "--jobs", "2"]) == 0
    assert (project / "sum.txt").exists()


def test_stages_are_forks_of_the_process_whose_python_stands_first_on_the_path(tmp_path, monkeypatch):
    """Whatever started it; here, nothing listens."""
    monkeypatch.chdir(tmp_path)  # the path of a socket has 107 characters at most
    python, listener = tmp_path / "python", socket.socket(socket.AF_UNIX)
    listener.bind("socket")
    listener.close()
    python.touch(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    taken = []
    monkeypatch.setattr(repro, "run", lambda _plan, _jobs, _root, programs=None: taken.append(programs) or [])
    repro.run_all(NEEDS, 2, tmp_path)
    (tmp_path / "socket").unlink()
    repro.run_all(NEEDS, 2, tmp_path)
    assert taken == [tmp_path, None]


def test_a_plan_holds_what_changed_and_what_hangs_on_it():
    assert to_run(NEEDS, ["left"]) == {"left": frozenset(), "sum": frozenset({"left"})}
    assert to_run(NEEDS, ["source"]) == NEEDS
    assert to_run(dict(reversed(NEEDS.items())), ["source"]) == NEEDS  # dvc.yaml may name a stage before what it reads
    assert to_run(NEEDS, []) == {}


def test_a_stage_needs_what_it_hangs_on_and_no_other():
    assert needed_by("left", NEEDS) == {"left": frozenset({"source"}), "source": frozenset()}
    assert needed_by("sum", NEEDS) == NEEDS
    with pytest.raises(RefusedError, match=r"dvc\.yaml has no stage elsewhere"):
        needed_by("elsewhere", NEEDS)


def test_a_number_of_jobs_below_one_is_refused(capsys):
    assert main(["repro", "--jobs", "0"]) == 2
    assert "Invalid value for '--jobs': 0 is not in the range x>=1" in capsys.readouterr().err
