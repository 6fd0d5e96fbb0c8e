"""A real git + DVC project, and commands run in it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from croquis.tracking.environment import quiet
from tests.support.environment import OUTSIDE, REPOSITORY

PIPELINE = """
stages:
  prepare:
    cmd: python -m stages.report prepare
    deps: [stages/report.py, source.txt]
    params: [base]
    outs: [data/raw, reports/runs/prepare]
  train:
    matrix:
      method: [small, large]
    cmd: python -m stages.report train ${item.method}
    deps: [stages/report.py, data/raw]
    params: [base.seed, train.rate, train.sizes]
    outs: ["reports/runs/train-${item.method}"]
    metrics: ["scores-${item.method}.json": {cache: false}]
    plots: ["curve-${item.method}.json": {cache: false, x: step, y: hit}]
"""
PARAMS = """
base: {seed: 7, scale: 1.0}
train: {rate: 0.0001, sizes: [1.0, 2.5], word: "on"}
"""
SCRIPT = """
import json, re, sys
from pathlib import Path
from croquis.tracking.stage_run import stage_run

stage, item = sys.argv[1], (sys.argv[2] if len(sys.argv) > 2 else None)
with stage_run(stage, item, params={"rate": 0.0001, "fit": {"epochs": 2}}) as run:
    if stage == "prepare":
        Path("data/raw").mkdir(parents=True, exist_ok=True)
        Path("data/raw/rows.txt").write_text("rows")
    run.metric("rows", 4.0)
    run.history("val/hit@1", [(0, 0.25), (1, 0.5)])
    run.volatile("seconds", 1.5)
    run.tag("note", f"{stage} {item}")
    (run.artifacts / "sheets").mkdir()
    (run.artifacts / "sheets" / "picture.txt").write_text(f"{stage} {item}")
    if item:
        rate = float(re.search("rate: ([0-9.e-]+)", Path("params.yaml").read_text())[1])
        Path(f"scores-{item}.json").write_text(json.dumps({"hit@1": rate}))
        Path(f"curve-{item}.json").write_text(json.dumps([{"step": 0, "hit": 0.0}, {"step": 1, "hit": rate}]))
    Path("keys").mkdir(exist_ok=True)
    (Path("keys") / run.name).write_text(str(run.key))
"""


def run_in(programs: Path, folder: Path, *command: str) -> str:
    """Runs a command in a project folder and returns what it wrote; fails the test with its output otherwise.

    DVC and its stages are forks of `programs`.
    """
    if command[0] == "dvc":
        command = (str(programs / "python"), "-m", *command)
    environment = {name: value for name, value in os.environ.items() if name not in OUTSIDE}
    environment |= {
        "PYTHONPATH": str(REPOSITORY),
        "PATH": os.pathsep.join(map(str, (programs, Path(sys.executable).parent, os.environ["PATH"]))),
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def command(programs: Path) -> Callable[..., str]:
    """`command(folder, "dvc", "repro")`."""
    return partial(run_in, programs)


@pytest.fixture(scope="module")
def dvc_project(tmp_path_factory: pytest.TempPathFactory, command: Callable[..., str]) -> Path:
    """A git + DVC repository whose three stages report through `stage_run`; nothing has run yet."""
    quiet()
    root = tmp_path_factory.mktemp("dvc-project")
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / "params.yaml").write_text(PARAMS)
    (root / "stages").mkdir()
    (root / "stages/__init__.py").touch()
    (root / "stages/report.py").write_text(SCRIPT)
    (root / "source.txt").write_text("source")
    (root / ".gitignore").write_text("__pycache__/\n/mlruns/\n/keys/\n/data/\n/reports/\n")
    for arguments in (
        ["git", "init", "-q"],
        ["dvc", "init", "-q"],
        ["git", "config", "user.email", "tests@example.org"],
        ["git", "config", "user.name", "Tests"],
        ["git", "add", "."],
        ["git", "commit", "-q", "-m", "pipeline"],
    ):
        command(root, *arguments)
    return root
