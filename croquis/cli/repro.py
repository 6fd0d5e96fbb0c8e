"""`make repro`: the pipeline as `dvc repro` makes it, with stages that do not need each other at the same time.

`dvc repro` runs one stage after the other. DVC's documentation on "parallel stage execution" has several `dvc repro` work on
the branches of one pipeline at once; that is what is done here: `dvc repro --single-item STAGE` for each stage that `dvc
status` names and those that hang on them, as soon as what it depends on is there; then a `dvc repro` does what is left.
The outcome is the same to the byte, whatever `--jobs` says.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from croquis.params import load_params
from croquis.tracking.environment import quiet

MOST_JOBS = 2  # by default: a training takes about 1.5 GB
DVC = (sys.executable, "-m", "dvc")
Graph = Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class StagePlan:
    """Stages to be run in the order of dvc.yaml, each with those among them that come before it."""

    needs: Graph

    @classmethod
    def of(cls, order: Iterable[str], needs: Graph, changed: Iterable[str]) -> StagePlan:
        """`changed` stages and all that hang on them.

        Args:
            order: every stage, in the order of dvc.yaml.
            needs: stage -> the stages whose outputs it reads.
        """
        affected, names = set(changed), list(order)
        for _ in names:  # dvc.yaml need not name a stage before those that read from it
            affected |= {name for name in names if needs[name] & affected}
        return cls({name: needs[name] & affected for name in names if name in affected})


def main(arguments: list[str] | None = None) -> int:
    asked = argparse.ArgumentParser(prog="python -m croquis.cli.repro", description=__doc__)
    shared = "cores / (base.threads * base.processes)"
    asked.add_argument("--jobs", type=int, help=f"stages at a time (default: {shared}, at most {MOST_JOBS})")
    options = asked.parse_args(arguments)
    if options.jobs is not None and options.jobs < 1:
        asked.error(f"--jobs is {options.jobs}, must be at least 1")
    quiet()
    root = Path()
    base = load_params(root / "params.yaml").base
    jobs = options.jobs or max(1, min(MOST_JOBS, (os.cpu_count() or 1) // (base.threads * base.processes)))
    plan = read_plan(root)
    if jobs > 1 and plan.needs:
        failed = run(plan, jobs, root)
        if failed:
            print(f"failed: {', '.join(failed)}; what it said stands above", file=sys.stderr)
            return 1
        if not read_plan(root).needs:
            return 0
    return subprocess.call([*DVC, "repro"], cwd=root)


def read_plan(root: Path) -> StagePlan:
    """What `dvc repro` would have to look at, by `dvc status` and the graph of dvc.yaml."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        graph = repo.index.graph
        needs = {
            stage.addressing: frozenset(needed.addressing for needed in graph.successors(stage)) for stage in graph
        }
        return StagePlan.of([stage.addressing for stage in graph], needs, repo.status())


def run(plan: StagePlan, jobs: int, root: Path) -> list[str]:
    """Runs the plan's stages, `jobs` at a time; returns those that failed. After a failure nothing more is started."""
    order = {name: number for number, name in enumerate(plan.needs)}
    missing = {name: set(needed) for name, needed in plan.needs.items()}
    ready = [name for name, needed in missing.items() if not needed]
    running: dict[Future[int], str] = {}
    failed: list[str] = []
    lines = Lines()
    with ThreadPoolExecutor(jobs) as pool:
        while running or (ready and not failed):
            while ready and len(running) < jobs and not failed:
                name = ready.pop(0)
                alone = not running and not ready
                running[pool.submit(run_stage, name, None if alone else lines, root)] = name
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for name, status in [(running.pop(future), future.result()) for future in done]:
                if status != 0:
                    failed.append(name)
                    continue
                freed = [other for other, needed in missing.items() if needed == {name}]
                for needed in missing.values():
                    needed.discard(name)
                ready = sorted([*ready, *freed], key=order.__getitem__)
    return failed


class Lines:
    """Writes what several stages say at once: whole lines, each behind its stage's name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def write(self, stage: str, line: str) -> None:
        with self._lock:
            print(f"[{stage}] {line}", flush=True)


def run_stage(name: str, lines: Lines | None, root: Path) -> int:
    """One stage by DVC; its exit status. Without `lines` it has the terminal to itself, progress bars included."""
    command = [*DVC, "--wait-for-lock", "repro", "--single-item", name]
    if lines is None:
        return subprocess.call(command, cwd=root)
    environment = {**os.environ, "TQDM_DISABLE": "1", "PYTHONUNBUFFERED": "1"}
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


if __name__ == "__main__":
    sys.exit(main())
