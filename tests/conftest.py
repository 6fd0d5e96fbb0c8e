"""The order of the files, and fixtures of several rooms: a small catalogue, stage runs, projects to run studies in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.catalogues.garment_catalogue import build_rows
from tests.support.file_order import sort_items
from tests.support.made_once import made_once, shared_folder
from tests.support.pipeline.shared_forks import shared_programs
from tests.support.stage_runs import FakeRun, Outcome, install_fake_runs, run_validate, write_project
from tests.support.tuning import study_projects


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    sort_items(items)


@pytest.fixture
def catalogue_rows() -> list[dict[str, Any]]:
    return build_rows()


@pytest.fixture
def fake_run(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], list[FakeRun]]:
    """`fake_run(stage's module)` replaces its `stage_run`; gives the list that its runs are added to."""
    return lambda module: install_fake_runs(module, monkeypatch)


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    """A folder with a params.yaml; keyword arguments `block__key=value` change it."""
    return lambda **changes: write_project(tmp_path, **changes)


@pytest.fixture
def run_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Runs the validate stage on rows; keyword arguments `block__key=value` change params.yaml."""
    return lambda rows, **changes: run_validate(tmp_path, rows, monkeypatch, **changes)


@pytest.fixture
def no_data_docs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Validation writes no Data Docs, whose pages take half of its time."""
    from croquis.validation.suite import Suites  # here: most tests have no use for what it imports

    monkeypatch.setattr(Suites, "build_site", lambda _: None)


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder with a `python` that forks stages and DVC from one process, which all workers share."""
    with shared_programs(shared_folder(tmp_path_factory)) as folder:
        yield folder


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tracking database as it is made, which takes seconds."""
    return made_once(tmp_path_factory, "empty-store", study_projects.empty_database) / "mlruns/mlflow.db"


@pytest.fixture(scope="session")
def shapes_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue of coloured shapes with params for tiny nets; treat it as read-only."""
    return made_once(tmp_path_factory, "shapes-world", study_projects.write_shapes_project)


@pytest.fixture
def shapes(shapes_world: Path, empty_store: Path, tmp_path: Path) -> Path:
    """A project of one's own on the catalogue of `shapes_world`."""
    return study_projects.own_project(shapes_world, empty_store, tmp_path, "data")
