"""The MLflow side of a run. It may fail at any moment without hurting the stage that reports through it."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from croquis.credentials import without_credentials
from croquis.files import write_json
from croquis.tracking import mlflow_view
from croquis.tracking.mlflow_view import DATA_TAG, METRICS_FILE, NOTE_TAG
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
TRAINING = "train_"  # what names of stages begin with whose runs show the machine's load
SAMPLE_SECONDS = 5.0  # MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL overrules it


class RunMirror:
    """One MLflow run that mirrors a record; without a store, or after its first failure, every call does nothing."""

    def __init__(self, store: Store | None, experiment: str = STAGE_EXPERIMENT) -> None:
        self.run_id: str | None = None
        self.experiment = experiment
        self._store = store
        self._stage: str | None = None
        self._load: Any = None

    @property
    def store(self) -> Store | None:
        """The store while it works."""
        return self._store

    def start(
        self,
        name: str,
        tags: Mapping[str, str],
        params: Mapping[str, Any],
        key: str | None = None,
        *,
        is_live: bool = True,
    ) -> None:
        """Resumes the unfinished run of the same stage key that a killed process left, or begins a new run.

        The run gets what MLflow's pages show of every run: user, source, commit, and the catalogue that it reads. A
        training's run gets the load of the machine too.

        Args:
            is_live: whether the work is done while the run is open, and not before.
        """
        self._stage = tags.get(STAGE_TAG)
        more = {**mlflow_view.source_tags(self._stage, tags), PROCESS_TAG: _this_process()}
        own = {name: str(value)[:LONGEST_TAG] for name, value in {**more, **tags}.items()}

        def begin(store: Store) -> str:
            experiment_id = store.experiment(self.experiment)
            left = _left_behind(store, experiment_id, key) if key else None
            if left is not None:
                store.client.update_run(left, status=RUNNING)
                return left
            # The tags come in the same call: a kill must not leave a run that cannot be found again.
            run = store.client.create_run(experiment_id, run_name=name, tags=own)
            return str(run.info.run_id)

        self.run_id = self._try(begin)
        if self.run_id is not None:
            self.tags(own)
            self.params(params)
            self._read(tags.get(DATA_TAG))
            if is_live and (self._stage or "").startswith(TRAINING):
                self._watch_machine()

    def tags(self, tags: Mapping[str, str]) -> None:
        """Sets tags; long values are cut to what MLflow keeps."""
        if self._store is None:
            return
        from mlflow.entities import RunTag

        self._log(tags=[RunTag(name, str(value)[:LONGEST_TAG]) for name, value in tags.items()])

    def params(self, params: Mapping[str, Any]) -> None:
        """Logs parameters; long values are cut to what MLflow keeps."""
        if self._store is None:
            return
        from mlflow.entities import Param

        rows = [Param(mlflow_name(name), str(value)[:LONGEST_PARAM]) for name, value in params.items()]
        for start in range(0, len(rows), PARAM_BATCH):
            self._log(params=rows[start : start + PARAM_BATCH])

    def metrics(self, points: Iterable[tuple[str, int, float]], model_id: str | None = None) -> None:
        """Logs (name, step, value) points in as few calls as possible.

        Args:
            model_id: the logged model that they are about, whose page shows them, too.
        """
        if self._store is None:
            return
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        rows = [Metric(mlflow_name(name), float(value), now, int(step), model_id) for name, step, value in points]
        for start in range(0, len(rows), BATCH):
            self._log(metrics=rows[start : start + BATCH])

    def fill_in(self, metrics: Mapping[str, Points]) -> None:
        """Logs the metrics of which the run has no point at all: those that no logger sent while training.

        Of a stage with a long list MLflow gets the few that a table has room for, and the list as an artifact. The run's
        description says the first three.
        """

        def known(store: Store) -> set[str]:
            return set(store.client.get_run(self.run_id).data.metrics)

        if self._store is None:
            return
        stage = self._stage or ""
        present, shown = self._try(known) or set(), mlflow_view.few(stage, metrics)
        self.metrics(
            (name, step, value)
            for name, points in shown.items()
            if mlflow_name(name) not in present
            for step, value in points
        )
        if len(shown) < len(metrics):
            with tempfile.TemporaryDirectory() as folder:
                write_json(Path(folder) / METRICS_FILE, mlflow_view.listed(metrics))
                self.upload(Path(folder))
        self._describe(stage, metrics)

    def upload(self, folder: Path, *, with_pictures: bool = True) -> None:
        """Sends every file in `folder` as artifacts of the run, and its pictures as MLflow's images, by step."""
        if folder.is_dir() and any(folder.iterdir()):
            self._try(lambda store: store.upload(str(self.run_id), folder))
            if with_pictures:
                self._show_pictures(folder)

    def mirror(self, record: RunRecord, artifacts: Path) -> None:
        """Everything that a finished stage has on disk."""
        self.params(record.params)
        self.tags(record.tags)
        self.fill_in(record.metrics)
        self.upload(artifacts)

    def finish(self, status: str) -> None:
        """Ends the run with a status of MLflow's, e.g. `FINISHED`."""
        if self._load is not None:
            self._load.finish()
        self._try(lambda store: store.client.set_terminated(self.run_id, status))

    def _watch_machine(self) -> None:
        """Logs the load of processor, memory, disk and network until the run is finished, from a thread of MLflow's."""
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        def watch(store: Store) -> SystemMetricsMonitor:
            every = {"sampling_interval": SAMPLE_SECONDS, "resume_logging": True}
            found = SystemMetricsMonitor(self.run_id, tracking_uri=store.uri, **every)
            found.start()
            return found

        self._load = self._try(watch)

    def _read(self, data_hash: str | None) -> None:
        """Logs the catalogue as the run's input."""

        def read(store: Store) -> None:
            found = mlflow_view.catalogue_input(str(self._stage), store.project, data_hash)
            if found is not None:
                store.client.log_inputs(self.run_id, [found])

        if data_hash and self._stage is not None:
            self._try(read)

    def _describe(self, stage: str, metrics: Mapping[str, Points]) -> None:
        def describe(store: Store) -> str:
            page = f"#/experiments/{store.experiment(self.experiment)}/runs/{self.run_id}"
            return mlflow_view.note(stage, store.project, metrics, page)

        text = self._try(describe) if stage and metrics else None
        if text:
            self.tags({NOTE_TAG: text})

    def _show_pictures(self, folder: Path) -> None:
        found = list(mlflow_view.pictures(folder))
        if not found:
            return
        from PIL import Image

        def show(store: Store) -> None:
            with store.here():
                for key, step, path in found:
                    with Image.open(path) as picture:
                        store.client.log_image(self.run_id, picture, key=key, step=step, synchronous=True)

        self._try(show)

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
