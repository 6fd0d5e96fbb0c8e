"""One MLflow run per distinct result of the pipeline: every method's figures, params, pictures, dvc.lock, stage runs."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from croquis.evaluation.metrics import headline_metrics
from croquis.files import write_json
from croquis.registry.evaluation_reports import EvaluationReport, Measure
from croquis.registry.lineage import PACKAGES, files_hash, installed, stage_keys, stage_runs
from croquis.registry.registration import REPORT
from croquis.tracking.environment import experiment_name
from croquis.tracking.mlflow_mirror import FINISHED, KEY_TAG, STAGE_TAG, RunMirror, runs_with_key
from croquis.tracking.record import flatten
from croquis.tracking.stage_key import read_lock
from croquis.tracking.tracking_store import PIPELINE_EXPERIMENT, STAGE_EXPERIMENT, Store, TrackingError

PIPELINE = "pipeline"
SHOWN_FOLDERS = ("plots", "evaluation")
# What `rebuild` goes back by; the commit's own dvc.lock and params.yaml may be older than the version.
LOCK, PARAMS, ENVIRONMENT = "dvc.lock", "params.yaml", "environment.json"


def result_key(root: Path, evaluations: Sequence[EvaluationReport], params: Mapping[str, Any]) -> str:
    """What makes a result distinct: the evaluations, byte for byte, and the params."""
    evaluated = files_hash(root, [evaluation.path for evaluation in evaluations])
    return hashlib.sha256(json.dumps([evaluated, params], sort_keys=True).encode()).hexdigest()


def find_result(store: Store, key: str) -> str | None:
    """The id of the finished run of a result."""
    runs = runs_with_key(store, store.experiment(PIPELINE_EXPERIMENT), key)
    finished = [str(run.info.run_id) for run in runs if run.info.status == FINISHED]
    return finished[0] if finished else None


class PipelineRun:
    """The run of a result, found again or begun; `close` completes it.

    Raises:
        TrackingError: here and in `close`, when the store fails: unlike a stage, `register` must not go on.
    """

    def __init__(self, store: Store, key: str, tags: Mapping[str, str], params: Mapping[str, Any]) -> None:
        self._store = store
        self._projection = RunMirror(store, PIPELINE_EXPERIMENT)
        found = find_result(store, key)
        self.is_new = found is None
        if found is None:
            name = experiment_name() or PIPELINE
            own = {STAGE_TAG: PIPELINE, KEY_TAG: key}
            self._projection.start(name, {**tags, **own}, flatten(params), key)
        else:
            self._projection.run_id = found
        self._check()

    @property
    def run_id(self) -> str:
        return str(self._projection.run_id)

    def close(self, root: Path, evaluations: Sequence[EvaluationReport], tags: Mapping[str, str]) -> None:
        """Logs the figures and files of the result, and ends the run."""
        self._projection.tags(tags)
        if self.is_new:
            self._projection.fill_in(
                {f"{each.method}/{name}": [(0, value)] for each in evaluations for name, value in each.figures()}
            )
            with tempfile.TemporaryDirectory() as folder:
                _collect(root, Path(folder))
                self._projection.upload(Path(folder))
            self._projection.finish(FINISHED)
        self._check()

    def _check(self) -> None:
        if self._projection.store is None or self._projection.run_id is None:
            raise TrackingError(f"the tracking store {self._store.shown} failed while the result was logged; see above")


def describe(store: Store, evaluations: Sequence[EvaluationReport], measure: Measure, root: Path) -> str:
    """A description in Markdown for the run's page: the leaderboard, and links to the stage runs."""
    experiment = store.experiment(STAGE_EXPERIMENT)
    runs = stage_runs(store, stage_keys(read_lock(root)))
    found = {each.method: each.run("test", measure.pair)["metrics"] for each in evaluations}
    columns = headline_metrics(next(iter(found.values())))
    rows = [
        f"| {method} | " + " | ".join(f"{metrics[name]['value']:.3f}" for name in columns)
        for method, metrics in found.items()
    ]
    links = [f"- [{name}](#/experiments/{experiment}/runs/{run_id})" for name, run_id in runs.items()]
    titles = " | ".join(["method", *columns])
    head = [f"Test split, {measure.pair}", "", f"| {titles} |", "|---" * (len(columns) + 1) + "|"]
    return "\n".join([*head, *(f"{row} |" for row in rows), "", "Stage runs:", "", *links])


def _collect(root: Path, folder: Path) -> None:
    """Copies what the run's page shows into one folder, so that it goes up in one call."""
    for name in SHOWN_FOLDERS:
        if (root / "reports" / name).is_dir():
            shutil.copytree(root / "reports" / name, folder / name)
    for name in (LOCK, PARAMS, PACKAGES, REPORT):
        if (root / name).is_file():
            shutil.copyfile(root / name, folder / Path(name).name)
    write_json(folder / ENVIRONMENT, installed())
