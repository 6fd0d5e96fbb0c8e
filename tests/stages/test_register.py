"""`register`: the first champion, a second call, a floor not reached, and what makes it fail."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from retrieval.bundle import Bundle
from retrieval.files import read_json
from stages import register
from tests import registry_world as world
from tests.registry_world import MODEL, Project, begun_project, copied, empty_project
from tracking.evaluations import EvaluationError
from tracking.registry import CHAMPION
from tracking.store import TrackingError


@pytest.fixture
def fresh(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Before the first registration."""
    return copied(empty_project(tmp_path_factory), tmp_path, monkeypatch)


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """With a first champion."""
    return copied(begun_project(tmp_path_factory), tmp_path, monkeypatch)


def test_the_first_passing_candidate_becomes_champion_and_it_says_so(
    fresh: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    register.main(fresh.root)
    written = capsys.readouterr().out
    assert "test split, shop->shop; chosen (*) by val map@r" in written
    assert "\n* siamese" in written
    gain = fresh.report["above_floor"]["siamese"]
    assert gain["low"] <= gain["value"] <= gain["high"]
    assert f"{gain['value']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f})" in written
    both = [read_json(fresh.root / f"reports/evaluation/{method}.json") for method in ("histogram", "siamese")]
    means = [report["splits"]["test"]["runs"] for report in both]
    floor, best = (next(r for r in runs if r["pair"] == "shop->shop")["metrics"]["map@r"]["value"] for runs in means)
    assert gain["value"] == pytest.approx(best - floor, abs=1e-5)
    assert "first champion" in written
    assert "no champion yet, so there is nothing to beat" in written
    assert "python -m stages.promote --dry-run" in written
    champion = fresh.registry.holder(CHAMPION)
    assert champion is not None
    assert (champion.number, champion.method) == (1, "siamese")
    assert champion.bundle_hash == fresh.report["bundle"]
    assert fresh.report["outcome"] == "first champion"
    assert fresh.report["champion"] is None
    assert champion.tags["gate.promote"] == "true"
    assert len(champion.tags["dvc.lock_hash"]) == 64
    run = fresh.pipeline_runs()[0]
    assert run.info.status == "FINISHED"
    assert run.data.tags["outcome"] == "first champion"
    assert run.data.params["register.model_name"] == MODEL
    values = read_json(fresh.root / "reports/evaluation/histogram.json")["splits"]["test"]["runs"][0]["metrics"]
    assert run.data.metrics["histogram/test/consumer_to_shop/encoder/hit_at_1"] == values["hit@1"]["value"]
    assert (fresh.root / run.info.artifact_uri / "evaluation/siamese.json").is_file()


def test_the_report_holds_nothing_that_differs_from_run_to_run(
    fresh: Project, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = copied(empty_project(tmp_path_factory), tmp_path / "other", monkeypatch)
    for project in (fresh, other):
        register.main(project.root)
    content = (fresh.root / register.REPORT).read_bytes()
    assert (other.root / register.REPORT).read_bytes() == content
    assert str(tmp_path).encode() not in content


def test_registering_again_changes_nothing(project: Project) -> None:
    runs = len(project.pipeline_runs())
    register.main(project.root)
    assert [version.number for version in project.registry.versions()] == [1]
    assert len(project.pipeline_runs()) == runs
    assert project.report["outcome"] == "is the champion"
    assert project.registry.holder(CHAMPION).tags["gate.promote"] == "true"  # type: ignore[union-attr]


def test_without_a_floor_among_the_methods_nothing_is_compared_to_it(project: Project) -> None:
    assert project.report["above_floor"] == {}


def test_a_candidate_below_the_floor_gets_no_alias(fresh: Project, capsys: pytest.CaptureFixture[str]) -> None:
    world.write_params(fresh.root, ["histogram", "siamese"], floor=1.0)
    register.main(fresh.root)
    assert fresh.report["outcome"] == "refused"
    assert fresh.registry.aliases() == {}
    assert len(fresh.registry.versions()) == 1
    assert "below the floor of 1.000" in capsys.readouterr().out


def test_a_dead_tracking_server_fails_and_is_named(fresh: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(TrackingError, match=r"http://127\.0\.0\.1:9"):
        register.main(fresh.root)
    assert not (fresh.root / register.REPORT).exists()


def test_an_evaluation_of_another_bundle_is_refused(fresh: Project) -> None:
    path = fresh.root / "reports/evaluation/siamese.json"
    path.write_text(json.dumps(read_json(path) | {"bundle": "0" * 64}))
    with pytest.raises(EvaluationError, match=r"is about bundle 000000000000.*dvc repro evaluate@siamese"):
        register.main(fresh.root)


def test_a_throw_away_copy_registers_in_the_main_repository(
    fresh: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = tmp_path / "main"
    shutil.copytree(fresh.root / "mlruns", main / "mlruns")
    monkeypatch.setenv("DVC_ROOT", str(main))
    monkeypatch.setenv("DVC_EXP_NAME", "wide-margin")
    register.main()
    assert (fresh.root / register.REPORT).is_file()
    assert not list((fresh.root / "mlruns").glob("artifacts/models/*"))
    champion = Project(main).registry.holder(CHAMPION)
    assert champion is not None
    assert champion.tags["dvc.experiment"] == "wide-margin"
    assert Bundle.load(Project(main).registry.bundle_folder(champion.number)).hash == champion.bundle_hash
