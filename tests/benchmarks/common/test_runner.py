"""Workspaces: made once, found again, and resumed cell by cell."""

from __future__ import annotations

import shutil

import pytest

from benchmarks.common.benchmark_command import BenchmarkError
from benchmarks.common.real_sets import merged
from benchmarks.common.recorded_results import Results
from benchmarks.common.runner import open_cell, open_data, run_cells, timed, train_and_measure
from benchmarks.leaderboards import method_leaderboard
from croquis.files import read_json, write_json
from croquis.params.loader import read_yaml
from tests.support.catalogues import blob_catalogue as world

TINY = {"base": {"image_size": world.SIZE, "threads": 1}, "evaluate": {"bootstrap": 20}}


@pytest.fixture(autouse=True)
def no_tracker(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")


@pytest.fixture
def values():
    return merged(read_yaml("params.yaml"), TINY)


def write_world(folder):
    world.write_catalogue(folder)
    shutil.rmtree(folder / "data/sketches")


def test_data_are_made_once_per_seed_and_source(values, tmp_path):
    made = []

    def make(folder):
        made.append(folder)
        (folder / "data/catalog").mkdir(parents=True)

    first = open_data(values, tmp_path, make)
    assert open_data(merged(values, {"siamese": {"margin": 0.3}}), tmp_path, make) == first
    assert open_data(merged(values, {"ingest": {"idx": {"share": 0.5}}}), tmp_path, make) == first
    assert len(made) == 1
    for change in ({"base": {"seed": 8}}, {"ingest": {"rendered": {"items": 99}}}, {"validate": {"min_side": 30}}):
        assert open_data(merged(values, change), tmp_path, make) != first
    assert open_data(values, tmp_path, make, scale=0.5) != first


def test_a_cell_is_named_by_what_decides_on_its_figures(values, tmp_path):
    data = open_data(values, tmp_path, write_world)
    cell = open_cell(values, "siamese", data, tmp_path)
    assert (cell.folder / "data/catalog").is_dir()
    for change in ({"register": {"floor": 0.9}}, {"dhd": {"bits": 32}}, {"train_gan": {"epochs": 1}}):
        assert open_cell(merged(values, change), "siamese", data, tmp_path).folder == cell.folder
    for change in (
        {"siamese": {"margin": 0.3}},
        {"train_embedder": {"domains": ["shop"]}},
        {"index": {"kind": "hnsw"}},
    ):
        assert open_cell(merged(values, change), "siamese", data, tmp_path).key != cell.key
    assert open_cell(values, "image2vec", data, tmp_path).key != cell.key


def test_seconds_are_those_of_the_one_training_and_unknown_after_a_kill(values, tmp_path):
    cell = open_cell(values, "siamese", open_data(values, tmp_path, write_world), tmp_path)
    done = []
    assert timed(cell, lambda: done.append(1)) is not None
    assert timed(cell, lambda: done.append(1)) is not None
    assert done == [1]
    other = open_cell(values, "image2vec", open_data(values, tmp_path, write_world), tmp_path)
    with pytest.raises(KeyboardInterrupt):
        timed(other, interrupt)
    assert timed(other, lambda: None) is None


def interrupt():
    raise KeyboardInterrupt


class TestRunCells:
    @pytest.fixture
    def call(self, values, tmp_path):
        data = open_data(values, tmp_path, write_world)
        measured = []

        def run(names, fails_at=None, fresh=False, **change):
            results = Results(tmp_path / "some.json", {}, tmp_path)

            def cell_of(name, seed):
                return open_cell(merged(values, {"base": {"seed": seed}, **change}), name, data, tmp_path)

            def measure(cell):
                if cell.method == fails_at:
                    raise RuntimeError("killed")
                measured.append((cell.method, cell.params.base.seed))
                (cell.folder / "models/bundles").mkdir(parents=True)
                return {"value": len(measured)}

            run_cells([1, 2], names, results, fresh, cell_of, measure)
            return read_json(tmp_path / "some.json")["cells"]

        run.measured = measured
        return run

    def test_a_stopped_command_goes_on_where_it_was(self, call):
        with pytest.raises(RuntimeError):
            call(["histogram", "siamese"], fails_at="siamese")
        assert call.measured == [("histogram", 1)]
        assert sorted(call(["histogram", "siamese"])) == ["histogram/1", "histogram/2", "siamese/1", "siamese/2"]
        assert call.measured == [("histogram", 1), ("siamese", 1), ("histogram", 2), ("siamese", 2)]

    def test_changed_params_and_fresh_measure_anew(self, call):
        call(["histogram"])
        call(["histogram"])
        assert len(call.measured) == 2
        call(["histogram"], histogram={"grid": 1})
        assert len(call.measured) == 4
        found = call(["histogram"], fresh=True)
        assert [cell["value"] for cell in found.values()] == [5, 6]


def test_a_cell_is_measured_from_its_bundle(values, tmp_path):
    cell = open_cell(values, "histogram", open_data(values, tmp_path, write_world), tmp_path)
    found = train_and_measure(cell)
    assert (found["pair"], found["train_seconds"], found["epochs"]) == ("consumer->shop", None, 0)
    assert found["bytes_per_image"] > 1000
    assert found["query_ms"] > 0
    test = found["splits"]["test"]
    assert (test["queries"], test["items"], test["gallery"]["images"]) == (18, 9, 18)
    assert test["metrics"]["hit@1"]["low"] <= test["metrics"]["hit@1"]["value"] <= test["metrics"]["hit@1"]["high"]


@pytest.mark.slow
def test_the_leaderboard_trains_resumes_and_prints_a_table(tmp_path, capsys):
    arguments = [
        "--methods", "histogram,siamese", "--seeds", "7", "--epochs-scale", "0.01",
        "--reports", str(tmp_path / "reports"), "--scratch", str(tmp_path / "scratch"),
        *(f"--param={change}" for change in (
            "ingest.rendered.items=60", "ingest.rendered.size=64", "base.image_size=32", "base.threads=1",
            "train_embedder.backbone.width=16", "evaluate.bootstrap=20",
        )),
    ]  # fmt: skip
    method_leaderboard.main(arguments)
    assert "| siamese |" in capsys.readouterr().out
    cells = read_json(tmp_path / "reports/leaderboard-rendered.json")["cells"]
    assert cells["siamese/7"]["train_seconds"] > 0
    assert cells["siamese/7"]["epochs"] == 1
    before = cells["siamese/7"]["before_training"]
    assert before["test"]["queries"] == cells["siamese/7"]["splits"]["test"]["queries"]
    assert before["test"]["metrics"] != cells["siamese/7"]["splits"]["test"]["metrics"]
    assert "before_training" not in cells["histogram/7"]
    report = read_json(tmp_path / "reports/leaderboard-rendered.json")
    del report["cells"]["siamese/7"]["before_training"]
    write_json(tmp_path / "reports/leaderboard-rendered.json", report)
    method_leaderboard.main([*arguments, "--only-before"])
    assert read_json(tmp_path / "reports/leaderboard-rendered.json")["cells"] == cells
    with pytest.raises(BenchmarkError, match="leave out --only-before"):
        method_leaderboard.main([*arguments, "--only-before", "--reports", str(tmp_path / "empty")])
    method_leaderboard.main(arguments)
    assert "siamese/7: measured already" in capsys.readouterr().out
    assert read_json(tmp_path / "reports/leaderboard-rendered.json")["cells"] == cells
