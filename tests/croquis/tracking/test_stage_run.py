"""`stage_run`: the record on disk, the MLflow run beside it, and what a failure, a kill and a dead tracker leave behind."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from croquis.catalog.table import CatalogWriter
from croquis.files import read_json, write_json
from croquis.tracking import mlflow_mirror as projection_module
from croquis.tracking import tracking_store as store_module
from croquis.tracking.mlflow_mirror import KEY_TAG, PROCESS_TAG, STAGE_TAG
from croquis.tracking.mlflow_view import MOST_STEPS, pictures
from croquis.tracking.record import RunRecord, dvc_name, flatten, folder_name, mlflow_name
from croquis.tracking.stage_key import StageSignature
from croquis.tracking.stage_run import stage_run
from croquis.tracking.tracking_store import STAGE_EXPERIMENT, Store
from tests.support.environment import OUTSIDE

VALIDATION = {
    "accepted": 9,
    "profile": {"categories": {"dress": {}, "top": {}}, "items": {"train": 4}, "images": {"train/shop/train": 9}},
}
PARAMS = {"seed": 7, "fit": {"epochs": 3, "rate": 0.1}, "views": ["front", "back"]}


def runs(store: Store, stage: str) -> list[Any]:
    experiment = store.experiment(STAGE_EXPERIMENT)
    return list(store.client.search_runs([experiment], f"tags.`{STAGE_TAG}` = '{stage}'"))


def only_run(store: Store, stage: str) -> Any:
    found = runs(store, stage)
    assert len(found) == 1
    return found[0]


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    """Gives every stage the same key, as if DVC had computed it."""
    monkeypatch.setattr("croquis.tracking.stage_run.stage_signature", lambda *_: StageSignature("k" * 64, "data-hash"))
    return "k" * 64


def test_a_stage_leaves_a_record_and_a_finished_run(store: Store) -> None:
    with stage_run("evaluate", "siamese", params=PARAMS, root=store.root) as run:
        run.metric("consumer->shop/hit@1", 0.5)
        run.history("val/loss", [(0, 2.0), (1, 1.0)])
        run.volatile("seconds", 1.25)
        run.tag("head", "dense")
        (run.artifacts / "sheets").mkdir()
        (run.artifacts / "sheets" / "one.txt").write_text("picture")
        assert not (run.record_folder / "record.json").exists()
    folder = store.root / "reports/runs/evaluate-siamese"
    assert read_json(folder / "record.json") == {
        "params": {"seed": 7, "fit.epochs": 3, "fit.rate": 0.1, "views": ["front", "back"]},
        "metrics": {"consumer->shop/hit@1": [[0, 0.5]], "val/loss": [[0, 2.0], [1, 1.0]]},
        "tags": {"head": "dense"},
    }
    found = only_run(store, "evaluate@siamese")
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "evaluate@siamese"
    assert found.data.params == {"seed": "7", "fit.epochs": "3", "fit.rate": "0.1", "views": "['front', 'back']"}
    assert found.data.metrics == {"consumer_to_shop/hit_at_1": 0.5, "val/loss": 1.0, "seconds": 1.25}
    assert found.data.tags["head"] == "dense"
    points = store.client.get_metric_history(found.info.run_id, "val/loss")
    assert [(point.step, point.value) for point in points] == [(0, 2.0), (1, 1.0)]
    assert (store.root / found.info.artifact_uri / "sheets" / "one.txt").read_text() == "picture"


@pytest.mark.usefixtures("key")
def test_a_run_shows_who_ran_what_on_which_data(
    store: Store, monkeypatch: pytest.MonkeyPatch, catalogue_rows: list[dict[str, Any]]
) -> None:
    monkeypatch.setenv("LOGNAME", "someone")
    write_json(store.root / "reports/validation.json", VALIDATION)
    write_json(store.root / "reports/runs/ingest/record.json", {"params": {"source": "rendered"}})
    with CatalogWriter(store.root / "data/catalog") as writer:
        writer.write_all(catalogue_rows)
    (store.root / "dvc.yaml").write_text("stages: {evaluate: {desc: Measures a bundle}}")
    with stage_run("evaluate", "shown", params={}, root=store.root) as run:
        run.metric("val/consumer->shop/hit@1", 0.25)
        run.metric("test/consumer->shop/hit@1", 0.5)
        run.metric("test/consumer->shop/precision@50", 0.125)
    found = only_run(store, "evaluate@shown")
    tags = found.data.tags
    assert (tags["mlflow.source.name"], tags["mlflow.user"]) == ("stages/evaluate.py", "someone")
    assert found.data.metrics == {"val/consumer_to_shop/hit_at_1": 0.25, "test/consumer_to_shop/hit_at_1": 0.5}
    every = read_json(store.root / found.info.artifact_uri / "metrics.json")
    assert every["test/consumer_to_shop/precision_at_50"] == 0.125
    note = tags["mlflow.note.content"]
    assert note.startswith("**evaluate@shown**: Measures a bundle\n")
    assert "| test/consumer_to_shop/hit_at_1 | 0.5 |" in note
    assert f"runs/{found.info.run_id}/artifacts)" in note
    (given,) = found.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("rendered", "data-has")
    counts = {"num_rows": 9, "categories": 2, "items in train": 4, "images train/shop/train": 9}
    assert json.loads(given.dataset.profile) == counts
    columns = json.loads(given.dataset.schema)["mlflow_colspec"]
    assert {"name": "item_id", "type": "string", "required": True} in columns
    assert [(tag.key, tag.value) for tag in given.tags] == [("mlflow.data.context", "evaluation")]


@pytest.mark.usefixtures("key")
def test_the_catalogue_is_no_input_of_what_makes_it(store: Store) -> None:
    for stage in ("ingest", "validate"):
        with stage_run(stage, "again", params={}, root=store.root):
            pass
        assert only_run(store, f"{stage}@again").inputs.dataset_inputs == []


def test_contact_sheets_become_images_with_steps(store: Store) -> None:
    with stage_run("train_gan", "drawn", params={}, root=store.root) as run:
        for name in ("sheets/epoch-000", "sheets/epoch-012", "overview -> all"):
            (run.artifacts / name).parent.mkdir(exist_ok=True)
            Image.new("RGB", (8, 8)).save(run.artifacts / f"{name}.png")
    found = only_run(store, "train_gan@drawn")
    images = {
        path.name.partition("+timestamp")[0] for path in (store.root / found.info.artifact_uri / "images").iterdir()
    }
    assert images == {"sheets+step+0", "sheets+step+12", "overview _to_ all+step+0"}


def test_a_long_series_of_pictures_is_thinned_and_keeps_its_ends(tmp_path: Path) -> None:
    (tmp_path / "sheets").mkdir()
    for epoch in range(100):
        (tmp_path / f"sheets/epoch-{epoch:03d}.png").touch()
    steps = [step for _, step, _ in pictures(tmp_path)]
    assert len(steps) == len(set(steps)) == MOST_STEPS
    assert (steps[0], steps[-1]) == (0, 99)


def test_a_training_shows_the_load_of_the_machine_and_other_stages_do_not(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projection_module, "SAMPLE_SECONDS", 0.05)
    for stage, is_watched in (("train_gan", True), ("prepare", False)):
        with stage_run(stage, "watched", params={}, root=store.root) as run:
            ends = time.monotonic() + (20 if is_watched else 0.3)
            while not watched(store, run.run_id) and time.monotonic() < ends:
                time.sleep(0.05)
        assert bool(watched(store, run.run_id)) == is_watched


def watched(store: Store, run_id: str | None) -> list[str]:
    return [name for name in store.client.get_run(run_id).data.metrics if name.startswith("system/cpu")]


def test_the_record_is_the_same_each_time_and_holds_nothing_volatile(store: Store) -> None:
    contents = []
    for seconds in (1.0, 2.0):
        with stage_run("sketch", params=PARAMS, root=store.root) as run:
            run.volatile("seconds", seconds)
            run.metric("images", 3)
            (run.artifacts / "left_over.txt").touch() if seconds == 1.0 else None
        contents.append((run.record_folder / "record.json").read_bytes())
    assert contents[0] == contents[1]
    assert not (run.artifacts / "left_over.txt").exists(), "files of an earlier execution stay"
    assert str(store.root).encode() not in contents[0]


def test_what_lightnings_logger_sets_does_not_lead_later_stages_to_this_store(store: Store, tmp_path: Path) -> None:
    """It calls MLflow's setter, which writes the environment."""
    import mlflow

    before = {name: os.environ.get(name) for name in OUTSIDE}
    for error in (None, ValueError("training failed")):
        with suppress(ValueError), stage_run("learned_from", params={}, root=store.root):
            mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/other.db")
            if error:
                raise error
        assert {name: os.environ.get(name) for name in OUTSIDE} == before
        assert "other.db" not in mlflow.get_tracking_uri()


def test_curves_that_lightning_sent_are_not_sent_twice(store: Store) -> None:
    with stage_run("train_gan", params={}, root=store.root) as run:
        arguments = run.logger_arguments()
        assert arguments is not None
        assert arguments["tracking_uri"] == store.uri
        assert arguments["experiment_name"] == STAGE_EXPERIMENT
        store.client.log_metric(arguments["run_id"], "val/loss", 3.0, step=10)
        run.history("val/loss", [(0, 3.0)])
    points = store.client.get_metric_history(only_run(store, "train_gan").info.run_id, "val/loss")
    assert [(point.step, point.value) for point in points] == [(10, 3.0)]


def test_an_error_ends_the_run_as_failed_and_leaves_no_record(store: Store) -> None:
    def fail() -> None:
        with stage_run("ingest", params={}, root=store.root) as run:
            run.metric("rows", 1)
            (run.artifacts / "evidence.txt").touch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    found = only_run(store, "ingest")
    assert found.info.status == "FAILED"
    assert (store.root / found.info.artifact_uri / "evidence.txt").is_file()
    assert not (store.root / "reports/runs/ingest/record.json").exists()


@pytest.mark.usefixtures("key")
def test_a_run_stopped_by_hand_is_continued(store: Store) -> None:
    def interrupted() -> None:
        with stage_run("validate", params=PARAMS, root=store.root) as run:
            run.metric("rows", 1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    left = only_run(store, "validate")
    assert left.info.status == "KILLED"
    with stage_run("validate", params=PARAMS, root=store.root) as again:
        assert again.run_id == left.info.run_id
        again.metric("rows", 2)
    found = only_run(store, "validate")
    assert found.info.status == "FINISHED"
    assert found.data.tags[KEY_TAG] == "k" * 64
    assert found.data.tags["data.hash"] == "data-hash"


def test_the_run_of_a_killed_process_is_continued(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    left = start_elsewhere(store, monkeypatch, "a" * 64, f"{os.uname().nodename}/{killed.pid}")
    with stage_run("index", params={}, root=store.root) as run:
        assert run.run_id == left
    assert store.client.get_run(left).info.status == "FINISHED"


@pytest.mark.parametrize(("digit", "owner"), [("b", f"{os.uname().nodename}/1"), ("c", "another-host/99999999")])
def test_the_run_of_a_living_or_unreachable_process_is_left_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch, digit: str, owner: str
) -> None:
    left = start_elsewhere(store, monkeypatch, digit * 64, owner)
    with stage_run("index", params={}, root=store.root) as run:
        assert run.run_id not in (left, None)
    assert store.client.get_run(left).info.status == "RUNNING"


def start_elsewhere(store: Store, monkeypatch: pytest.MonkeyPatch, key: str, owner: str) -> str:
    monkeypatch.setattr("croquis.tracking.stage_run.stage_signature", lambda *_: StageSignature(key, None))
    experiment = store.experiment(STAGE_EXPERIMENT)
    tags = {KEY_TAG: key, PROCESS_TAG: owner, STAGE_TAG: f"elsewhere-{key[0]}"}
    return str(store.client.create_run(experiment, tags=tags).info.run_id)


@pytest.mark.usefixtures("key")
def test_a_finished_run_is_not_reopened(store: Store) -> None:
    for _ in range(2):
        with stage_run("register", params={}, root=store.root):
            pass
    assert len(runs(store, "register")) == 2


def test_the_dvc_experiment_names_the_run(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "wide-margin")
    with stage_run("train_classifier", params={}, root=store.root):
        pass
    found = only_run(store, "train_classifier")
    assert found.info.run_name == "wide-margin: train_classifier"
    assert found.data.tags["dvc.experiment"] == "wide-margin"


def test_a_dead_tracker_does_not_stop_a_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_warned", set())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with stage_run("ingest", params=PARAMS, root=tmp_path) as run:
        run.metric("rows", 3)
        run.volatile("seconds", 1)
        assert run.logger_arguments() is None
        assert run.run_id is None
    assert RunRecord.read(tmp_path / "reports/runs/ingest").metrics == {"rows": [(0, 3.0)]}


def test_a_tracker_that_dies_midway_does_not_stop_a_stage(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store_module, "_warned", set())

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("nobody there")

    with stage_run("evaluate", "histogram", params={}, root=store.root) as run:
        monkeypatch.setattr(run._projection._store.client, "log_batch", refuse)
        run.metric("rows", 3)
        run.volatile("seconds", 1.0)
        run.metric("images", 4)
        assert run.logger_arguments() is None
    assert RunRecord.read(run.record_folder).metrics == {"rows": [(0, 3.0)], "images": [(0, 4.0)]}
    assert caplog.text.count("nobody there") == 1


def test_names_and_params() -> None:
    assert dvc_name("train_embedder", "siamese") == "train_embedder@siamese"
    assert folder_name("train_embedder@siamese") == "train_embedder-siamese"
    assert mlflow_name("consumer->shop/map@r") == "consumer_to_shop/map_at_r"
    assert flatten({"a": {"b": {"c": 1}}, "d": [1]}) == {"a.b.c": 1, "d": [1]}


def test_figures_that_are_no_numbers_survive_the_file(tmp_path: Path) -> None:
    record = RunRecord()
    record.add("loss", [(0, math.inf), (1, math.nan), (2, 0.5)])
    record.write(tmp_path)
    (_, first), (_, second), (_, third) = RunRecord.read(tmp_path).metrics["loss"]
    assert first == math.inf
    assert math.isnan(second)
    assert third == 0.5


def test_a_second_value_of_one_step_is_refused() -> None:
    record = RunRecord()
    record.add("val/score", [(0, 1.0), (2, 3.0)])
    with pytest.raises(ValueError, match="metric 'val/score' has a value at step 2 already: give one of them another"):
        record.add("val/score", [(1, 2.0), (2, 4.0)])


def test_long_histories_go_in_few_calls(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(projection_module, "BATCH", 40)
    with stage_run("train_gan", "long", params={f"p{i}": i for i in range(250)}, root=store.root) as run:
        original = run._projection._store.client.log_batch
        monkeypatch.setattr(
            run._projection._store.client, "log_batch", lambda *a, **k: (calls.append(k), original(*a, **k))[1]
        )
        run.history("loss", [(step, step / 100) for step in range(100)])
    assert [len(call["metrics"]) for call in calls if "metrics" in call] == [40, 40, 20]
    assert len(calls) == 4, "one more for the description"
    found = only_run(store, "train_gan@long")
    assert len(found.data.params) == 250
    assert len(store.client.get_metric_history(found.info.run_id, "loss")) == 100
