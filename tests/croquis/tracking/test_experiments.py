"""`dvc exp run` in place, `--temp` and `--queue`: runs and pictures land in the main repository's store, named after the
experiment; and DVC's own comparisons read them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from croquis.tracking.tracking_store import STAGE_EXPERIMENT, Store, open_store

pytestmark = pytest.mark.slow
Command = Callable[..., str]


@pytest.fixture(scope="module")
def project(dvc_project: Path, command: Command) -> Path:
    """After `dvc repro`, results committed."""
    command(dvc_project, "dvc", "repro", "-q")
    command(dvc_project, "git", "add", ".")
    command(dvc_project, "git", "commit", "-q", "-m", "results")
    return dvc_project


def runs_of(store: Store, name: str) -> list[Any]:
    found = store.client.search_runs([store.experiment(STAGE_EXPERIMENT)], f"tags.`dvc.experiment` = '{name}'")
    return list(found)


@pytest.mark.parametrize(
    ("name", "how"),
    [("here", []), ("wide", ["--temp"]), ("queued", ["--queue"])],
)
def test_an_experiment_logs_into_the_main_store_under_its_name(
    project: Path, command: Command, name: str, how: list[str]
) -> None:
    rate = {"here": "0.25", "wide": "0.5", "queued": "0.75"}[name]
    command(project, "dvc", "exp", "run", *how, "-q", "-n", name, "-S", f"train.rate={rate}", "train@small")
    if how == ["--queue"]:
        assert runs_of(open_store(project), name) == []
        command(project, "dvc", "exp", "run", "--run-all", "-q")

    (run,) = runs_of(open_store(project), name)
    assert run.info.run_name == f"{name}: train@small"
    assert run.info.status == "FINISHED"
    assert (project / run.info.artifact_uri / "sheets" / "picture.txt").read_text() == "train small"

    shown = json.loads(command(project, "dvc", "metrics", "diff", "HEAD", name, "--json"))
    found = shown["scores-small.json"]["hit@1"]
    assert (found["old"], found["new"]) == (0.0001, float(rate))
    assert name in (table := command(project, "dvc", "exp", "show", "--csv"))
    assert rate in next(line for line in table.splitlines() if name in line)
    page = command(project, "dvc", "plots", "diff", "HEAD", name, "--out", f"plots-{name}")
    assert "index.html" in page
    assert name in (project / f"plots-{name}/index.html").read_text()
    command(project, "git", "checkout", "-q", "--force", "HEAD")
