"""Methods that put out codes, from their folder through the stages `index` and `evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from croquis.bundle import Bundle
from croquis.files import write_json
from croquis.nets.session import ModelError
from croquis.params.loader import read_yaml
from croquis.registry.evaluation_reports import EvaluationReport, Measure, query_scores
from stages import evaluate, index
from tests.support.catalogues import blob_catalogue as world
from tests.support.coded_encoders import save_coded_encoder

pytestmark = pytest.mark.slow

PARAMS = Path(index.__file__).resolve().parent.parent / "params.yaml"
METHOD = {"binary": "dhd", "pq": "spq"}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.chdir(tmp_path)
    world.write_catalogue(tmp_path)
    for head, method in METHOD.items():
        save_coded_encoder(tmp_path / "models" / method, head, world.SIZE)
    set_params(tmp_path)
    return tmp_path


def set_params(root: Path, **settings: Any) -> None:
    values = read_yaml(PARAMS)
    values["base"]["image_size"] = world.SIZE
    values["evaluate"] |= {"bootstrap": 20, "projection": "pca"}
    values["index"] |= settings
    write_json(root / "params.yaml", values)


@pytest.mark.parametrize("codes", ["flat", "ivf"])
@pytest.mark.parametrize("comparison", ["asymmetric", "symmetric"])
@pytest.mark.parametrize("head", METHOD)
def test_params_choose_lists_and_comparison(project: Path, head: str, codes: str, comparison: str):
    set_params(project, codes=codes, ivf_lists=4, ivf_probes=2, **{f"{head}_comparison": comparison})
    index.main(METHOD[head], project)
    bundle = Bundle.load(project / "models/bundles" / METHOD[head])
    block = bundle.manifest.index
    assert (block.kind, block.comparison, block.dim) == (f"{head}_{codes}", comparison, 48)
    assert block.bytes_per_vector == 6 + (8 if codes == "ivf" else 0)  # 48 bits: 48 signs, or 12 codes of 4 bits
    record = json.loads((project / f"reports/runs/index-{METHOD[head]}/record.json").read_text())
    assert record["metrics"]["bytes_per_image"] == [[0, block.bytes_per_vector]]


def test_the_bundle_holds_the_codebooks_of_the_method(project: Path):
    index.main("spq", project)
    learned = np.load(project / "models/spq/codebooks.npy")
    stored = Bundle.load(project / "models/bundles/spq").index.vectors()
    for part in range(12):
        pieces = {tuple(piece) for piece in stored[:, part * 4 : part * 4 + 4].tolist()}
        assert pieces <= {tuple(word) for word in learned[part].tolist()}
    (project / "models/spq/codebooks.npy").unlink()
    with pytest.raises(ModelError, match=r"codebooks\.npy does not exist"):
        index.main("spq", project)


@pytest.mark.parametrize(("head", "other"), [("binary", "asymmetric"), ("pq", "symmetric")])
def test_both_comparisons_are_reported_and_the_served_one_counts(project: Path, head: str, other: str):
    method = METHOD[head]
    index.main(method, project)
    evaluate.main(method, project)
    evaluation = EvaluationReport.read(project / f"reports/evaluation/{method}.json")
    for split in ("val", "test"):
        runs = {(run["pair"], run["path"]): run for run in evaluation.splits[split]["runs"]}
        assert list(runs) == [
            ("consumer->shop", "encoder"),
            ("consumer->shop", f"encoder-{other}"),
            ("shop->shop", "encoder"),
            ("shop->shop", f"encoder-{other}"),
            ("sketch->shop", "direct"),
            ("sketch->shop", "edges"),
        ]
        assert evaluation.run(split, "consumer->shop")["path"] == "encoder"
    head_lines = json.loads((project / f"reports/metrics/{method}.json").read_text())
    assert list(head_lines["val"]) == ["consumer->shop"]
    assert {"consumer->shop", f"consumer->shop.encoder-{other}"} <= set(head_lines["test"])
    curve = json.loads((project / f"reports/plots/hit_at_k/{method}.json").read_text())
    assert {point["path"] for point in curve} == {"encoder"}
    measure = Measure("consumer->shop", "map@r")
    table = evaluate.pq.read_table(project / f"reports/evaluation/{method}.queries.parquet")
    scores = query_scores(table, "test", measure, False, "table")
    assert len(scores.queries) == len(set(scores.queries)) == 18
    assert scores.values.mean() == pytest.approx(evaluation.value("test", measure), abs=1e-6)
