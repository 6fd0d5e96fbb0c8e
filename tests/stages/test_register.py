"""`register`: the first champion, a second call, a floor not reached, and what makes it fail."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient

from croquis.bundle import Bundle
from croquis.catalog.table import Catalog
from croquis.files import read_json, write_json
from croquis.params import load_params
from croquis.registry.evaluation_reports import EvaluationError
from croquis.registry.registering import choose
from croquis.registry.registration import REPORT
from croquis.registry.registry import CHAMPION
from croquis.tracking.stage_code import CODE
from croquis.tracking.tracking_store import TrackingError
from stages import register
from tests.support.registry import evaluated_project as world
from tests.support.registry.evaluated_project import (
    MODEL,
    SEES_COLOURS,
    SEES_LITTLE,
    Project,
    begun_project,
    copied,
    empty_project,
    write_method,
    write_params,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def fresh(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Before the first registration."""
    return copied(empty_project(tmp_path_factory), tmp_path, monkeypatch)


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """With a first champion."""
    return copied(begun_project(tmp_path_factory), tmp_path, monkeypatch)


class First(NamedTuple):
    """A project after its first registration, and what the stage printed."""

    project: Project
    written: str


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> First:
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as written:
        project = copied(empty_project(tmp_path_factory), tmp_path_factory.mktemp("first"), patch)
        register.main(project.root)
    return First(project, written.getvalue())


VERDICT = ("gate.against", "gate.promote", "gate.reasons")


class TestTheFirstRegistration:
    def test_the_best_candidate_becomes_champion(self, first: First) -> None:
        champion = first.project.registry.holder(CHAMPION)
        assert champion is not None
        assert (champion.number, champion.method) == (1, "siamese")
        assert champion.bundle_hash == first.project.report["bundle"]

    def test_the_version_carries_the_verdict_and_the_lock(self, first: First) -> None:
        tags = first.project.registry.version(1).tags
        assert tags["gate.promote"] == "true"
        assert len(json.loads(tags["lineage"])["dvc.lock_hash"]) == 64
        assert set(tags) == {"bundle_hash", "lineage", "method", "model_hash", *VERDICT}

    def test_the_report_says_that_there_was_no_champion(self, first: First) -> None:
        assert first.project.report["outcome"] == "first champion"
        assert first.project.report["champion"] is None

    def test_the_gain_over_the_floor_is_the_difference_of_the_means(self, first: First) -> None:
        gain = first.project.report["above_floor"]["siamese"]
        assert gain["low"] <= gain["value"] <= gain["high"]
        assert gain["value"] == pytest.approx(mean_of(first, "siamese") - mean_of(first, "histogram"), abs=1e-5)

    def test_it_prints_the_choice_the_gain_and_what_to_do_next(self, first: First) -> None:
        gain = first.project.report["above_floor"]["siamese"]
        for words in (
            "test split, shop->shop; chosen (*) by val map@r",
            "\n* siamese",
            f"{gain['value']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f})",
            f"siamese has map@r {mean_of(first, 'siamese'):.3f} on test; with 95% confidence it is ",
            "first champion",
            "no champion yet, so there is nothing to beat",
            "croquis registry status",
        ):
            assert words in first.written

    def test_the_pipeline_run_holds_params_figures_and_reports(self, first: First) -> None:
        run = first.project.pipeline_runs()[0]
        assert (run.info.status, run.data.tags["outcome"]) == ("FINISHED", "first champion")
        assert run.data.params["register.model_name"] == MODEL
        values = evaluation(first, "siamese")["splits"]["test"]["runs"][0]["metrics"]
        assert run.data.metrics["test/consumer_to_shop/hit_at_1"] == values["hit@1"]["value"]
        assert len(run.data.metrics) < 40
        every = read_json(first.project.root / run.info.artifact_uri / "metrics.json")
        others = evaluation(first, "histogram")["splits"]["test"]["runs"][0]["metrics"]
        assert every["histogram"]["test/consumer_to_shop/encoder/hit_at_1"] == others["hit@1"]["value"]
        assert (first.project.root / run.info.artifact_uri / "evaluation/siamese.json").is_file()

    def test_the_stages_run_is_nested_in_it_and_the_model_has_its_figures(self, first: First) -> None:
        registry, (result,) = first.project.registry, first.project.pipeline_runs()
        client = registry.store.client
        nested = client.search_runs([result.info.experiment_id], f"tags.`mlflow.parentRunId` = '{result.info.run_id}'")
        assert [run.data.tags["dvc.stage"] for run in nested] == ["register"]
        note = result.data.tags["mlflow.note.content"]
        assert note.startswith("**siamese** is the best of 2 by val shop->shop/map@r: hit@1 **")
        assert f"[{MODEL} 1](#/models/{MODEL}/versions/1)" in note
        assert f"[register](#/experiments/{result.info.experiment_id}/runs/{nested[0].info.run_id})" in note
        model = client.get_logged_model(registry.model_id(1))
        figures = {metric.key: metric.value for metric in model.metrics}
        assert figures["test/shop_to_shop/map_at_r"] == result.data.metrics["test/shop_to_shop/map_at_r"]
        assert "`champion` | what search servers use" in client.get_registered_model(MODEL).description

    def test_the_experiments_page_has_columns(self, first: First) -> None:
        store = first.project.registry.store
        address = store.address_of_runs()
        assert address.endswith("&viewStateShareKey=croquis")
        view = json.loads(store.client.get_experiment_by_name("croquis").tags["mlflow.sharedViewState.croquis"])
        assert "metrics.`test/shop_to_shop/map_at_r`" in view["selectedColumns"]
        assert set(view["selectedColumns"]) < set(view["columnOrder"])


def evaluation(first: First, method: str) -> dict[str, Any]:
    return read_json(first.project.root / f"reports/evaluation/{method}.json")  # type: ignore[no-any-return]


def mean_of(first: First, method: str) -> float:
    """map@r of the test split, shop->shop."""
    runs = evaluation(first, method)["splits"]["test"]["runs"]
    return float(next(run for run in runs if run["pair"] == "shop->shop")["metrics"]["map@r"]["value"])


def test_the_report_holds_nothing_that_differs_from_run_to_run(
    fresh: Project, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = copied(empty_project(tmp_path_factory), tmp_path / "other", monkeypatch)
    for project in (fresh, other):
        register.main(project.root)
    content = (fresh.root / REPORT).read_bytes()
    assert (other.root / REPORT).read_bytes() == content
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


def test_where_no_method_is_shown_above_the_baseline_the_baseline_becomes_champion(
    fresh: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """The best is as good as the baseline, and stands before it in the list."""
    write_params(fresh.root, ["siamese", "histogram"])
    write_method(fresh.root, Catalog.open(fresh.root / "data/catalog"), "siamese", SEES_LITTLE)
    register.main(fresh.root)
    champion, report = fresh.registry.holder(CHAMPION), fresh.report
    assert champion is not None
    assert (champion.method, report["method"], report["outcome"]) == ("histogram", "histogram", "first champion")
    assert report["values"]["siamese"] == report["values"]["histogram"]
    reason = next(each for each in report["reasons"] if each["rule"] == "baseline")
    assert reason["passed"]
    assert "no method was shown to be above it" in reason["text"]
    written = capsys.readouterr().out
    assert "\n* histogram" in written
    assert "\n  siamese" in written
    note = fresh.pipeline_runs()[0].data.tags["mlflow.note.content"]
    assert note.startswith("**histogram** was chosen of 2: siamese, the best by val shop->shop/map@r, is not shown")
    register.main(fresh.root)
    assert fresh.report["outcome"] == "is the champion"


def test_the_second_best_is_proposed_where_it_is_shown_above_the_baseline_and_the_best_is_not(fresh: Project) -> None:
    """The best gains much on few queries, the second a little on all."""
    write_params(fresh.root, ["histogram", "siamese", "untrained"], confidence=0.99)
    catalog = Catalog.open(fresh.root / "data/catalog")
    write_method(fresh.root, catalog, "untrained", SEES_COLOURS)
    results_of(fresh.root, "histogram", [0.2] * 6)
    results_of(fresh.root, "untrained", [0.5] * 6)
    results_of(fresh.root, "siamese", [1.0, 1.0, 1.0, 0.1, 0.1, 0.1])
    choice = choose(load_params(fresh.root / "params.yaml"), fresh.root)
    assert [report.method for report in choice.ranking] == ["siamese", "untrained", "histogram"]
    assert choice.chosen.method == "untrained"
    assert choice.bundle.manifest.method == "untrained"


def results_of(root: Path, method: str, values: list[float]) -> None:
    """Puts `values` in the place of map@r of the val queries from shop to shop, in the report and query by query."""
    path = root / f"reports/evaluation/{method}.json"
    report = read_json(path)
    run = next(run for run in report["splits"]["val"]["runs"] if run["pair"] == "shop->shop")
    run["metrics"]["map@r"]["value"] = sum(values) / len(values)
    write_json(path, report)
    rows = pq.read_table(path.with_name(f"{method}.queries.parquet")).to_pylist()
    asked = [row for row in rows if (row["split"], row["pair"]) == ("val", "shop->shop")]
    for row, value in zip(sorted(asked, key=lambda row: str(row["query_id"])), values, strict=True):
        row["map@r"] = value
    pq.write_table(pa.Table.from_pylist(rows), path.with_name(f"{method}.queries.parquet"))


def test_a_best_that_learns_nothing_is_told_only_where_others_were_trained(
    fresh: Project, caplog: pytest.LogCaptureFixture
) -> None:
    results_of(fresh.root, "histogram", [0.9] * 6)
    results_of(fresh.root, "siamese", [0.1] * 6)
    params = load_params(fresh.root / "params.yaml")
    assert choose(params, fresh.root).chosen.method == "histogram"
    assert "histogram, which learns nothing: look at the trainings" in caplog.text
    caplog.clear()
    nothing = {"learns": False, "learns_from_drawings": False}
    write_json(fresh.root / CODE / "methods.json", {"histogram": nothing, "siamese": nothing})
    assert choose(params, fresh.root).chosen.method == "histogram"
    assert caplog.text == ""


def test_a_candidate_below_the_floor_gets_no_alias(fresh: Project, capsys: pytest.CaptureFixture[str]) -> None:
    world.write_params(fresh.root, ["histogram"], floor=1.0)
    register.main(fresh.root)
    assert fresh.report["outcome"] == "refused"
    assert fresh.registry.aliases() == {}
    assert len(fresh.registry.versions()) == 1
    assert "below the floor of 1.000" in capsys.readouterr().out


def test_a_dead_tracking_server_fails_and_is_named(fresh: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(TrackingError, match=r"http://127\.0\.0\.1:9"):
        register.main(fresh.root)
    assert not (fresh.root / REPORT).exists()


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
    assert (fresh.root / REPORT).is_file()
    assert not list((fresh.root / "mlruns").glob("artifacts/models/*"))
    champion = Project(main).registry.holder(CHAMPION)
    assert champion is not None
    assert champion.tags["dvc.experiment"] == "wide-margin"
    assert Bundle.load(Project(main).registry.bundle_folder(champion.number)).hash == champion.bundle_hash


def commit_the_report(project: Project) -> None:
    (project.root / ".gitignore").write_text("/mlruns/\n/data/\n/models/\n")
    person = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["init", "-q"], ["add", "."], [*person, "commit", "-qm", "results"]):
        subprocess.run(["git", *command], cwd=project.root, check=True)


def test_a_store_that_does_not_know_the_champion_is_not_taken_for_a_new_one(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit_the_report(project)
    champion = project.report["bundle"]
    project.offer(world.SEES_COLOURS)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other/mlruns/mlflow.db")
    register.main(project.root)
    assert project.report["outcome"] == "refused"
    incumbent = next(reason for reason in project.report["reasons"] if reason["rule"] == "incumbent")
    assert (
        f"knows the champion {champion[:12]}, this tracking store does not: correct MLFLOW_TRACKING"
        in incumbent["text"]
    )
    assert project.registry.aliases() == {}
    tags = [project.registry.version(1).tags, project.pipeline_runs()[0].data.tags]
    assert [tag["gate.promote"] for tag in tags] == ["false", "false"]
    assert all(incumbent["text"] in tag["gate.reasons"] for tag in tags)


def test_the_new_store_of_a_fresh_clone_gets_a_first_champion(project: Project) -> None:
    commit_the_report(project)
    project.offer(world.SEES_COLOURS)
    shutil.rmtree(project.root / "mlruns")
    register.main(project.root)
    assert project.report["outcome"] == "first champion"
    assert project.report["reasons"][-1]["text"] == "no champion yet, so there is nothing to beat"


def test_a_champion_that_lost_its_alias_is_not_replaced_by_accident(project: Project) -> None:
    commit_the_report(project)
    project.registry.drop_alias(CHAMPION)
    project.offer(world.SEES_COLOURS)
    register.main(project.root)
    assert project.report["outcome"] == "refused"
    assert "whose version is here without its alias" in project.report["reasons"][-1]["text"]


def test_other_versions_without_a_champion_are_counted(project: Project) -> None:
    project.registry.drop_alias(CHAMPION)
    project.offer(world.SEES_COLOURS)
    register.main(project.root)
    assert project.report["outcome"] == "first champion"
    assert "has 1 other versions but no champion" in project.report["reasons"][-1]["text"]


def test_the_card_is_on_the_version_and_in_its_run(project: Project) -> None:
    champion = project.registry.holder(CHAMPION)
    assert champion is not None
    run = project.pipeline_runs()[0]
    assert champion.run_id == run.info.run_id
    card = (project.root / run.info.artifact_uri / "model_card.md").read_text()
    shown = project.registry.store.client.get_model_version(MODEL, "1").description
    assert shown.startswith(f"# {champion}\n")
    assert "ok   floor: val shop->shop/map@r is" in card
    values = read_json(project.root / "reports/evaluation/siamese.json")["splits"]["test"]["runs"]
    for estimate in (run["metrics"]["hit@1"] for run in values):
        assert f"{estimate['value']:.3f} ({estimate['low']:.3f}-{estimate['high']:.3f})" in card
    for name, entry in Bundle.load(project.root / "models/bundles/siamese").manifest.files.items():
        assert f"- `{name}`: {entry.bytes / 1e6:.2f} MB" in card


CALLS = (
    "create_run", "log_batch", "create_registered_model", "_create_model_version", "set_model_version_tag",
    "set_registered_model_tag", "set_registered_model_alias", "delete_registered_model_tag", "update_model_version",
    "set_terminated",
)  # fmt: skip


class Killed(BaseException):
    """Stands for kill -9: nothing in the code under test catches it."""


def die_after(steps: int, patch: pytest.MonkeyPatch) -> list[str]:
    """Every client dies at its next write once `steps` were made, none if that is negative; returns the writes made."""
    done: list[str] = []

    def counted(name: str) -> Any:
        original = getattr(MlflowClient, name)

        def call(self: MlflowClient, *arguments: Any, **more: Any) -> Any:
            if len(done) == steps:
                raise Killed
            done.append(name)
            return original(self, *arguments, **more)

        return call

    for name in CALLS:
        patch.setattr(MlflowClient, name, counted(name))
    return done


def places_to_die(writes: list[str]) -> list[int]:
    """Where a write of another kind comes next, and once within each row of writes of one kind."""
    changes = [place for place in range(len(writes)) if place == 0 or writes[place] != writes[place - 1]]
    inside = [place + 1 for place in changes if writes[place : place + 2] == [writes[place]] * 2]
    return sorted({*changes, *inside})


@pytest.mark.slow
def test_registering_killed_between_two_steps_is_finished_by_the_next_call(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        project = copied(empty_project(tmp_path_factory), tmp_path / "whole", patch)
        with pytest.MonkeyPatch.context() as kill:
            writes = die_after(-1, kill)
            register.main(project.root)
    assert set(writes) == set(CALLS)
    for steps in places_to_die(writes):
        with pytest.MonkeyPatch.context() as patch:
            project = copied(empty_project(tmp_path_factory), tmp_path / str(steps), patch)
            with pytest.MonkeyPatch.context() as kill:
                die_after(steps, kill)
                with pytest.raises(Killed):
                    register.main(project.root)
                assert project.registry.aliases() in ({}, {CHAMPION: 1})
            register.main(project.root)
            assert project.registry.aliases() == {CHAMPION: 1}
            assert [version.bundle_hash for version in project.registry.versions()] == [project.report["bundle"]]
            assert project.registry.version(1).tags["gate.promote"] == "true"
            assert [run.info.status for run in project.pipeline_runs()] == ["FINISHED"]
            assert project.registry.store.client.get_model_version(MODEL, "1").description.startswith("# version 1")
        shutil.rmtree(tmp_path / str(steps))
