"""`dvc exp run --temp` works in a throw-away copy; its runs and pictures must land in the main repository's store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tracking.store import STAGE_EXPERIMENT, open_store


@pytest.mark.slow
def test_a_temporary_experiment_logs_into_the_main_store(dvc_project: Path, command: Callable[..., str]) -> None:
    command(dvc_project, "dvc", "repro", "-q")
    command(dvc_project, "git", "add", ".")
    command(dvc_project, "git", "commit", "-q", "-m", "results")
    store = open_store(dvc_project)
    experiment = store.experiment(STAGE_EXPERIMENT)
    before = {run.info.run_id for run in store.client.search_runs([experiment])}

    command(dvc_project, "dvc", "exp", "run", "--temp", "-q", "-n", "wide", "-S", "train.rate=0.5", "train@small")

    new = [run for run in store.client.search_runs([experiment]) if run.info.run_id not in before]
    assert [run.info.run_name for run in new] == ["wide: train@small"]
    assert new[0].data.tags["dvc.experiment"] == "wide"
    assert new[0].info.status == "FINISHED"
    assert (dvc_project / new[0].info.artifact_uri / "sheets" / "picture.txt").read_text() == "train small"
