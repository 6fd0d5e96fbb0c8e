"""The study `tradeoff` from start to end: trials, table, plot, and its run in MLflow."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.study import MaxTrialsCallback

from croquis.files import write_bytes
from croquis.params import load_params
from croquis.tracking.mlflow_mirror import FINISHED, RunMirror
from croquis.tracking.tracking_store import try_store
from croquis.tuning.mlflow_runs import EXPERIMENT, STUDY_TAG
from croquis.tuning.storage import open_storage
from croquis.tuning.study import DONE, SeededByTrial, done
from croquis.tuning.study_job import lock_of, prepare
from croquis.tuning.study_search import at_work, requeue_left_trials
from croquis.tuning.tradeoff.tradeoff_study import DIRECTIONS, OBJECTIVES, Tradeoff, front, measured_trials, rows

TABLE, PLOT = "pareto.csv", "pareto.png"


def run_tradeoff(root: Path, trials: int, storage: str | None = None, metric: str | None = None) -> str:
    """Begins or continues the study until it has `trials` trials; returns the front as a table."""
    prepare()
    task, opened = Tradeoff(load_params(root / "params.yaml"), root, metric), open_storage(storage, root)
    sampler = SeededByTrial(task.params.base.seed, multivariate=False)
    study = optuna.create_study(
        study_name=task.name, storage=opened, sampler=sampler, directions=DIRECTIONS, load_if_exists=True
    )
    with at_work(lock_of(root, task.name), lambda: requeue_left_trials(study, opened)):
        for anchor in task.anchors():
            study.enqueue_trial(anchor, skip_if_exists=True)
        if done(study) < trials:
            study.optimize(task, callbacks=[MaxTrialsCallback(trials, states=DONE)])
    chosen = front(study)
    _show_in_mlflow(study, task, root)
    head = f"study {study.study_name}: {done(study)} trials, {len(chosen)} on the Pareto front of {task.metric}"
    return "\n".join([head, *table(rows(chosen))])


def table(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Aligned columns, a line per row."""
    names = list(found[0]) if found else []
    widths = {name: max(len(name), *(len(str(row[name])) for row in found)) for name in names}
    lines = ["  ".join(f"{name:<{widths[name]}}" for name in names).rstrip()]
    return [*lines, *("  ".join(f"{row[name]!s:<{widths[name]}}" for name in names).rstrip() for row in found)]


def draw_front(study: optuna.Study, metric: str, path: Path) -> None:
    """Quality over bytes per image; the colour is the latency, the line the best quality for so many bytes."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    values = [trial.values for trial in measured_trials(study)]
    quality, size, latency = zip(*values, strict=True)
    best: list[tuple[float, float, str]] = []
    for trial in front(study):
        if not best or trial.values[0] > best[-1][1]:
            if best and best[-1][0] == trial.values[1]:
                best.pop()
            best.append((trial.values[1], trial.values[0], str(trial.params["method"])))
    figure, axes = plt.subplots(figsize=(9, 5.5))
    shown = axes.scatter(size, quality, c=latency, cmap="viridis_r", s=28, alpha=0.85)
    axes.step([x for x, _, _ in best], [y for _, y, _ in best], where="post", color="#c0392b", lw=1.2)
    for x, y, name in best:
        axes.annotate(name, (x, y), textcoords="offset points", xytext=(4, 5), fontsize=8)
    axes.set(xscale="log", xlabel=OBJECTIVES[1], ylabel=metric, title="Pareto front: quality, size, latency")
    figure.colorbar(shown, label=OBJECTIVES[2])
    figure.savefig(path, dpi=110, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)


def _show_in_mlflow(study: optuna.Study, task: Tradeoff, root: Path) -> None:
    """A run of its own per call: table of the front and of all trials, and the plot."""
    run, chosen = RunMirror(try_store(root), EXPERIMENT), rows(front(study))
    run.start(study.study_name, {STUDY_TAG: study.study_name, "metric": task.metric}, {"seed": task.params.base.seed})
    run.metrics([("trials", 0, done(study)), ("front", 0, len(chosen))])
    with tempfile.TemporaryDirectory() as folder:
        write_bytes(Path(folder) / TABLE, _csv(chosen))
        write_bytes(Path(folder) / "trials.csv", _csv(rows(measured_trials(study))))
        draw_front(study, task.metric, Path(folder) / PLOT)
        run.upload(Path(folder))
    run.finish(FINISHED)


def _csv(found: Sequence[Mapping[str, Any]]) -> bytes:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(found[0]))
    writer.writeheader()
    writer.writerows(found)
    return stream.getvalue().encode()
