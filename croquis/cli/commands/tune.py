"""Searches params with Optuna, on val.

    croquis tune                            margin and rerank, one after the other
    croquis tune margin --trials 20         siamese's triplet margin, by short trainings
    croquis tune rerank --trials 3000       the re-ranking's weights, without training
    croquis tune rerank --write             and put the best into params.yaml
    croquis tune --space space.yaml         keys of one's own, by short trainings or of the re-ranking
    croquis tune tradeoff --trials 80       quality against bytes per image and latency: the Pareto front

A study goes on where an earlier call of it ended; --trials counts the trials of all calls together.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import click

from croquis.cli.command_line import Invocation, command, option
from croquis.params.write_back import write_back
from croquis.tuning.storage import HEARTBEAT, SILENCE
from croquis.tuning.study_job import StudyJob, StudyOutcome, run_study
from croquis.tuning.task import TuneError

TRIALS = {"margin": 12, "rerank": 1000}
SPACE_TRIALS = 20
DEFAULTS = ", ".join(f"{name} {trials}" for name, trials in TRIALS.items())
TRADEOFF, TRADEOFF_TRIALS = "tradeoff", 60
INTERRUPTED = 130


def tradeoff(
    root: Path, write: bool, trials: int, storage: str | None, metric: str | None, workers: int, **_: Any
) -> str:
    """Runs the study of three objectives; returns its Pareto front as a table.

    Raises:
        TuneError: for options that it cannot follow.
    """
    from croquis.tuning.tradeoff.tradeoff_run import run_tradeoff

    if write or workers != 1:
        raise TuneError("tradeoff has no single best to --write, and --workers would time each other: leave them out")
    return run_tradeoff(root, trials, storage, metric)


def jobs(root: Path, study: str | None, trials: int | None, **given: Any) -> list[StudyJob]:
    """The studies that are asked for.

    Raises:
        TuneError: for options that exclude each other.
    """
    if given["space"] is not None:
        if study or given["also"]:
            raise TuneError("--space says what is searched: leave the study's name and --also out")
        return [StudyJob(None, root, SPACE_TRIALS if trials is None else trials, **given)]
    kinds = [kind for kind in TRIALS if study in (None, kind)]
    return [StudyJob(kind, root, TRIALS[kind] if trials is None else trials, **given) for kind in kinds]


def run_and_show(job: StudyJob, write: bool) -> bool:
    """Runs one study and shows, or writes, what its best changes; returns whether anything changes."""
    outcome = run_study(job)
    print(summary(outcome))
    changes = write_back(job.root / "params.yaml", outcome.task.settings(outcome.best.params), write)
    print(changes or "params.yaml already says the best that was found\n", end="")
    return bool(changes)


def summary(outcome: StudyOutcome) -> str:
    """The study, what it found, and how fast."""
    made, seconds = outcome.after - outcome.before, outcome.seconds
    best = outcome.best
    speed = f", {made} of them now in {seconds:.0f} s ({60 * made / seconds:.0f} a minute)" if made else ""
    lines = [
        f"study {outcome.study.study_name}: {outcome.after} trials{speed}",
        f"  {outcome.task.metric}: best {best.value:.4f} (trial {best.number})",
    ]
    lines += [f"  {name}: {trial.value:.4f} (trial {trial.number})" for name, trial in outcome.anchors.items()]
    lines += [f"  best {key}: {value}" for key, value in outcome.task.settings(best.params).items()]
    return "\n".join(lines)


def closing_words(written: bool) -> str:
    """What to do next."""
    if written:
        return "params.yaml is written; now: croquis repro"
    return "nothing is written; to do so add --write, then: croquis repro"


@command(__doc__)
@click.argument("study", required=False, type=click.Choice([*TRIALS, TRADEOFF]))
@option(
    "--trials",
    type=int,
    metavar="N",
    help=f"trials of the study in all (default: {DEFAULTS}, a space {SPACE_TRIALS})",
)
@option("--workers", type=int, default=1, metavar="K", help="processes that work on the study")
@option("--storage", metavar="URL", help="an Optuna RDB URL; by default mlruns/optuna.log")
@option(
    "--heartbeat",
    type=int,
    default=HEARTBEAT,
    metavar="SECONDS",
    help=f"interval of a worker's heartbeat in the database; without one for {SILENCE} intervals its trial is failed",
)
@option("--write", is_flag=True, help="put the best into params.yaml")
@option(
    "--space",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="in place of a study: keys of params.yaml, each with {low, high, log, step} or {choices}",
)
@option("--epochs", type=int, metavar="E", help="margin, space: length of a trial; by default a third")
@option(
    "--also",
    default="",
    metavar="NAMES",
    help="margin: search learning_rate, negatives, embedding_dim too, separated by commas",
)
@option("--method", help="rerank: whose bundle, by default the best on val; space: what is trained")
@option("--metric", help="rerank, tradeoff: hit@5, map@r, ... by default register.select_by")
@click.pass_obj
def tune_command(
    invocation: Invocation, /, study: str | None, write: bool, trials: int | None, also: str, **given: Any
) -> int:
    """130 after Ctrl-C; `given` are further attributes of `StudyJob`."""
    invocation.set_up_logging()
    if invocation.verbosity >= 0:
        logging.getLogger("croquis.tuning").setLevel(logging.INFO)
    root, given["also"] = invocation.project, tuple(filter(None, also.split(",")))
    try:
        if study == TRADEOFF:
            print(tradeoff(root, write, TRADEOFF_TRIALS if trials is None else trials, **given))
            return 0
        changed = [run_and_show(job, write) for job in jobs(root, study, trials, **given)]
    except (KeyboardInterrupt, SystemExit) as error:
        print("interrupted; the same command goes on with the study", file=sys.stderr)
        return INTERRUPTED if isinstance(error, KeyboardInterrupt) or not error.code else int(error.code or 1)
    if any(changed):
        print(closing_words(write))
    return 0
