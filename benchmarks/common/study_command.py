"""Runs a study of benchmarks/studies.yaml: `python -m benchmarks negatives --jobs 2`.

Every row is measured with every seed; each cell is kept in reports/benchmarks/STUDY.json as soon as it is there, so that a
command which was stopped goes on with what is missing. `--render` measures nothing and writes the tables of all reports into
the pages of docs/. Without a study, the studies are listed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from filelock import FileLock

from benchmarks.common.real_sets import merged
from benchmarks.common.recorded_results import Results
from benchmarks.common.render_tables import PAGES, make_table, render
from benchmarks.common.studies import (
    PIPELINE,
    PROJECT,
    STUDIES,
    BenchmarkError,
    Options,
    Study,
    Values,
    listed,
    load_studies,
    parse_change,
)
from croquis.refusals import RefusedError, is_refusal


def main(arguments: Sequence[str] | None = None) -> None:
    asked = list(sys.argv[1:] if arguments is None else arguments)
    given = parser().parse_args(asked)
    try:
        run(given, asked)
    except Exception as error:
        if given.debug or not (isinstance(error, RefusedError) or is_refusal(error)):
            raise
        sys.exit(f"error: {error}")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = made.add_argument
    add("study", nargs="?", metavar="STUDY", help="a key of benchmarks/studies.yaml")
    add("--seeds", help="comma-separated; each draws data and training (default: those of the study)")
    add("--rows", help="comma-separated (default: all of the study)")
    add("--jobs", type=int, default=1, help="cells that are measured side by side (default %(default)s)")
    add("--epochs-scale", type=float, help="factor on the epochs of params.yaml (default: that of the study)")
    add("--share", type=float, default=1.0, help="part of the items of a real set that is kept (default: all)")
    change = "a change of params.yaml; may be repeated"
    add("--param", action="append", default=[], metavar="BLOCK.KEY=VALUE", help=change)
    add("--shared", type=Path, default=PROJECT.parent / "shared/data", help="folder of the real sets")
    add("--root", type=Path, help="a finished pipeline: its bundles and data, and nothing is trained")
    add("--reports", type=Path, default=PROJECT / "reports/benchmarks", help="where figures are kept")
    add("--scratch", type=Path, default=PROJECT / ".scratch/benchmarks", help="where workspaces are")
    add("--studies", type=Path, default=STUDIES, metavar="FILE", help="the studies (default: benchmarks/studies.yaml)")
    add("--docs", type=Path, nargs="+", default=PAGES, help="the pages with the tables")
    add("--render", action="store_true", help="only write the tables of all reports into the pages")
    add("--fresh", action="store_true", help="measure again what has been measured")
    add("--no-table", action="store_true", help="print no table at the end")
    add("--debug", action="store_true", help="show the traceback of an error")
    return made


def run(given: argparse.Namespace, asked: Sequence[str]) -> None:
    studies = load_studies(given.studies)
    if given.render:
        render(studies, given.docs, given.reports)
        return
    if given.study is None:
        print("\n".join(f"{name:26} {study.about}" for name, study in studies.items()))
        return
    if given.study not in studies:
        raise BenchmarkError(f"there is no study {given.study!r}; known: {', '.join(studies)}")
    study = studies[given.study]
    if study.command:
        raise BenchmarkError(f"{given.study} is measured by `{study.command}`")
    if given.jobs < 1:
        raise BenchmarkError(f"--jobs is {given.jobs}, must be at least 1")
    options = options_of(given)
    results = Results(given.reports / f"{given.study}.json", options.head(study), options.scratch)
    rows = study.chosen(given.rows)
    if study.set == PIPELINE or given.root is not None:
        measure_finished(study, rows, options, results)
    else:
        measure_cells(study, cells_of(study, rows, given.seeds), options, results, given.jobs, asked)
    if not given.no_table:
        print(*(make_table(study, table, results.path) for table in study.tables), sep="\n\n")


def options_of(given: argparse.Namespace) -> Options:
    """What was asked for, checked."""
    if given.epochs_scale is not None and given.epochs_scale <= 0:
        raise BenchmarkError(f"--epochs-scale is {given.epochs_scale}, must be above 0")
    changes: Values = {}
    for text in given.param:
        changes = merged(changes, parse_change(text))
    return Options(
        epochs_scale=given.epochs_scale,
        share=given.share,
        changes=changes,
        shared=given.shared,
        root=given.root,
        reports=given.reports,
        scratch=given.scratch.resolve(),
        fresh=given.fresh,
    )


def cells_of(study: Study, rows: Sequence[str], seeds: str | None) -> list[tuple[str, int]]:
    """Row and seed of every cell, seed by seed; a row in which nothing is drawn by chance once."""
    chosen = study.seeds if seeds is None else [int(word) for word in listed(seeds)]
    often = [row for row in rows if not study.all_rows[row].once]
    return [(row, seed) for number, seed in enumerate(chosen) for row in (often if number else rows)]


def measure_finished(study: Study, rows: Sequence[str], options: Options, results: Results) -> None:
    """Rows of a pipeline that has run.

    Raises:
        BenchmarkError: when the study trains.
    """
    from benchmarks.common.cells import figures_of, finished_cell

    if study.set != PIPELINE and not study.finished:
        raise BenchmarkError("this study trains: leave out --root")
    for row in rows:
        cell = finished_cell(study, row, options.root or Path())
        results.add(cell.label, figures_of(study, cell))


def measure_cells(
    study: Study,
    cells: Sequence[tuple[str, int]],
    options: Options,
    results: Results,
    jobs: int,
    asked: Sequence[str],
) -> None:
    """All that `results` lacks, one after the other or side by side."""
    from benchmarks.common.cells import plan_cell, prepare_environment

    prepare_environment(options.scratch)
    waiting = []
    for row, seed in cells:
        if results.has(f"{row}/{seed}", plan_cell(study, row, seed, options).key) and not options.fresh:
            print(f"{row}/{seed}: measured already", flush=True)
        else:
            waiting.append((row, seed))
    if jobs > 1:
        side_by_side(waiting, jobs, asked)
    else:
        for row, seed in waiting:
            measure_cell(study, row, seed, options, results)


def side_by_side(cells: Sequence[tuple[str, int]], jobs: int, asked: Sequence[str]) -> None:
    """Every cell by a command of its own, `jobs` at a time; when this one is killed, those under way end their cell.

    Raises:
        BenchmarkError: when some failed, after all others are done.
    """

    def measured(cell: tuple[str, int]) -> bool:
        command = [sys.executable, "-m", "benchmarks", *asked, "--rows", cell[0], "--seeds", str(cell[1])]
        environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
        return subprocess.run([*command, "--jobs", "1", "--no-table"], env=environment, check=False).returncode == 0

    with ThreadPoolExecutor(jobs) as pool:
        outcomes = list(pool.map(measured, cells))
    failed = [f"{row}/{seed}" for (row, seed), well in zip(cells, outcomes, strict=True) if not well]
    if failed:
        raise BenchmarkError(f"{len(failed)} of {len(cells)} cells failed ({', '.join(failed)}); the others are kept")


def measure_cell(study: Study, row: str, seed: int, options: Options, results: Results) -> None:
    """Keeps the figures of a cell as soon as they are there; two processes do not work in one workspace."""
    from benchmarks.common.cells import figures_of, open_cell, plan_cell

    folder = plan_cell(study, row, seed, options).folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if options.fresh:
            shutil.rmtree(folder, ignore_errors=True)
        cell = open_cell(study, row, seed, options)
        if results.has(cell.label, cell.key) and not options.fresh:
            return  # by another process, meanwhile
        print(f"{cell.label}: begins", flush=True)
        start = time.perf_counter()
        results.add(cell.label, figures_of(study, cell))
        bundles = cell.folder / "models/bundles"
        if bundles.is_dir():  # a generator is measured without one
            shutil.rmtree(bundles)  # the gallery's thumbnails fill a disk; nets are small
        print(f"{cell.label}: done in {time.perf_counter() - start:.0f} s", flush=True)
