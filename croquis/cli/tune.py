"""Command `tune`: searches params with Optuna, on val.

python -m croquis.cli.tune                            both studies, one after the other
python -m croquis.cli.tune margin --trials 20         siamese's triplet margin, by short trainings
python -m croquis.cli.tune rerank --trials 3000       the re-ranking's weights, without training
python -m croquis.cli.tune rerank --write             and put the best into params.yaml
python -m croquis.cli.tune tradeoff --trials 80       quality against bytes per image and latency: the Pareto front

A study goes on where an earlier call of it ended; --trials counts the trials of all calls together.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from croquis.bundle import BundleError
from croquis.catalog.table import CatalogError
from croquis.params import ParamsError
from croquis.params.write_back import write_back
from croquis.registry.evaluation_reports import EvaluationError
from croquis.tracking.environment import project_root, quiet
from croquis.tuning.storage import HEARTBEAT, SILENCE
from croquis.tuning.study_job import Kind, StudyJob, StudyOutcome, run_study
from croquis.tuning.task import TuneError

TRIALS: dict[Kind, int] = {"margin": 12, "rerank": 1000}
KINDS: tuple[Kind, ...] = ("margin", "rerank")
TRADEOFF, TRADEOFF_TRIALS = "tradeoff", 60
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None, root: Path | None = None) -> int:
    """Returns 0 when done, 1 when refused (the reason and the fix go to stderr), 130 after Ctrl-C."""
    quiet()
    asked = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("croquis.tuning").setLevel(logging.INFO)
    root = (root or project_root()).resolve()
    kinds: Sequence[Kind] = [asked.study] if asked.study else KINDS
    try:
        changed = False
        if asked.study == TRADEOFF:
            print(tradeoff(asked, root))
            return 0
        for kind in kinds:
            changed = tune(_job(asked, kind, root), asked.write) or changed
    except (TuneError, ParamsError, BundleError, CatalogError, EvaluationError) as error:
        print(f"refused: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, SystemExit) as error:
        print("interrupted; the same command goes on with the study", file=sys.stderr)
        return INTERRUPTED if isinstance(error, KeyboardInterrupt) or not error.code else int(error.code or 1)
    if changed:
        print(closing_words(asked.write))
    return 0


def tradeoff(asked: argparse.Namespace, root: Path) -> str:
    """Runs the study of three objectives; returns its Pareto front as a table.

    Raises:
        TuneError: for options that it cannot follow.
    """
    from croquis.tuning.tradeoff_run import run_tradeoff

    if asked.write or asked.workers != 1:
        raise TuneError("tradeoff has no single best to --write, and --workers would time each other: leave them out")
    trials = TRADEOFF_TRIALS if asked.trials is None else asked.trials
    return run_tradeoff(root, trials, asked.storage, asked.metric)


def tune(job: StudyJob, write: bool) -> bool:
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
    if written:
        return "params.yaml is written; now: dvc repro"
    return "nothing is written; to do so add --write, then: dvc repro"


def _job(asked: argparse.Namespace, kind: Kind, root: Path) -> StudyJob:
    own = {"epochs": asked.epochs, "also": asked.also} if kind == "margin" else {}
    other = {"method": asked.method, "metric": asked.metric} if kind == "rerank" else {}
    trials = TRIALS[kind] if asked.trials is None else asked.trials
    return StudyJob(kind, root, trials, asked.workers, asked.storage, asked.heartbeat, **own, **other)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m croquis.cli.tune", description="Search params with Optuna, on val."
    )
    parser.add_argument("study", nargs="?", choices=(*KINDS, TRADEOFF), help="one study; by default margin and rerank")
    parser.add_argument("--trials", type=int, metavar="N", help=f"of the study in all; by default {TRIALS}")
    parser.add_argument("--workers", type=int, default=1, metavar="K", help="processes on the study")
    parser.add_argument("--storage", metavar="URL", help="an Optuna RDB URL; by default mlruns/optuna.log")
    parser.add_argument(
        "--heartbeat", type=int, default=HEARTBEAT, metavar="SECONDS",
        help=f"of a worker on a database: silent for {SILENCE} times as long, it is dead (default {HEARTBEAT})",
    )  # fmt: skip
    parser.add_argument("--write", action="store_true", help="put the best into params.yaml")
    parser.add_argument("--epochs", type=int, metavar="E", help="margin: length of a trial; by default a third")
    parser.add_argument(
        "--also", type=lambda text: tuple(text.split(",")), default=(), metavar="NAMES",
        help="margin: search learning_rate, negatives, embedding_dim too, separated by commas",
    )  # fmt: skip
    parser.add_argument("--method", help="rerank: whose bundle; by default the best on val")
    parser.add_argument("--metric", help="rerank, tradeoff: hit@5, map@r, ... by default register.select_by")
    return parser


if __name__ == "__main__":
    sys.exit(main())
