"""`sync`: runs, metrics, artifacts and the registry come back from what DVC keeps, once, and nothing else changes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from croquis.bundle import Bundle
from croquis.cli import main
from croquis.registry.bundle_options import ModelSourceError, bundle_folder
from croquis.registry.registry import CHAMPION
from croquis.tracking.mlflow_mirror import KEY_TAG
from croquis.tracking.stage_key import read_lock, stage_key_from_lock
from croquis.tracking.tracking_store import STAGE_EXPERIMENT, Store, open_store
from stages import register
from tests.support.environment import OUTSIDE, REPOSITORY, clear_environment
from tests.support.registry.evaluated_project import MODEL, Project, begun_project, copied, empty_project

pytestmark = pytest.mark.slow

PIPELINE = """
stages:
  train:
    matrix:
      method: [small, large]
    cmd: python -m stages.report ${item.method}
    deps: [stages/report.py]
    params: [rate]
    outs: ["reports/runs/train-${item.method}"]
"""
SCRIPT = """
import sys
from croquis.tracking.stage_run import stage_run

method = sys.argv[1]
with stage_run("train", method, params={"rate": 0.1, "fit": {"epochs": 2}}) as run:
    run.metric("consumer->shop/hit@1", 0.5)
    run.history("val/loss", [(0, 2.0), (1, float("inf")), (2, 0.5)])
    run.tag("head", "dense")
    (run.artifacts / "sheets").mkdir()
    (run.artifacts / "sheets" / "picture.txt").write_text(method)
"""


def run_in(folder: Path, *command: str, programs: Path | None = None) -> str:
    """What a command wrote; `programs` have DVC and its stages forked."""
    if programs is not None and command[0] == "dvc":
        command = (str(programs / "python"), "-m", *command)
    environment = {name: value for name, value in os.environ.items() if name not in OUTSIDE}
    path = os.pathsep.join(map(str, filter(None, (programs, Path(sys.executable).parent, environment["PATH"]))))
    environment |= {"PYTHONPATH": str(REPOSITORY), "PATH": path, "GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, programs: Path) -> Path:
    """A git + DVC project after `dvc repro`, dvc.lock committed."""
    root = tmp_path_factory.mktemp("trained") / "project"
    (root / "stages").mkdir(parents=True)
    for name, text in (
        ("dvc.yaml", PIPELINE),
        ("params.yaml", "rate: 0.1\n"),
        ("stages/__init__.py", ""),
        ("stages/report.py", SCRIPT),
        (".gitignore", "/mlruns/\n/reports/\n__pycache__/\n"),
    ):
        (root / name).write_text(text)
    for command in (
        "git init -q",
        "dvc init -q",
        "git config user.email tests@example.org",
        "git config user.name Tests",
        "git add .",
        "git commit -q -m pipeline",
        "dvc repro -q",
        "git add .",
        "git commit -q -m results",
    ):
        run_in(root, *command.split(), programs=programs)
    return root


@pytest.fixture
def lost(
    trained: Path, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """That project with every file but with an empty store: as a fresh clone after `dvc pull` has it."""
    clear_environment(monkeypatch)
    shutil.copytree(trained, tmp_path / "project", ignore=shutil.ignore_patterns("mlruns"))
    shutil.copytree(empty_project(tmp_path_factory) / "mlruns", tmp_path / "project/mlruns")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def runs_by_stage(store: Store) -> dict[str, Any]:
    found = store.client.search_runs([store.experiment(STAGE_EXPERIMENT)])
    assert len({run.data.tags["dvc.stage"] for run in found}) == len(found)
    return {run.data.tags["dvc.stage"]: run for run in found}


def test_runs_come_back_as_they_were(trained: Path, lost: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sync"], lost) == 0
    assert capsys.readouterr().out.count("run restored from its record") == 2
    before, after = open_store(trained), open_store(lost)
    old, new = runs_by_stage(before), runs_by_stage(after)
    assert sorted(new) == sorted(old) == ["train@large", "train@small"]
    for name, run in new.items():
        assert run.info.status == "FINISHED"
        assert run.data.params == old[name].data.params
        for metric in ("consumer_to_shop/hit_at_1", "val/loss"):
            histories = [
                [(point.step, point.value) for point in store.client.get_metric_history(found.info.run_id, metric)]
                for store, found in ((before, old[name]), (after, run))
            ]
            assert histories[0] == histories[1] != []
        assert run.data.tags["head"] == "dense"
        assert (
            run.data.tags[KEY_TAG]
            == old[name].data.tags[KEY_TAG]
            == stage_key_from_lock(read_lock(lost)["stages"][name])
        )
        assert run.data.tags["git.commit"] == run_in(lost, "git", "rev-parse", "HEAD").strip()
        picture = lost / run.info.artifact_uri / "sheets" / "picture.txt"
        assert picture.read_text() == name.partition("@")[2]


def test_a_second_sync_does_nothing(lost: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sync"], lost) == 0
    first = {name: run.info.run_id for name, run in runs_by_stage(open_store(lost)).items()}
    capsys.readouterr()
    assert main(["sync"], lost) == 0
    assert capsys.readouterr().out.count("has its run") == 2
    assert {name: run.info.run_id for name, run in runs_by_stage(open_store(lost)).items()} == first


def test_runs_that_are_there_are_left_alone(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clear_environment(monkeypatch)
    shutil.copytree(trained, tmp_path / "project")
    before = runs_by_stage(open_store(tmp_path / "project"))
    assert main(["sync"], tmp_path / "project") == 0
    after = runs_by_stage(open_store(tmp_path / "project"))
    assert {name: run.info.run_id for name, run in before.items()} == {
        name: run.info.run_id for name, run in after.items()
    }


def test_missing_and_changed_records_are_named_and_not_used(lost: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(lost / "reports/runs/train-small")
    record = lost / "reports/runs/train-large/record.json"
    record.write_text(record.read_text().replace("0.5", "0.9"))
    assert main(["sync"], lost) == 0
    written = capsys.readouterr().out
    assert "train@small                  has no record here: dvc pull" in written
    assert "train@large                  has a record that is not the one in dvc.lock" in written
    assert runs_by_stage(open_store(lost)) == {}


def test_a_project_that_never_ran_has_nothing_to_restore(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clear_environment(monkeypatch)
    shutil.copytree(empty_project(tmp_path_factory) / "mlruns", tmp_path / "mlruns")
    assert main(["sync"], tmp_path) == 0
    assert "run `croquis repro` first" in capsys.readouterr().out


def test_a_dead_server_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert main(["sync"], tmp_path) == 1
    assert "http://127.0.0.1:9" in capsys.readouterr().err


def test_a_lost_registry_is_made_again_once(
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clear_environment(monkeypatch)
    begun = begun_project(tmp_path_factory)
    before = Project(begun).registry.holder(CHAMPION)
    shutil.copytree(begun, tmp_path / "clone", ignore=shutil.ignore_patterns("mlruns"))
    shutil.copytree(empty_project(tmp_path_factory) / "mlruns", tmp_path / "clone/mlruns")
    project = copied(tmp_path / "clone", tmp_path, monkeypatch)
    assert main(["sync"], project.root) == 0
    assert "is champion again" in capsys.readouterr().out
    after = project.registry.holder(CHAMPION)
    assert after is not None
    assert before is not None
    assert after.bundle_hash == before.bundle_hash
    assert after.tags["gate.promote"] == "true"
    assert after.tags["gate.reasons"] == before.tags["gate.reasons"]
    runs = project.pipeline_runs()
    assert [run.info.status for run in runs] == ["FINISHED"]
    assert main(["sync"], project.root) == 0
    assert [version.number for version in project.registry.versions()] == [1]
    assert len(project.pipeline_runs()) == 1


@pytest.mark.parametrize("name", ["a%2Fb?c#d", "größe 100%"])
def test_any_folder_name_registers_and_reads_back(
    name: str,
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project = copied(empty_project(tmp_path_factory), tmp_path / name, monkeypatch)
    (project.root / "mlruns/mlflow.db").unlink()
    assert main(["sync"], project.root) == 0
    register.main(project.root)
    champion = project.registry.holder(CHAMPION)
    assert champion is not None
    assert Bundle.load(project.registry.bundle_folder(champion.number)).hash == champion.bundle_hash
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    "lost", ["mlruns/artifacts", "mlruns/artifacts/**/gallery.parquet", "mlruns/artifacts/**/manifest.json"]
)
def test_lost_model_files_are_told_and_put_back(
    lost: str,
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # With its code, as the version that is put back has.
    project = copied(begun_project(tmp_path_factory), tmp_path, monkeypatch, with_code=True)
    for path in [*project.root.glob(lost)]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if "gallery" not in lost:
        with pytest.raises(ModelSourceError, match=r"lacks files of version 1 .*`croquis sync` puts them back"):
            bundle_folder(None, f"models:/{MODEL}@champion")
    assert main(["sync"], project.root) == 0
    assert "were not in the artifact store: put back from models/bundles" in capsys.readouterr().out
    served = Bundle.load(bundle_folder(None, f"models:/{MODEL}@champion"))
    assert [(each.number, each.bundle_hash) for each in project.registry.versions()] == [(1, served.hash)]
    assert main(["sync"], project.root) == 0
    assert "put back" not in capsys.readouterr().out


def test_lost_files_of_a_bundle_that_is_gone_are_named_with_a_cure(
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project = copied(begun_project(tmp_path_factory), tmp_path, monkeypatch)
    project.offer_a_challenger()
    shutil.rmtree(project.root / "mlruns/artifacts")
    capsys.readouterr()
    assert main(["sync"], project.root) == 0
    told = capsys.readouterr().out
    assert "files of version 2" in told
    assert "the artifact store lacks files of version 1" in told
    store = project.registry.store
    store.client.delete_model_version(MODEL, "1")
    register.main(project.root)
    champion = project.registry.holder(CHAMPION)
    assert champion is not None
    assert Bundle.load(project.registry.bundle_folder(champion.number)).hash == champion.bundle_hash


def test_runs_and_experiments_deleted_in_the_ui_come_back(
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project = copied(begun_project(tmp_path_factory), tmp_path, monkeypatch)
    store = project.registry.store
    for run in project.pipeline_runs():
        store.client.delete_run(run.info.run_id)
    assert main(["sync"], project.root) == 0
    assert "pipeline run restored from reports/" in capsys.readouterr().out
    store.client.delete_experiment(store.experiment(STAGE_EXPERIMENT))
    assert main(["sync"], project.root) == 0
    register.main(project.root)
    assert {run.info.status for run in project.pipeline_runs()} == {"FINISHED"}
    assert project.registry.aliases() == {CHAMPION: 1}
