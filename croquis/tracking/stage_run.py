"""`stage_run`: how a stage reports. Files first: the record is a DVC output, and MLflow gets a copy of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from croquis.tracking.environment import experiment_name, project_root, quiet
from croquis.tracking.git import git_state
from croquis.tracking.mlflow_mirror import FAILED, FINISHED, KEY_TAG, KILLED, STAGE_TAG, RunMirror
from croquis.tracking.record import ARTIFACTS_FOLDER, RUNS, RunRecord, dvc_name, flatten, folder_name
from croquis.tracking.stage_key import StageSignature, stage_signature
from croquis.tracking.tracking_store import STAGE_EXPERIMENT, try_store, uris_kept


class StageRun:
    """What a stage reports while it runs; made by `stage_run`.

    Attributes:
        name: DVC's name of the stage, e.g. `train_embedder@siamese`.
        key: the stage key; None outside DVC.
        record_folder: `reports/runs/<name>`, a DVC output.
        artifacts: folder for pictures and tables, inside `record_folder`; uploaded when the block ends.
    """

    def __init__(self, name: str, key: str | None, folder: Path, record: RunRecord, projection: RunMirror) -> None:
        self.name = name
        self.key = key
        self.record_folder = folder
        self.artifacts = folder / ARTIFACTS_FOLDER
        self._record = record
        self._projection = projection

    @property
    def run_id(self) -> str | None:
        """The MLflow run, or None when the tracker is dead. Never write it into a DVC output."""
        return self._projection.run_id

    def metric(self, name: str, value: float) -> None:
        """Reports a figure that the same inputs always give; MLflow gets all of them at the end, in one call."""
        self._record.add(name, [(0, value)])

    def history(self, name: str, points: Iterable[tuple[int, float]]) -> None:
        """Reports a curve that Lightning's logger has sent already; MLflow gets it only if it has no point of it."""
        self._record.add(name, ((step, value) for step, value in points))

    def volatile(self, name: str, value: float) -> None:
        """Reports a figure that differs from run to run, such as seconds: to MLflow only."""
        self._projection.metrics([(name, 0, value)])

    def tag(self, name: str, value: str) -> None:
        """Keeps a tag in the record, and sets it in the tracker where there is one."""
        self._record.tags[name] = str(value)
        self._projection.tags({name: str(value)})

    def logger_arguments(self) -> dict[str, Any] | None:
        """Arguments of Lightning's MLFlowLogger that make it write into this run; None when the tracker is dead."""
        store = self._projection.store
        if store is None or self.run_id is None:
            return None
        return {"tracking_uri": store.uri, "run_id": self.run_id, "experiment_name": STAGE_EXPERIMENT}

    def close(self) -> None:
        """Writes the record, completes the MLflow run from it and ends that run as FINISHED."""
        self._record.write(self.record_folder)
        self._projection.fill_in(self._record.metrics)
        self._projection.upload(self.artifacts)
        self._projection.finish(FINISHED)

    def abandon(self, status: str) -> None:
        """Ends the MLflow run without a record; what was measured and drawn until now is kept as evidence."""
        self._projection.fill_in(self._record.metrics)
        self._projection.upload(self.artifacts)
        self._projection.finish(status)


@contextmanager
def stage_run(
    stage: str, item: str | None = None, *, params: Mapping[str, Any], root: Path | None = None
) -> Iterator[StageRun]:
    """Opens the record of a stage and its MLflow run for the length of the block.

    The run of the same stage key that a killed process left unfinished is continued. An error in the block ends the run as
    FAILED, Ctrl-C as KILLED, and passes on; the record is written only when the block ends well. A tracker that cannot be
    reached gives one warning.

    Args:
        stage: name of the stage in dvc.yaml, e.g. `train_embedder`.
        item: the matrix item, e.g. `siamese`.
        params: the params the stage uses; nested blocks are flattened to dotted names.
        root: the project folder; found from the current folder by default.
    """
    quiet()
    root = (root or project_root()).resolve()
    name = dvc_name(stage, item)
    signature = stage_signature(name, root)
    record = RunRecord(params=flatten(params))
    projection = RunMirror(try_store(root))
    key = signature.key if signature else None
    projection.start(run_name(name), lineage_tags(name, signature, root), record.params, key)
    run = StageRun(name, key, _fresh(root / RUNS / folder_name(name)), record, projection)
    try:
        with uris_kept():
            yield run
    except (KeyboardInterrupt, SystemExit):
        run.abandon(KILLED)
        raise
    except BaseException:
        run.abandon(FAILED)
        raise
    run.close()


def run_name(name: str) -> str:
    """The stage's name, led by the DVC experiment's where one runs."""
    experiment = experiment_name()
    return f"{experiment}: {name}" if experiment else name


def lineage_tags(name: str, signature: StageSignature | None, root: Path) -> dict[str, str]:
    """Where a run comes from: stage, stage key, commit, dirty flag, data hash, DVC experiment."""
    state, experiment = git_state(root), experiment_name()
    tags = {STAGE_TAG: name, **(state.tags() if state else {})}
    if signature:
        tags[KEY_TAG] = signature.key
    if signature and signature.data_hash:
        tags["data.hash"] = signature.data_hash
    if experiment:
        tags["dvc.experiment"] = experiment
    return tags


def _fresh(folder: Path) -> Path:
    if folder.exists():
        shutil.rmtree(folder)
    (folder / ARTIFACTS_FOLDER).mkdir(parents=True)
    return folder
