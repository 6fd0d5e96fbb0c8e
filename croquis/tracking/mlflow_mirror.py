"""The MLflow side of a run. It may fail at any moment without hurting the stage that reports through it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from croquis.credentials import without_credentials
from croquis.tracking.record import Points, RunRecord, mlflow_name
from croquis.tracking.tracking_store import STAGE_EXPERIMENT, Store, warn_once

if TYPE_CHECKING:
    from mlflow.entities import Run

STAGE_TAG = "dvc.stage"
KEY_TAG = "dvc.stage_key"
PROCESS_TAG = "croquis.process"
FINISHED, FAILED, KILLED, RUNNING = "FINISHED", "FAILED", "KILLED", "RUNNING"
BATCH = 1000  # metrics that MLflow takes in one call
PARAM_BATCH = 100
LONGEST_PARAM = 6000
LONGEST_TAG = 8000


class RunMirror:
    """One MLflow run that mirrors a record; without a store, or after its first failure, every call does nothing."""

    def __init__(self, store: Store | None, experiment: str = STAGE_EXPERIMENT) -> None:
        self.run_id: str | None = None
        self.experiment = experiment
        self._store = store

    @property
    def store(self) -> Store | None:
        """The store while it works."""
        return self._store

    def start(self, name: str, tags: Mapping[str, str], params: Mapping[str, Any], key: str | None = None) -> None:
        """Resumes the unfinished run of the same stage key that a killed process left, or begins a new run."""

        own = {name: str(value)[:LONGEST_TAG] for name, value in {**tags, PROCESS_TAG: _this_process()}.items()}

        def begin(store: Store) -> str:
            experiment_id = store.experiment(self.experiment)
            left = _left_behind(store, experiment_id, key) if key else None
            if left is not None:
                store.client.update_run(left, status=RUNNING)
                return left
            # The tags come in the same call: a kill must not leave a run that nobody finds again.
            run = store.client.create_run(experiment_id, run_name=name, tags=own)
            return str(run.info.run_id)

        self.run_id = self._try(begin)
        if self.run_id is not None:
            self.tags(own)
            self.params(params)

    def tags(self, tags: Mapping[str, str]) -> None:
        if self._store is None:
            return
        from mlflow.entities import RunTag

        self._log(tags=[RunTag(name, str(value)[:LONGEST_TAG]) for name, value in tags.items()])

    def params(self, params: Mapping[str, Any]) -> None:
        if self._store is None:
            return
        from mlflow.entities import Param

        rows = [Param(mlflow_name(name), str(value)[:LONGEST_PARAM]) for name, value in params.items()]
        for start in range(0, len(rows), PARAM_BATCH):
            self._log(params=rows[start : start + PARAM_BATCH])

    def metrics(self, points: Iterable[tuple[str, int, float]]) -> None:
        """Logs (name, step, value) points in as few calls as possible."""
        if self._store is None:
            return
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        rows = [Metric(mlflow_name(name), float(value), now, int(step)) for name, step, value in points]
        for start in range(0, len(rows), BATCH):
            self._log(metrics=rows[start : start + BATCH])

    def fill_in(self, metrics: Mapping[str, Points]) -> None:
        """Logs the metrics of which the run has no point at all: those that no logger sent while training."""

        def known(store: Store) -> set[str]:
            return set(store.client.get_run(self.run_id).data.metrics)

        present = self._try(known) or set()
        self.metrics(
            (name, step, value)
            for name, points in metrics.items()
            if mlflow_name(name) not in present
            for step, value in points
        )

    def upload(self, folder: Path) -> None:
        """Sends every file in `folder` as artifacts of the run."""
        if folder.is_dir() and any(folder.iterdir()):
            self._try(lambda store: store.upload(str(self.run_id), folder))

    def mirror(self, record: RunRecord, artifacts: Path) -> None:
        """Everything that a finished stage has on disk."""
        self.params(record.params)
        self.tags(record.tags)
        self.fill_in(record.metrics)
        self.upload(artifacts)

    def finish(self, status: str) -> None:
        self._try(lambda store: store.client.set_terminated(self.run_id, status))

    def _log(self, **rows: Any) -> None:
        if any(rows.values()):
            self._try(lambda store: store.client.log_batch(self.run_id, **rows))

    def _try(self, call: Callable[[Store], Any]) -> Any:
        """The answer of `call`, or None once the store is dead."""
        if self._store is None:
            return None
        try:
            return call(self._store)
        except Exception as error:  # MLflow, SQLAlchemy, requests and the file system share no base class
            told = without_credentials(str(error) or repr(error)).splitlines()[0]
            warn_once(f"the tracking store {self._store.shown} failed: {told}")
            self._store = None
            return None


def runs_with_key(store: Store, experiment_id: str, key: str) -> list[Run]:
    """Runs tagged with a stage key, newest first."""
    wanted = f"tags.`{KEY_TAG}` = '{key}'"
    return list(store.client.search_runs([experiment_id], wanted, order_by=["attributes.start_time DESC"]))


def _left_behind(store: Store, experiment_id: str, key: str) -> str | None:
    """The newest unfinished run of this key whose process, on this machine, is gone."""
    for run in runs_with_key(store, experiment_id, key):
        host, _, pid = run.data.tags.get(PROCESS_TAG, "").rpartition("/")
        if run.info.status == KILLED or (
            run.info.status == RUNNING and host == socket.gethostname() and not _alive(pid)
        ):
            return str(run.info.run_id)
    return None


def _this_process() -> str:
    return f"{socket.gethostname()}/{os.getpid()}"


def _alive(pid: str) -> bool:
    if not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return int(pid) != os.getpid()
