"""Two workspaces with their own commits, params and data, and one tracking store between them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from croquis.cli import main
from croquis.files import write_json
from croquis.registry.lineage import Lineage, made_from
from croquis.registry.registry import CHALLENGER, CHAMPION, PREVIOUS, RegisteredVersion
from stages import register
from tests.support.catalogues import blob_catalogue as evaluation_world
from tests.support.registry import evaluated_project as world
from tests.support.registry.evaluated_project import Project, copied, empty_project

pytestmark = pytest.mark.slow
EASY = {"max_category_drop": 1.0, "max_mode_drop": 1.0}


@pytest.fixture
def shared(tmp_path: Path) -> str:
    """The URI of a store that belongs to neither."""
    return f"sqlite:///{tmp_path}/shared/mlruns/mlflow.db"


@pytest.fixture
def workspaces(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: str
) -> list[Project]:
    """In the first a retriever that sees little, in the second one that sees colours."""
    found = []
    for name, encoder in (("first", world.SEES_LITTLE), ("second", world.SEES_COLOURS)):
        project = copied(empty_project(tmp_path_factory), tmp_path / name, monkeypatch)
        (project.root / "mlruns/mlflow.db").unlink()
        project.offer(encoder, **EASY)
        found.append(project)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", shared)
    for project in found:
        commit(project)
    return found


def commit(project: Project) -> str:
    """A dvc.lock of its own, and a commit of everything; returns the commit."""
    data = {"path": "data/catalog", "md5": f"{project.root.parent.name}.dir"}
    write_json(project.root / "dvc.lock", {"schema": "2.0", "stages": {"validate": {"cmd": "x", "outs": [data]}}})
    (project.root / ".gitignore").write_text("/mlruns/\n/data/\n/models/\n/reports/\n")
    who = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["init", "-q"], ["add", "-A"], [*who, "commit", "-q", "-m", project.root.parent.name]):
        subprocess.run(["git", *command], cwd=project.root, check=True)
    return commit_of(project)


def commit_of(project: Project) -> str:
    command = ["git", "rev-parse", "HEAD"]
    return subprocess.run(command, cwd=project.root, check=True, capture_output=True, text=True).stdout.strip()


def registered(project: Project, monkeypatch: pytest.MonkeyPatch) -> str:
    """What became of the workspace's retriever."""
    monkeypatch.chdir(project.root)
    register.main(project.root)
    return str(project.report["outcome"])


def artifact(project: Project, version: RegisteredVersion, name: str) -> bytes:
    store = project.registry.store
    return bytes((store.root / store.client.get_run(version.run_id).info.artifact_uri / name).read_bytes())


def test_each_version_leads_to_the_workspace_that_made_it(
    workspaces: list[Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = workspaces
    assert registered(first, monkeypatch) == "first champion"
    assert registered(second, monkeypatch) == "challenger"
    versions = second.registry.versions()
    assert [version.number for version in versions] == [1, 2]
    assert first.registry.versions() == versions
    for project, version in zip(workspaces, versions, strict=True):
        lineage = Lineage.of(version.tags)
        assert (lineage.commit, lineage.dirty) == (commit_of(project), False)
        assert lineage.data_hash == f"{project.root.parent.name}.dir"
        assert version.bundle_hash == project.report["bundle"]
        for name in ("dvc.lock", "params.yaml"):
            assert artifact(project, version, name) == (project.root / name).read_bytes()
        for fact in (lineage.commit, lineage.lock_hash, version.bundle_hash):
            assert made_from(versions, fact) == [version]
    assert not any((project.root / "mlruns/artifacts").exists() for project in workspaces)

    monkeypatch.chdir(first.root)  # whoever promotes, both see the same
    assert main(["registry", "promote"]) == 0
    assert [project.registry.aliases() for project in workspaces] == [{CHAMPION: 2, PREVIOUS: 1}] * 2
    monkeypatch.chdir(second.root)
    assert main(["registry", "rollback"]) == 0
    assert first.registry.aliases() == {CHAMPION: 1, PREVIOUS: 2}


def test_the_same_bundle_from_another_workspace_is_the_same_version(
    workspaces: list[Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = workspaces
    registered(first, monkeypatch)
    (made,) = first.registry.versions()
    second.offer(world.SEES_LITTLE, **EASY)
    assert registered(second, monkeypatch) == "is the champion"
    (found,) = second.registry.versions()
    assert (found.run_id, found.tags["git.commit"]) == (made.run_id, commit_of(first))


def test_what_was_judged_before_another_workspace_promoted_is_judged_again(
    workspaces: list[Project], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = workspaces
    registered(first, monkeypatch)
    registered(second, monkeypatch)
    first.offer(evaluation_world.encoder(), **EASY)
    registered(first, monkeypatch)
    assert first.registry.aliases()[CHALLENGER] == 3
    monkeypatch.chdir(second.root)
    assert main(["registry", "promote", "--version", "2"]) == 0
    monkeypatch.chdir(first.root)
    assert main(["registry", "promote"]) == 1
    assert "version 3 (siamese" in (said := capsys.readouterr().err)
    assert "but the champion is now version 2" in said
    assert second.registry.aliases()[CHAMPION] == 2


def exchanged(count: int) -> Iterator[dict[str, Any]]:
    """The rows with the first `count` items of train in val, and as many of val in train."""
    roles = {"front": "gallery", "back": "gallery", "detail": "query", "street": "query", "party": "query"}
    for row in evaluation_world.rows():
        split, _, number = row["item_id"].partition("-")
        if int(number) < count and split == "train":
            yield row | {"split": "val", "role": roles[row["image_id"].partition("/")[2]]}
        elif int(number) < count and split == "val":
            if row["domain"] != "sketch":
                yield row | {"split": "train", "role": "train"}
        else:
            yield row


def test_a_champion_of_other_data_is_not_asked_about_what_it_was_trained_on(
    workspaces: list[Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = workspaces
    registered(first, monkeypatch)
    rows = list(exchanged(2))
    with monkeypatch.context() as patch:
        patch.setattr(evaluation_world, "rows", lambda: iter(rows))
        for name in ("catalog", "sketches"):
            shutil.rmtree(second.root / "data" / name)
        evaluation_world.write_catalogue(second.root)
        second.offer(world.SEES_COLOURS, **EASY)
    registered(second, monkeypatch)
    reasons = {reason["rule"]: reason["text"] for reason in second.report["reasons"]}
    assert reasons["data"] == "the champion was trained on 2 of the 6 items of these queries, which are left out"
    assert "queries of 4 items" in reasons["gain"]
    assert reasons["data"] in second.registry.version(2).tags["gate.reasons"]
