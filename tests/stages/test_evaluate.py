"""The stage `evaluate`: what it writes, that it repeats to the byte, and what it tells a person."""

import io
import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from croquis.catalog.prepared_photos import WHOLE, StoredPhotos, open_photos
from croquis.catalog.table import Catalog
from croquis.evaluation import evaluate_bundle
from croquis.evaluation.bootstrap import bootstrap_interval
from croquis.evaluation.gallery_edges import make_gallery_edges
from croquis.evaluation.protocol import PROTOCOLS
from croquis.files import write_json
from croquis.params.loader import read_yaml
from stages import evaluate
from tests.support.catalogues import blob_catalogue as world
from tests.support.environment import REPOSITORY

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    values = read_yaml(REPOSITORY / "params.yaml")
    values["evaluate"]["gallery_queries"] = 2  # of contact sheets, which take longer than what is measured
    write_json(root / "params.yaml", values)
    world.write_histogram_bundle(root, world.write_catalogue(root))
    return root


@pytest.fixture(scope="module")
def run_stage(project):
    """Runs the stage with a tracker that is not there, and returns every file below reports/."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
        patch.chdir(project)

        def run():
            shutil.rmtree(project / "reports", ignore_errors=True)
            evaluate.main("histogram", project)
            files = sorted(path for path in (project / "reports").rglob("*") if path.is_file())
            return {path.relative_to(project).as_posix(): path.read_bytes() for path in files}

        yield run


@pytest.fixture(scope="module")
def reports(run_stage):
    return run_stage()


def test_the_reports_the_plots_and_the_record_are_written(reports):
    pictures = {
        "categories.png",
        "curves.png",
        "gallery/consumer.png",
        "gallery/shop.png",
        "gallery/sketch-direct.png",
        "gallery/sketch-edges.png",
        "projection.png",
    }
    assert set(reports) == {
        "reports/evaluation/histogram.json",
        "reports/evaluation/histogram.queries.parquet",
        "reports/metrics/histogram.json",
        "reports/plots/hit_at_k/histogram.json",
        "reports/plots/per_category/histogram.json",
        "reports/plots/categories/histogram.png",
        "reports/plots/curves/histogram.png",
        "reports/plots/projection/histogram.png",
        "reports/plots/gallery/histogram/consumer.png",
        "reports/plots/gallery/histogram/shop.png",
        "reports/plots/gallery/histogram/sketch-direct.png",
        "reports/plots/gallery/histogram/sketch-edges.png",
        "reports/runs/evaluate-histogram/record.json",
        *(f"reports/runs/evaluate-histogram/artifacts/{name}" for name in pictures),
    }
    for name, data in reports.items():
        if name.endswith(".png"):
            assert Image.open(io.BytesIO(data)).size > (200, 100)


def test_a_second_run_writes_the_same_bytes(reports, run_stage):
    again = run_stage()
    assert set(again) == set(reports)
    assert [name for name in reports if again[name] != reports[name]] == []


def test_prepared_photos_and_edges_change_no_byte(reports, run_stage, project, monkeypatch):
    catalog = Catalog.open(project / "data/catalog")
    open_photos(catalog, world.SIZE)
    make_gallery_edges(catalog, 128, "canny", WHOLE)
    taken = []
    for kind, name in ((StoredPhotos, "take"), (evaluate_bundle, "find_gallery_edges")):
        whole = getattr(kind, name)
        monkeypatch.setattr(kind, name, lambda *a, whole=whole, name=name: taken.append(name) or whole(*a))
    assert run_stage() == reports
    assert set(taken) == {"take", "find_gallery_edges"}
    shutil.rmtree(project / "data/prepared")


def test_no_report_holds_a_place_on_this_machine(reports, project):
    for name, data in reports.items():
        assert str(project).encode() not in data, name


def test_the_table_of_queries_gives_the_reported_means_and_intervals(reports, project):
    table = pq.read_table(project / "reports/evaluation/histogram.queries.parquet")
    report = json.loads(reports["reports/evaluation/histogram.json"])
    columns = ["split", "pair", "path", "rerank", "query_id", "item_id", "category", "rank", "hit@1"]
    assert table.column_names[:9] == columns
    for split, summary in report["splits"].items():
        for run in summary["runs"]:
            wanted = [(row["item_id"], row["hit@1"]) for row in table.to_pylist()
                      if (row["split"], row["pair"], row["path"]) == (split, run["pair"], run["path"])]  # fmt: skip
            items, values = (np.array(column) for column in zip(*wanted, strict=True))
            interval = bootstrap_interval(values, items, resamples=1000, seed=7)
            found = run["metrics"]["hit@1"]
            assert (found["value"], found["low"], found["high"]) == pytest.approx(
                (interval.value, interval.low, interval.high), abs=1e-6
            )


def test_the_headline_the_curve_and_the_record_repeat_the_report(reports):
    report = json.loads(reports["reports/evaluation/histogram.json"])
    head = json.loads(reports["reports/metrics/histogram.json"])
    curve = json.loads(reports["reports/plots/hit_at_k/histogram.json"])
    record = json.loads(reports["reports/runs/evaluate-histogram/record.json"])
    (run,) = [run for run in report["splits"]["test"]["runs"] if run["pair"] == "consumer->shop"]
    about = {"method": "histogram", "split": "test", "pair": "consumer->shop", "path": "encoder"}
    assert curve[0] == about | {"k": 1, "hit@k": run["metrics"]["hit@1"]["value"]}
    assert [point["k"] for point in curve] == list(range(1, 51))
    for k in (1, 5, 10, 20, 50):
        value = run["metrics"][f"hit@{k}"]["value"]
        assert head["test"]["consumer->shop"].get(f"hit@{k}", value) == value
        assert curve[k - 1]["hit@k"] == value
        assert record["metrics"][f"test/consumer->shop/hit@{k}"] == [[0, value]]
    assert set(head["val"]) == {"consumer->shop"}
    assert set(head["test"]["sketch->shop.edges"]) == {"hit@1", "hit@5", "map@r"}
    bars = json.loads(reports["reports/plots/per_category/histogram.json"])
    assert all(about.items() <= bar.items() for bar in bars)
    assert {bar["category"]: bar["hit@1"] for bar in bars} == {
        name: found["metrics"]["hit@1"]["value"] for name, found in run["categories"].items()
    }


def test_a_person_reads_a_line_per_run_with_chance(run_stage, capsys):
    run_stage()
    lines = capsys.readouterr().out.splitlines()
    assert "hit@1 95 %" in lines[0]
    assert [line.split()[:3] for line in lines[1:]] == [
        [split, pair, path]
        for split in ("val", "test")
        for pair, path in (
            ("consumer->shop", "encoder"), ("shop->shop", "encoder"), ("sketch->shop", "direct"), ("sketch->shop", "edges")
        )
    ]  # fmt: skip
    assert lines[5].endswith("0.111")


@pytest.mark.usefixtures("run_stage")
def test_a_catalogue_without_sketches_is_measured_on_photos(project, tmp_path):
    shutil.copytree(project / "models", tmp_path / "models")
    shutil.copytree(project / "data/catalog", tmp_path / "data/catalog")
    shutil.copy(project / "params.yaml", tmp_path)
    evaluate.main("histogram", tmp_path)
    head = json.loads((tmp_path / "reports/metrics/histogram.json").read_text())
    assert set(head["test"]) == {"consumer->shop", "shop->shop"}
    assert Catalog.open(tmp_path / "data/catalog").select(domain="sketch").size == 0


@pytest.mark.parametrize(("name", "average"), [("category", "map@all"), ("cifar10_c", "map@1000")])
@pytest.mark.usefixtures("run_stage")
def test_another_protocol_is_named_with_all_its_rules(project, tmp_path, capsys, name, average):
    for folder in ("models", "data/catalog"):
        shutil.copytree(project / folder, tmp_path / folder)
    values = read_yaml(project / "params.yaml")
    values["base"]["protocol"] = name
    (tmp_path / "params.yaml").write_text(json.dumps(values))
    evaluate.main("histogram", tmp_path)
    report = json.loads((tmp_path / "reports/evaluation/histogram.json").read_text())
    assert report["protocol"] == PROTOCOLS[name].to_json()
    gallery = report["splits"]["test"]["gallery"]
    assert (gallery["of"], gallery["images"]) == ("train", 9)
    assert average in report["splits"]["test"]["runs"][0]["metrics"]
    head = json.loads((tmp_path / "reports/metrics/histogram.json").read_text())
    assert set(head["test"]["consumer->shop"]) == {"hit@1", "hit@5", average}
    assert average in capsys.readouterr().out.splitlines()[0].split()
