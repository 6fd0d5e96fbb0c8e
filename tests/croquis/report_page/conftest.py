"""A project of two methods with everything that the page of results reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from croquis.params import Params, load_params
from croquis.report_page.results_page import results_page
from croquis.tracking.record import RUNS, RunRecord
from tests.support.catalogues import blob_catalogue
from tests.support.registry import evaluated_project

METHODS = {"histogram": evaluated_project.SEES_LITTLE, "siamese": evaluated_project.SEES_COLOURS}


@pytest.fixture(scope="session")
def results_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Treat it as read-only."""
    root = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(blob_catalogue.RERANK, "compare", ["alpha_qe"])
        evaluated_project.write_project(root, METHODS)
    curves = {"train/loss": [(0, 2.0), (1, 1.0)], "val/score": [(0, 0.2), (1, 0.4)], "started": [(0, 1.0)]}
    curves["val/a name that is wider than the screen of a phone is"] = [(0, 0.5), (1, 0.6)]
    for stage in ("train_embedder-siamese", "train_gan", "train_classifier"):
        RunRecord(metrics=curves).write(root / RUNS / stage)
    return root


@pytest.fixture(scope="session")
def results_params(results_project: Path) -> Params:
    return load_params(results_project / "params.yaml")


@pytest.fixture(scope="session")
def results_text(results_project: Path, results_params: Params) -> str:
    """The page of that project."""
    return results_page(results_project, results_params)
