"""Runs the pipeline as `dvc repro` does, with independent stages in parallel.

    croquis repro
    croquis repro --only siamese                           one retriever: its stages and what they need
    croquis repro -S siamese.margin=0.3 -S base.seed=11    sets params in params.yaml first, as `dvc exp run -S` does

`dvc repro` runs one stage after the other. DVC's documentation on "parallel stage execution" has several `dvc repro` work on
the branches of one pipeline at once; that is what is done here: `dvc repro --single-item STAGE` for each stage that `dvc
status` names and those that depend on them, as soon as what it depends on is there; then a `dvc repro` does what is left.
The outputs are byte-identical for every --jobs. Stages that run at once are forks of one process that has
imported torch, MLflow and DVC.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import click

from croquis.cli.command_line import Invocation, command, option
from croquis.cli.forked_stages import forked_stages, forks_stages
from croquis.params import Params, load_params
from croquis.params.loader import parse_yaml
from croquis.params.write_back import write_back
from croquis.refusals import RefusedError, hint_of

MOST_JOBS = 2  # by default: a training takes about 1.5 GB
FORKED_FROM = 6  # stages: fewer do not pay for a process that imports what all of them need
PLAIN_LINES = {"TQDM_DISABLE": "1", "PYTHONUNBUFFERED": "1"}  # of several stages at once: no progress bars
Graph = Mapping[str, frozenset[str]]
"""Stages in the order of dvc.yaml, each with those that come before it."""


def set_params(root: Path, settings: Mapping[str, Any]) -> None:
    """Puts settings into params.yaml and prints what changes.

    Raises:
        ParamsError: when the schema refuses the result; params.yaml is left as it was.
        RefusedError: when there is no such key.
    """
    try:
        print(write_back(root / "params.yaml", settings, write=True), end="")
    except KeyError as error:
        raise RefusedError(f"params.yaml has no key {error.args[0]}: `croquis params` lists them") from None


def parse_settings(texts: Sequence[str]) -> dict[str, Any]:
    """`["siamese.margin=0.3"]` as keys with their values, read as YAML.

    Raises:
        RefusedError: for a text without a key or an equals sign.
    """
    found = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not key or not separator:
            raise RefusedError(f"-S {text!r} must be KEY=VALUE, e.g. siamese.margin=0.3")
        found[key] = parse_yaml(value, f"-S {text}")
    return found


def last_stage(params: Params, method: str) -> str:
    """The stage that ends what is done for a retriever.

    Raises:
        RefusedError: when `retrievers` of params.yaml does not name it.
    """
    if method not in params.retrievers:
        known = params.retrievers
        raise RefusedError(f"--only {method}: retrievers of params.yaml are {', '.join(known)}{hint_of(method, known)}")
    return f"evaluate@{method}"


def read_plan(root: Path, target: str | None = None) -> Graph:
    """What `dvc repro [target]` would have to look at, by `dvc status` and the graph of dvc.yaml.

    Raises:
        RefusedError: when the pipeline has no stage `target`, or there is none.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(root)) as repo:
            graph = repo.index.graph
            needs = {
                stage.addressing: frozenset(needed.addressing for needed in graph.successors(stage)) for stage in graph
            }
            changed = set(repo.status()) - {stage.addressing for stage in graph if stage.always_changed}
    except DvcException as error:
        raise RefusedError(str(error)) from error
    return to_run(needs if target is None else needed_by(target, needs), changed)


def run_always(root: Path) -> int:
    """Runs the stages that DVC runs each time, as `code` of a project without code; the first status that is not 0."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        names = [stage.addressing for stage in repo.index.graph if stage.always_changed]
    return next(filter(None, (run_stage(name, None, root) for name in names)), 0)


def to_run(needs: Graph, changed: Collection[str]) -> Graph:
    """`changed` stages and all that depend on them, each with those among them that come before it.

    Args:
        needs: every stage that counts, with the stages whose outputs it reads.
    """
    affected: set[str] = set()
    for name in TopologicalSorter(needs).static_order():
        if name in changed or needs[name] & affected:
            affected.add(name)
    return {name: needed & affected for name, needed in needs.items() if name in affected}


def needed_by(target: str, needs: Graph) -> Graph:
    """The part of the graph that a stage depends on, itself included.

    Raises:
        RefusedError: when there is no such stage.
    """
    if target not in needs:
        raise RefusedError(f"dvc.yaml has no stage {target}")
    found = {target}
    for name in reversed([*TopologicalSorter(needs).static_order()]):
        if name in found:
            found |= needs[name]
    return {name: needed for name, needed in needs.items() if name in found}


def run_all(plan: Graph, jobs: int, root: Path) -> list[str]:
    """As `run`; where there are several stages, they are forks of a process that has imported what they need: of the one
    whose `python` stands first on the PATH, or of one that is started here."""
    python = Path(shutil.which("python") or "")  # of the commands in dvc.yaml
    if forks_stages(python):
        return run(plan, jobs, root, python.parent)
    if len(plan) < FORKED_FROM or python.parent != Path(sys.executable).parent:
        return run(plan, jobs, root)
    with forked_stages(PLAIN_LINES) as programs:
        return run(plan, jobs, root, programs)


def run(plan: Graph, jobs: int, root: Path, programs: Path | None = None) -> list[str]:
    """Runs the plan's stages, `jobs` at a time; returns those that failed. After a failure nothing more is started.

    Args:
        programs: a folder with a `python` that runs stages, see `croquis.cli.forked_stages`.
    """
    graph, lines = TopologicalSorter(plan), Lines()
    graph.prepare()
    running: dict[Future[int], str] = {}  # or waiting for one of the `jobs`
    failed: list[str] = []
    with ThreadPoolExecutor(jobs) as pool:
        while running or (graph.is_active() and not failed):
            ready = () if failed else graph.get_ready()
            alone = not running and len(ready) == 1
            running |= {pool.submit(run_stage, name, None if alone else lines, root, programs): name for name in ready}
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for name, status in [(running.pop(future), future.result()) for future in done]:
                if status == 0:
                    graph.done(name)
                else:
                    failed.append(name)
            if failed:
                running = {future: name for future, name in running.items() if not future.cancel()}
    return failed


class Lines:
    """Writes what several stages say at once: whole lines, each behind its stage's name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def write(self, stage: str, line: str) -> None:
        """Prints a line of a stage, whole, behind the stage's name."""
        with self._lock:
            print(f"[{stage}] {line}", flush=True)


def run_stage(name: str, lines: Lines | None, root: Path, programs: Path | None = None) -> int:
    """One stage by DVC; its exit status. Without `lines` it has the terminal to itself, progress bars included."""
    arguments = ["-m", "dvc", "--wait-for-lock", "repro", "--single-item", name]
    if lines is None:
        return subprocess.call([sys.executable, *arguments], cwd=root)
    environment = {**os.environ, **PLAIN_LINES}
    command = [sys.executable, *arguments]
    if programs is not None:
        command = [str(programs / "python"), *arguments]
        environment["PATH"] = f"{programs}{os.pathsep}{os.environ['PATH']}"
    start = time.monotonic()
    with subprocess.Popen(
        [*command, "--quiet"], cwd=root, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        for line in process.stdout or ():
            if line.strip():
                lines.write(name, line.rstrip())
    outcome = "done" if process.returncode == 0 else f"ended with status {process.returncode}"
    lines.write(name, f"{outcome} after {time.monotonic() - start:.0f} s")
    return process.returncode


@command(__doc__)
@option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"stages at a time (default: cores / (base.threads * base.processes), at most {MOST_JOBS})",
)
@option("--only", metavar="METHOD", help="only this retriever's stages, and what they need")
@option("-S", "--set-param", "settings", multiple=True, metavar="KEY=VALUE", help="put into params.yaml first")
@click.pass_obj
def repro_command(invocation: Invocation, jobs: int | None, only: str | None, settings: tuple[str, ...]) -> int:
    root = invocation.project
    if settings:
        set_params(root, parse_settings(settings))
    params = load_params(root / "params.yaml")
    target = last_stage(params, only) if only else None
    jobs = jobs or max(1, min(MOST_JOBS, (os.cpu_count() or 1) // (params.base.threads * params.base.processes)))
    if status := run_always(root):
        return status
    plan = read_plan(root, target)
    if jobs > 1 and plan:
        failed = run_all(plan, jobs, root)
        if failed:
            print(f"failed: {', '.join(failed)}; what it said stands above", file=sys.stderr)
            return 1
        if not read_plan(root, target):
            return 0
    return subprocess.call([sys.executable, "-m", "dvc", "repro", *([target] if target else [])], cwd=root)
