"""Looks at what is installed, which engines answer, and what is wrong with the project.

    croquis doctor                  in the folder of a project

Each line is `ok`, `-` for something that is absent and not needed, or `WRONG` with the fix; then the exit code is 1.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

import click

from croquis.cli.child_processes import listens
from croquis.cli.command_line import Invocation, command
from croquis.words.text_table import has_full_text

CORE = ("numpy", "faiss-cpu", "onnxruntime", "opencv-python-headless", "pillow", "pyarrow", "click")
PIPELINE = ("torch", "torchvision", "pytorch-lightning", "dvc", "mlflow", "great_expectations", "optuna", "pydantic")
EXTRAS = {
    "serving": ("fastapi", "uvicorn", "prometheus-client"),
    "team": ("psycopg", "optuna-dashboard"),
    "scale": ("pymilvus", "milvus-lite", "nats-py", "confluent-kafka", "ray"),
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 5.0  # seconds for an engine to answer
OK, ABSENT, WRONG = "ok", "-", "WRONG"


@dataclass(frozen=True)
class CheckResult:
    """One line of the report: `ok`, `-` (absent, not needed) or `WRONG`."""

    state: str
    name: str
    says: str

    def __str__(self) -> str:
        first, *more = self.says.splitlines() or [""]
        return "\n".join([f"{self.state:<6}{self.name:<24}{first}".rstrip(), *(f"{'':<30}{line}" for line in more)])


def examine(root: Path) -> Iterator[CheckResult]:
    """All that is looked at, in the order of the report."""
    yield CheckResult(OK, "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield from packages()
    yield full_text()
    yield accelerator()
    yield program("git", "--version", needed=True)
    yield browser()
    yield params(root)
    yield photos(root)
    yield pipeline(root)
    yield tracking(root)
    yield from engines()


def packages() -> Iterator[CheckResult]:
    """Those of the core are needed, and those of the pipeline where any of them is installed."""
    yield from (_package(name, "pip install croquis", needed=True) for name in CORE)
    trains = any(_version_of(name) for name in ("torch", "dvc"))
    yield from (_package(name, "pip install 'croquis[pipeline]'", needed=trains) for name in PIPELINE)
    for extra, names in EXTRAS.items():
        yield from (_package(name, f"pip install 'croquis[{extra}]'") for name in names)


def full_text() -> CheckResult:
    """Whether SQLite can search words, as bundles and FAISS stores do."""
    found = f"SQLite {sqlite3.sqlite_version}"
    if has_full_text():
        return CheckResult(OK, "full text", f"{found} with FTS5")
    return CheckResult(WRONG, "full text", f"{found} lacks FTS5: use a Python whose SQLite has it, as python.org's has")


def _package(name: str, fix: str, needed: bool = False) -> CheckResult:
    found = _version_of(name)
    return (
        CheckResult(OK, name, found)
        if found
        else CheckResult(WRONG if needed else ABSENT, name, f"not installed: {fix}")
    )


def _version_of(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def accelerator() -> CheckResult:
    """What trainings would run on with `base.accelerator: auto`."""
    if _version_of("torch") is None:
        return CheckResult(ABSENT, "accelerator", "torch is not installed")
    import torch

    if torch.cuda.is_available():
        return CheckResult(OK, "accelerator", f"CUDA {torch.version.cuda}: {torch.cuda.get_device_name()}")
    if torch.backends.mps.is_available():
        return CheckResult(OK, "accelerator", "MPS")
    return CheckResult(ABSENT, "accelerator", f"none; trainings use the CPU ({os.cpu_count()} cores)")


def program(name: str, *arguments: str, needed: bool = False) -> CheckResult:
    """A program on the PATH, by the first line that it prints."""
    place = shutil.which(name)
    if place is None:
        return CheckResult(WRONG if needed else ABSENT, name, "not on the PATH")
    try:
        done = subprocess.run([place, *arguments], capture_output=True, text=True, timeout=PATIENCE * 4, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return CheckResult(WRONG if needed else ABSENT, name, f"{place} does not run: {error}")
    return CheckResult(OK, name, (done.stdout or done.stderr).partition("\n")[0])


def browser() -> CheckResult:
    """What the tests of the web page drive."""
    place = next(filter(None, map(shutil.which, BROWSERS)), None)
    return (
        CheckResult(OK, "chromium", place) if place else CheckResult(ABSENT, "chromium", "only for tests: make engines")
    )


def params(root: Path) -> CheckResult:
    """params.yaml by the schema."""
    if not (root / "params.yaml").is_file():
        return CheckResult(ABSENT, "params.yaml", f"none in {root}: not a project's folder")
    try:
        from croquis.params import ParamsError, load_params
    except ModuleNotFoundError as error:
        return CheckResult(ABSENT, "params.yaml", f"cannot be checked without {error.name}")
    try:
        found = load_params(root / "params.yaml")
    except ParamsError as error:
        return CheckResult(WRONG, "params.yaml", str(error))
    from croquis.params.accelerators import AcceleratorError, check_accelerator

    try:
        check_accelerator(found.base.accelerator)
    except (AcceleratorError, ModuleNotFoundError) as error:
        return CheckResult(WRONG, "params.yaml", str(error))
    return CheckResult(OK, "params.yaml", f"source {found.ingest.source}, {len(found.retrievers)} retrievers")


def photos(root: Path) -> CheckResult:
    """What would stop the pipeline at a person's own table, by its rows; no picture is opened."""
    if not (root / "params.yaml").is_file():
        return CheckResult(ABSENT, "catalogue", "no params.yaml")
    try:
        from croquis.params import ParamsError, load_params
        from croquis.projects.planning import problems

        with contextlib.chdir(root):  # paths of the source are relative to it
            found = load_params("params.yaml")
            wrong = problems(found)
    except (ModuleNotFoundError, ParamsError):
        return CheckResult(ABSENT, "catalogue", "not looked at: params.yaml cannot be used")
    if wrong:
        return CheckResult(WRONG, "catalogue", "\n".join(wrong))
    if found.ingest.source != "folder":
        return CheckResult(
            ABSENT, "catalogue", f"source {found.ingest.source}: its files are looked at when they are ingested"
        )
    return CheckResult(OK, "catalogue", "source folder: nothing in its rows would stop the pipeline")


def pipeline(root: Path) -> CheckResult:
    """Whether DVC can read dvc.yaml; what is not up to date is left to `dvc status`, which reads all data."""
    if not (root / "dvc.yaml").is_file():
        return CheckResult(ABSENT, "dvc", f"no dvc.yaml in {root}")
    if not (root / ".dvc").is_dir():
        return CheckResult(WRONG, "dvc", f"{root} is no DVC repository: git clone it, or run `git init && dvc init`")
    try:
        from dvc.exceptions import DvcException
        from dvc.repo import Repo
    except ModuleNotFoundError as error:
        return CheckResult(WRONG, "dvc", f"{error.name} is not installed: pip install 'croquis[pipeline]'")
    try:
        with Repo(str(root)) as repo:
            count = len(repo.index.graph)
    except DvcException as error:
        return CheckResult(WRONG, "dvc", f"dvc.yaml cannot be used: {error}")
    done = "made" if (root / "dvc.lock").is_file() else "not made yet: croquis repro"
    return CheckResult(OK, "dvc", f"{count} stages, {done}")


def tracking(root: Path) -> CheckResult:
    """MLflow's store, and the champion in it; a local store that does not exist is not made."""
    try:
        from croquis.registry.registry import CHAMPION, Registry, RegistryError
        from croquis.tracking.tracking_store import TrackingError, open_store
    except ModuleNotFoundError as error:
        return CheckResult(ABSENT, "mlflow store", f"{error.name} is not installed")
    if "MLFLOW_TRACKING_URI" not in os.environ and not (root / "mlruns/mlflow.db").is_file():
        return CheckResult(ABSENT, "mlflow store", "none yet: croquis repro, or croquis sync after dvc pull")
    try:
        from croquis.params import ParamsError, load_params

        store = open_store(root)
        registry = Registry(store, load_params(root / "params.yaml").register_.model_name)
        champion = registry.holder(CHAMPION)
    except (TrackingError, RegistryError) as error:
        return CheckResult(WRONG, "mlflow store", str(error))
    except ParamsError:
        return CheckResult(OK, "mlflow store", store.shown)
    return CheckResult(OK, "mlflow store", f"{store.shown}, champion: {champion or 'none'}")


def engines() -> Iterator[CheckResult]:
    """Servers whose addresses the environment or their usual ports give."""
    tracked = urlsplit(os.environ.get("MLFLOW_TRACKING_URI", ""))
    usual = {"postgresql": 5432, "milvus": 19530, "nats": 4222, "kafka": 9092}
    for name, port in usual.items():
        host = tracked.hostname or "127.0.0.1" if name == "postgresql" and "postgres" in tracked.scheme else "127.0.0.1"
        yield CheckResult(OK if listens(host, port) else ABSENT, name, f"{host}:{port}")


@command(__doc__)
@click.pass_obj
def doctor_command(invocation: Invocation) -> int:
    findings = []
    for finding in examine(invocation.project):
        print(finding, flush=True)
        findings.append(finding)
    wrong = [finding.name for finding in findings if finding.state == WRONG]
    print(f"wrong: {', '.join(wrong)}" if wrong else "nothing is wrong")
    return 1 if wrong else 0
