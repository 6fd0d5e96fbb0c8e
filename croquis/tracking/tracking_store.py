"""The MLflow store: where it is, how it is made, and what happens when it cannot be reached."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from croquis.credentials import without_credentials
from croquis.files import fresh_file
from croquis.tracking.environment import project_root, quiet, store_root
from croquis.tracking.mlflow_view import NOTE_TAG, shared_view

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

STAGE_EXPERIMENT = "croquis"
VIEW_KEY = "croquis"  # of the experiment page's columns, in its address
EXPERIMENT_NOTE = (
    "A **pipeline** run is one result of `croquis repro`; the runs of its stages are nested in it (+ opens them). "
    "A stage that several results share stands below the newest. `croquis sync` makes missing runs again from the files "
    "that DVC keeps."
)
STORE_FOLDER = "mlruns"
# Relative, so that the folder can be moved: MLflow itself would store an absolute path.
ARTIFACTS = f"{STORE_FOLDER}/artifacts"
PROBE_SECONDS = 3.0

_warned: set[str] = set()


class TrackingError(RuntimeError):
    """The tracking store cannot be used; the message names its URI and the fix."""


@dataclass(frozen=True)
class Store:
    """An open tracking store.

    Attributes:
        uri: absolute tracking URI.
        root: folder that the store's relative artifact locations start from.
        client: MLflow's client for tracking and registry.
        project: folder of the files that runs are made of; another one than `root` in a temporary DVC experiment.
    """

    uri: str
    root: Path
    client: MlflowClient
    project: Path = field(default_factory=Path)
    _experiments: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def shown(self) -> str:
        """The URI for messages, without user and password."""
        return without_credentials(self.uri)

    @property
    def is_local(self) -> bool:
        """Whether the store is a database file on this machine."""
        return is_sqlite(self.uri)

    def experiment(self, name: str) -> str:
        """The id of an experiment, which is made if it does not exist."""
        if name not in self._experiments:
            found = self.client.get_experiment_by_name(name)
            if found and found.lifecycle_stage == "deleted":  # MLflow takes neither runs for it nor another of its name
                self.client.restore_experiment(found.experiment_id)
                logger.warning("experiment %s was deleted in MLflow; it is restored, as runs are logged to it", name)
            self._experiments[name] = found.experiment_id if found else self._create_experiment(name)
        return self._experiments[name]

    def show(self, columns: Iterable[str]) -> None:
        """Describes the experiment, and says which metrics its page is to show as columns, where that has changed."""
        found = self.client.get_experiment(self.experiment(STAGE_EXPERIMENT))
        wanted = {
            NOTE_TAG: EXPERIMENT_NOTE,
            "mlflow.experimentKind": "custom_model_development",
            f"mlflow.sharedViewState.{VIEW_KEY}": shared_view(columns),
        }
        for name, value in wanted.items():
            if found.tags.get(name) != value:
                self.client.set_experiment_tag(found.experiment_id, name, value)

    def address_of_runs(self) -> str:
        """Of the experiment's page in MLflow's UI, after the server's own; with columns chosen once there is a result."""
        found = self.client.get_experiment(self.experiment(STAGE_EXPERIMENT))
        view = f"&viewStateShareKey={VIEW_KEY}" if f"mlflow.sharedViewState.{VIEW_KEY}" in found.tags else ""
        return f"#/experiments/{found.experiment_id}/runs?workflowType=machine_learning{view}"

    def _create_experiment(self, name: str) -> str:
        if not self.is_local:
            return str(self.client.create_experiment(name))
        with self.lock("store"):
            found = self.client.get_experiment_by_name(name)
            if found:
                return str(found.experiment_id)
            made = str(self.client.create_experiment(name, artifact_location=str(self.root / ARTIFACTS)))
            make_artifacts_relative(sqlite_path(self.uri), made)
            return made

    def lock(self, name: str) -> FileLock:
        """A lock between the processes of this machine: of a sqlite store between those of all workspaces that use it, of a
        server between those of one workspace."""
        folder = sqlite_path(self.uri).parent if self.is_local else self.root / STORE_FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f".{name}.lock", timeout=300)

    def upload(self, run_id: str, folder: Path) -> None:
        """Copies everything in `folder` to the artifacts of a run."""
        location = self.client.get_run(run_id).info.artifact_uri
        if self.is_local and "://" not in location:
            shutil.copytree(folder, self.root / location, dirs_exist_ok=True)
        else:
            self.client.log_artifacts(run_id, str(folder))

    @contextlib.contextmanager
    def here(self) -> Iterator[None]:
        """Makes this the store of `mlflow.*` calls and resolves relative artifact locations, for the length of the block."""
        import mlflow

        with uris_kept(), contextlib.chdir(self.root if self.is_local else Path.cwd()):
            mlflow.set_tracking_uri(self.uri)
            mlflow.set_registry_uri(registry_uri(self.uri))
            yield


@contextlib.contextmanager
def uris_kept() -> Iterator[None]:
    """After the block MLflow's URIs are what they were. Its setters write the environment too, and Lightning's MLFlowLogger
    calls them: what the process opens later would be a store of another project."""
    names = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
    before = [os.environ.get(name) for name in names]
    try:
        yield
    finally:
        if mlflow := sys.modules.get("mlflow"):
            mlflow.set_tracking_uri(before[0])
            mlflow.set_registry_uri(before[1])
        for name, value in zip(names, before, strict=True):
            _restore_variable(name, value)


def tracking_uri(root: Path | None = None) -> str:
    """`MLFLOW_TRACKING_URI` if set (a relative sqlite path made absolute), else sqlite in mlruns/ of the main repository."""
    base = store_root(root)
    given = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    if not given:
        return sqlite_uri(base / STORE_FOLDER / "mlflow.db")
    if is_sqlite(given) and not sqlite_path(given).is_absolute():
        return sqlite_uri(base / sqlite_path(given))
    return given


def open_store(root: Path | None = None) -> Store:
    """Opens the store, making the local one if it does not exist.

    Raises:
        TrackingError: when it cannot be reached, naming the URI.
    """
    quiet()
    uri = tracking_uri(root)
    try:
        _probe(uri)
        _silence_mlflow()
        if is_sqlite(uri):
            create_once(uri)
        store = Store(uri=uri, root=_artifact_root(uri, root), client=_client(uri), project=_project(root))
        store.client.search_experiments(max_results=1)
        return store
    except Exception as error:  # MLflow, SQLAlchemy, requests and sockets share no base class
        raise TrackingError(
            f"the tracking store {without_credentials(uri)} cannot be used: {_first_line(error)}. "
            "Start the server, or correct or unset MLFLOW_TRACKING_URI"
        ) from error


def try_store(root: Path | None = None) -> Store | None:
    """As `open_store`, but a store that cannot be used gives one warning per process and None."""
    try:
        return open_store(root)
    except TrackingError as error:
        warn_once(str(error))
        return None


def warn_once(message: str) -> None:
    """Logs a warning unless this process has logged the same before."""
    if message not in _warned:
        _warned.add(message)
        logger.warning("%s; this stage goes on without it, `croquis sync` catches up later", message)


def registry_uri(uri: str) -> str:
    """Where the registry of the tracking store `uri` is: `MLFLOW_REGISTRY_URI` if set, else in it."""
    return os.environ.get("MLFLOW_REGISTRY_URI", uri)


def sqlite_uri(path: Path) -> str:
    """The URI of a database file.

    SQLAlchemy decodes the path, and MLflow makes the folder of a `sqlite:///` path as it stands, hence the driver's name
    where the two differ.
    """
    written = str(path).replace("%", "%25").replace("?", "%3F")
    return f"{'sqlite' if written == str(path) else 'sqlite+pysqlite'}:///{written}"


def is_sqlite(uri: str) -> bool:
    """Whether a URI names a database file of SQLite."""
    return uri.startswith(("sqlite:", "sqlite+pysqlite:"))


def sqlite_path(uri: str) -> Path:
    """The file that `sqlite_uri` made a URI of."""
    return Path(unquote(uri.partition(":///")[2].partition("?")[0]))


def create_once(uri: str) -> None:
    """Makes the sqlite database unless it exists: under a lock, and under another name until it is whole.

    Two processes that let MLflow create one database at once can leave it broken for good, and so can a kill.
    """
    path = sqlite_path(uri)
    if path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.parent / ".store.lock", timeout=300):
        if path.is_file():
            return
        with fresh_file(path) as partial:
            partial.unlink(missing_ok=True)
            _client(sqlite_uri(partial)).search_experiments(max_results=1)
            make_artifacts_relative(partial)


def make_artifacts_relative(database: Path, experiment_id: str | None = None) -> None:
    """Rewrites the artifact location of one experiment, or of all, to a path relative to the project."""
    change, one = "UPDATE experiments SET artifact_location = ?", " WHERE experiment_id = ?"
    with contextlib.closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        if experiment_id is None:
            connection.execute(change, (ARTIFACTS,))
        else:
            connection.execute(change + one, (ARTIFACTS, int(experiment_id)))


def _client(uri: str) -> MlflowClient:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=registry_uri(uri))


def _artifact_root(uri: str, root: Path | None) -> Path:
    """Relative artifact locations start where mlruns/ stands, also for a database that MLFLOW_TRACKING_URI names."""
    if is_sqlite(uri) and sqlite_path(uri).parent.name == STORE_FOLDER:
        return sqlite_path(uri).parent.parent
    return store_root(root)


def _project(root: Path | None) -> Path:
    return (root or project_root()).resolve()


def _probe(uri: str) -> None:
    """Fails within seconds when no server listens where the URI points; MLflow's own retries would take minutes."""
    parts = urlsplit(uri)
    if not parts.hostname or parts.scheme == "databricks" or is_sqlite(uri):
        return
    port = parts.port or {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306}.get(
        parts.scheme.split("+")[0], 0
    )
    if port:
        with socket.create_connection((parts.hostname, port), timeout=PROBE_SECONDS):
            pass


def _silence_mlflow() -> None:
    """A new database logs a hundred lines of migrations; MLflow sets its levels on import, hence here."""
    import mlflow  # noqa: F401

    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _restore_variable(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def _first_line(error: Exception) -> str:
    return (without_credentials(error).strip() or type(error).__name__).splitlines()[0][:300]
