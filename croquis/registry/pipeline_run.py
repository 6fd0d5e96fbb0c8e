"""One MLflow run per distinct result of the pipeline, with the runs of its stages nested in it.

It holds the chosen method's figures under the names that the runs of `evaluate` have, every method's figures as an artifact,
params, pictures and dvc.lock.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from croquis.evaluation.metrics import headline_metrics
from croquis.files import write_json
from croquis.registry.evaluation_reports import EvaluationReport, Measure
from croquis.registry.lineage import PACKAGES, files_hash, installed
from croquis.registry.registration import REPORT
from croquis.tracking.environment import experiment_name
from croquis.tracking.mlflow_mirror import FINISHED, KEY_TAG, STAGE_TAG, RunMirror, runs_with_key
from croquis.tracking.mlflow_view import METRICS_FILE, PARENT_TAG
from croquis.tracking.record import flatten, mlflow_name
from croquis.tracking.tracking_store import STAGE_EXPERIMENT, Store, TrackingError

PIPELINE = "pipeline"
REPORTED = "test"
SHOWN_FOLDERS = ("plots", "evaluation")
# What `rebuild` goes back by; the commit's own dvc.lock and params.yaml may be older than the version.
LOCK, PARAMS, ENVIRONMENT = "dvc.lock", "params.yaml", "environment.json"


def result_key(root: Path, evaluations: Sequence[EvaluationReport], params: Mapping[str, Any]) -> str:
    """What makes a result distinct: the evaluations, byte for byte, and the params."""
    evaluated = files_hash(root, [evaluation.path for evaluation in evaluations])
    return hashlib.sha256(json.dumps([evaluated, params], sort_keys=True).encode()).hexdigest()


def find_result(store: Store, key: str) -> str | None:
    """The id of the finished run of a result."""
    runs = runs_with_key(store, store.experiment(STAGE_EXPERIMENT), key)
    finished = [str(run.info.run_id) for run in runs if run.info.status == FINISHED]
    return finished[0] if finished else None


class PipelineRun:
    """The run of a result, found again or begun; `close` completes it.

    Raises:
        TrackingError: here and in `close`, when the store fails: unlike a stage, `register` must not go on.
    """

    def __init__(self, store: Store, key: str, tags: Mapping[str, str], params: Mapping[str, Any]) -> None:
        self._store = store
        self._projection = RunMirror(store)
        found = find_result(store, key)
        self.is_new = found is None
        if found is None:
            name = experiment_name() or PIPELINE
            own = {STAGE_TAG: PIPELINE, KEY_TAG: key}
            self._projection.start(name, {**tags, **own}, flatten(used_params(params)), key)
        else:
            self._projection.run_id = found
        self._check()

    @property
    def run_id(self) -> str:
        """Of the parent run in MLflow."""
        return str(self._projection.run_id)

    def nest(self, stage_runs: Iterable[str]) -> None:
        """Puts the runs of its stages below it. A run that another result shares is moved here: MLflow knows one parent."""
        for run_id in stage_runs:
            self._store.client.set_tag(run_id, PARENT_TAG, self.run_id)

    def close(
        self,
        root: Path,
        evaluations: Sequence[EvaluationReport],
        chosen: EvaluationReport,
        tags: Mapping[str, str],
        model_id: str | None = None,
    ) -> None:
        """Logs the figures and files of the result, and ends the run.

        Args:
            evaluations: best first.
            chosen: the one that was registered, whose figures are those of the run.
            model_id: its logged model, which gets its figures, too.
        """
        self._projection.tags(tags)
        if self.is_new:
            self._projection.metrics([(name, 0, value) for name, value in chosen.headline_figures()], model_id)
            with tempfile.TemporaryDirectory() as folder:
                _collect(root, evaluations, Path(folder))
                self._projection.upload(Path(folder), with_pictures=False)  # the stages' runs show them
            self._projection.finish(FINISHED)
        self._check()

    def _check(self) -> None:
        if self._projection.store is None or self._projection.run_id is None:
            raise TrackingError(f"the tracking store {self._store.shown} failed while the result was logged; see above")


def used_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Without the blocks of the sources that were not ingested; params.yaml, an artifact, has them."""
    ingest = params["ingest"]
    kept = {name: value for name, value in ingest.items() if name == ingest["source"] or not isinstance(value, Mapping)}
    return {**params, "ingest": kept}


def describe(
    evaluations: Sequence[EvaluationReport],
    chosen: EvaluationReport,
    measure: Measure,
    version: str,
    stage_runs: Mapping[str, str],
    page: str,
) -> str:
    """A description in Markdown for the run's page: the choice and its figures, the leaderboard, links to the stages' runs.

    Args:
        evaluations: best first.
        chosen: what was registered.
        version: a link to what was registered.
        stage_runs: DVC's stage name -> id of its run.
        page: address of the pages of the experiment's runs.
    """
    best = evaluations[0]
    why = f"is the best of {len(evaluations)} by val {measure}"
    if chosen is not best:
        passed_over = f"{best.method}, the best by val {measure}, is not shown to be above the baseline"
        why = f"was chosen of {len(evaluations)}: {passed_over}"
    found = {each.method: each.run(REPORTED, measure.pair)["metrics"] for each in evaluations}
    columns = headline_metrics(found[chosen.method])
    figures = ", ".join(f"{name} **{found[chosen.method][name]['value']:.3f}**" for name in columns[:3])
    rows = [
        f"| {method} | " + " | ".join(f"{metrics[name]['value']:.3f}" for name in columns) + " |"
        for method, metrics in found.items()
    ]
    links = [f"[{name}]({page}/{run_id})" for name, run_id in stage_runs.items()]
    return "\n".join(
        [
            f"**{chosen.method}** {why}: {figures} ({REPORTED}, {measure.pair}).",
            "",
            f"Registered as {version}. The whole list of figures: `{METRICS_FILE}`; the reports: `evaluation/`.",
            "",
            f"| {' | '.join(['method', *columns])} |",
            "|---" * (len(columns) + 1) + "|",
            *rows,
            "",
            f"Stages: {' · '.join(links) or 'none has a run here'}",
        ]
    )


def _collect(root: Path, evaluations: Sequence[EvaluationReport], folder: Path) -> None:
    """Copies what the run's page shows into one folder, so that it goes up in one call."""
    for name in SHOWN_FOLDERS:
        if (root / "reports" / name).is_dir():
            shutil.copytree(root / "reports" / name, folder / name)
    for name in (LOCK, PARAMS, PACKAGES, REPORT):
        if (root / name).is_file():
            shutil.copyfile(root / name, folder / Path(name).name)
    write_json(folder / ENVIRONMENT, installed())
    every = {each.method: {mlflow_name(name): value for name, value in each.figures()} for each in evaluations}
    write_json(folder / METRICS_FILE, every)
