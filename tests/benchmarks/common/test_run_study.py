"""The runner: cells are measured once, several side by side, go on after a kill, and are measured from their bundles."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.common import study_command
from benchmarks.common.cells import open_cell, timed
from benchmarks.common.studies import Options, load_studies
from benchmarks.leaderboards.method_leaderboard import measure
from croquis.files import read_json
from tests.support.catalogues import blob_catalogue as world

TOY = """
toy:
  about: for tests
  method: histogram
  rows: {ROWS}
  seeds: [1, 2]
  data: tests.support.benchmark_cells:make_world
  measure: tests.support.benchmark_cells:toy_figures
  tables: {toy: "benchmarks.leaderboards.method_leaderboard:comparison"}
"""
TINY = [f"--param={change}" for change in (f"base.image_size={world.SIZE}", "base.threads=1", "evaluate.bootstrap=20")]


@pytest.fixture(autouse=True)
def no_tracker(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")


@pytest.fixture
def toy(tmp_path: Path):
    """Rows of a toy study -> the command that runs it."""

    def command(rows: str, *more: str) -> list[str]:
        (tmp_path / "own.yaml").write_text(TOY.replace("ROWS", rows))
        folders = ["--reports", str(tmp_path / "reports"), "--scratch", str(tmp_path / "scratch")]
        return ["toy", "--studies", str(tmp_path / "own.yaml"), *folders, *TINY, *more]

    return command


def log(tmp_path: Path) -> list[str]:
    return (tmp_path / "scratch/measured.log").read_text().split()


@pytest.mark.slow
def test_cells_are_measured_once_until_params_change_or_fresh_is_asked(toy, tmp_path, capsys):
    study_command.main(toy("first: {}, second: {once: true}"))
    told = capsys.readouterr().out
    assert "| first | 0.150 ± 0.635 | " in told
    assert log(tmp_path) == ["first/1", "second/1", "first/2"]
    study_command.main(toy("first: {}, second: {once: true}", "--no-table"))
    assert capsys.readouterr().out.split("\n")[0] == "first/1: measured already"
    assert len(log(tmp_path)) == 3
    study_command.main(toy("first: {params: {histogram: {grid: 1}}}", "--seeds", "2"))
    study_command.main(toy("first: {params: {histogram: {grid: 1}}}", "--seeds", "2", "--fresh"))
    assert log(tmp_path)[3:] == ["first/2", "first/2"]
    cells = read_json(tmp_path / "reports/toy.json")["cells"]
    assert sorted(cells) == ["first/1", "first/2", "second/1"]
    assert not list((tmp_path / "scratch").glob("cells/*/models/bundles"))


def test_a_study_may_measure_what_has_no_bundle(toy, tmp_path):
    study_command.main(toy("no bundle: {}"))
    assert sorted(read_json(tmp_path / "reports/toy.json")["cells"]) == ["no bundle/1", "no bundle/2"]


@pytest.mark.slow
def test_seeds_go_side_by_side_and_a_killed_cell_alone_is_run_again(toy, tmp_path, capfd):
    """Every cell in a process of its own; the two of `together` wait for each other. Rows of equal params share a workspace,
    and its lock: the one that waits would keep the other from making room for the second seed."""
    command = toy("together: {params: {histogram: {grid: 1}}}, dies: {}", "--jobs", "2")
    with pytest.raises(SystemExit, match=r"^error: 1 of 4 cells failed \(dies/2\); the others are kept$"):
        study_command.main(command)
    assert sorted(log(tmp_path)) == ["dies/1", "dies/2", "together/1", "together/2"]
    capfd.readouterr()
    study_command.main(command)
    assert capfd.readouterr().out.count("measured already") == 3
    assert sorted(log(tmp_path)) == ["dies/1", "dies/2", "dies/2", "together/1", "together/2"]
    assert sorted(read_json(tmp_path / "reports/toy.json")["cells"]) == ["dies/1", "dies/2", "together/1", "together/2"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["negative"], "error: there is no study 'negative'; known: leaderboard-rendered, "),
        (["scale"], "error: scale is measured by `python -m benchmarks.scale.scale`"),
        (["negatives", "--epochs-scale", "0"], "error: --epochs-scale is 0.0, must be above 0"),
        (["negatives", "--jobs", "0"], "error: --jobs is 0, must be at least 1"),
        (["negatives", "--root", "."], "error: this study trains: leave out --root"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments: list[str], words: str, tmp_path: Path):
    with pytest.raises(SystemExit, match="^" + words):
        study_command.main([*arguments, "--scratch", str(tmp_path), "--reports", str(tmp_path)])


@pytest.mark.slow
def test_seconds_are_those_of_the_one_training_and_unknown_after_a_kill(toy, tmp_path):
    toy("first: {}, second: {params: {histogram: {grid: 1}}}")
    study = load_studies(tmp_path / "own.yaml")["toy"]
    options = Options(None, 1.0, {}, tmp_path, None, tmp_path, tmp_path)
    cell, other = (open_cell(study, row, 1, options) for row in ("first", "second"))
    done = []
    assert timed(cell, lambda: done.append(1)) is not None
    assert timed(cell, lambda: done.append(1)) is not None
    assert done == [1]
    with pytest.raises(ZeroDivisionError):
        timed(other, lambda: 1 // 0)
    assert timed(other, lambda: None) is None


@pytest.mark.slow
def test_a_cell_is_measured_from_its_bundle(toy, tmp_path):
    toy("histogram: {}")
    changes = {"base": {"image_size": world.SIZE, "threads": 1}, "evaluate": {"bootstrap": 20}}
    study, options = (
        load_studies(tmp_path / "own.yaml")["toy"],
        Options(None, 1.0, changes, tmp_path, None, tmp_path, tmp_path),
    )
    cell = open_cell(study, "histogram", 7, options)
    shutil.rmtree(cell.folder / "data/sketches")
    found = measure(cell)
    assert (found["pair"], found["train_seconds"], found["epochs"]) == ("consumer->shop", None, 0)
    assert found["bytes_per_image"] > 0
    assert found["bytes_per_image"] % 4 == 0  # floats
    assert found["query_ms"] > 0
    test = found["splits"]["test"]
    assert (test["queries"], test["items"], test["gallery"]["images"]) == (18, 9, 18)
    assert test["metrics"]["hit@1"]["low"] <= test["metrics"]["hit@1"]["value"] <= test["metrics"]["hit@1"]["high"]


@pytest.mark.slow
def test_the_leaderboard_trains_and_prints_a_table(tmp_path, capsys):
    smaller = ("ingest.rendered.items=60", "ingest.rendered.size=64", "train_embedder.backbone.width=16")
    folders = ["--reports", str(tmp_path / "reports"), "--scratch", str(tmp_path / "scratch")]
    arguments = [
        *TINY,
        *(f"--param={change}" for change in smaller),
        "--epochs-scale",
        "0.01",
        "--seeds",
        "7",
        *folders,
    ]
    study_command.main(["leaderboard-rendered", "--rows", "histogram,siamese", *arguments])
    assert "| siamese |" in capsys.readouterr().out
    cells = read_json(tmp_path / "reports/leaderboard-rendered.json")["cells"]
    assert cells["siamese/7"]["train_seconds"] > 0
    assert cells["siamese/7"]["epochs"] == 1
    before = cells["siamese/7"]["before_training"]
    assert before["test"]["queries"] == cells["siamese/7"]["splits"]["test"]["queries"]
    assert before["test"]["metrics"] != cells["siamese/7"]["splits"]["test"]["metrics"]
    assert "before_training" not in cells["histogram/7"]
