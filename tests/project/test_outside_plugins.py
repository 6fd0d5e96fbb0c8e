"""Methods, a source and a re-ranker of another package, from params.yaml to a champion that answers; nothing but
params.yaml is changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.pipeline.small_project import TINY, clone, dvc, environment, git, module

pytestmark = pytest.mark.slow

PACKAGE = Path("tests/support/outside/fashion_extras").resolve()
ENTRY_POINTS = """
[croquis.methods]
cosine_items = fashion_extras.method

[croquis.rerankers]
towards_mean = fashion_extras.reranker
"""
FIT = {
    "epochs": 2, "learning_rate": 0.003, "backbone_rate": 1.0, "weight_decay": 0.0001, "warmup_epochs": 0, "patience": 5,
    "optimiser": "adamw", "schedule": "cosine",
    "validate_every": 1,
}  # fmt: skip
# By entry point: a method, a re-ranker. By dotted name: another method, the source, the re-ranker.
METHODS = ["cosine_items", "fashion_extras.projection"]
CHANGES: dict[str, Any] = {
    "retrievers": METHODS,
    "ingest": {"source": "fashion_extras.source", "fashion_extras": {"source": {"items": 24, "side": 64}}},
    "cosine_items": {"scale": 8.0, "batch_size": 16, "fit": FIT},
    "fashion_extras": {"projection": {"dim": 8}},
    "rerank": {
        "enabled": True,
        "steps": ["fashion_extras.reranker"],
        "compare": ["towards_mean"],
        "fashion_extras": {"reranker": {"share": 0.3}},
        "towards_mean": {"share": 0.6},
    },
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the package as pip would have installed it."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(PACKAGE, folder / "fashion_extras", ignore=shutil.ignore_patterns("__pycache__"))
    info = folder / "fashion_extras-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fashion-extras\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, site: Path, programs: Path) -> Iterator[Path]:
    folder = clone(tmp_path_factory.mktemp("outside"), {**TINY, **CHANGES})
    module(folder, "dvc", "repro", programs=programs, variables={"PYTHONPATH": str(site)})
    yield folder
    shutil.rmtree(folder)


def ran(script: str, project: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    surroundings = environment() | {"MLFLOW_TRACKING_URI": f"sqlite:///{project}/mlruns/mlflow.db"} | variables
    return subprocess.run([sys.executable, "-c", script], cwd=project, env=surroundings, capture_output=True, text=True)


def test_it_ends_with_a_champion_and_only_params_were_changed(project: Path):
    registration = json.loads((project / "reports/registration.json").read_text())
    assert registration["outcome"] == "first champion"
    assert set(registration["values"]) == set(METHODS)
    changed = git(project, "diff", "--name-only", "HEAD").splitlines()
    assert not [name for name in changed if not name.startswith(("reports/", "dvc.lock"))]


def test_both_names_stand_in_the_outputs(project: Path):
    for method in METHODS:
        assert (project / f"models/bundles/{method}/manifest.json").is_file()
        evaluation = json.loads((project / f"reports/evaluation/{method}.json").read_text())
        chains = {run["rerank"] for run in evaluation["splits"]["test"]["runs"]}
        assert {"fashion_extras.reranker", "towards_mean"} <= chains
    learned = json.loads((project / "data/code/methods.json").read_text())
    assert {name: facts["learns"] for name, facts in learned.items()} == dict(zip(METHODS, [True, False], strict=True))


def test_there_is_nothing_left_to_do(project: Path, programs: Path):
    assert json.loads(dvc(project, "status", "--json", programs=programs)) == {}


SEARCH = """
import base64, json
import mlflow, pandas as pd
from croquis import Retriever
from croquis.catalog.images import decode_image, encode_png
from croquis.catalog.table import Catalog

catalog = Catalog.open("data/catalog")
row = int(catalog.select(split="test", domain="shop", role="gallery")[0])
photo = decode_image(next(catalog.images([row])))
hits = Retriever.load("models:/fashion-retriever@champion").search(photo, k=3)
model = mlflow.pyfunc.load_model("models:/fashion-retriever@champion")
asked = pd.DataFrame({"image": [base64.b64encode(encode_png(photo)).decode()]})
answer = model.predict(asked, params={"k": 3, "mode": "photo", "filters": "{}"})
print(json.dumps([catalog.column("image_id")[row], [hit.image_id for hit in hits], list(answer[0]["image_ids"])]))
"""


def test_the_champion_answers(project: Path, site: Path):
    done = ran(SEARCH, project, PYTHONPATH=os.pathsep.join([str(site), str(project)]))
    assert done.returncode == 0, done.stderr[-3000:]
    asked, found, served = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == 3
    assert asked in found
    assert served == found


def test_without_the_package_a_search_names_what_is_missing(project: Path):
    script = f"from croquis import Retriever; Retriever.load('models/bundles/{METHODS[0]}')"
    done = ran(script, project)
    assert done.returncode != 0
    assert "names a re-ranker that is not installed: there is no re-ranker" in done.stderr.splitlines()[-1]


def test_a_source_is_found_by_an_entry_point_as_well(project: Path, site: Path, tmp_path: Path):
    shutil.copytree(site, tmp_path / "site")
    (tmp_path / "site/fashion_extras-1.0.dist-info/entry_points.txt").write_text(
        f"{ENTRY_POINTS}\n[croquis.sources]\ndrawn_shapes = fashion_extras.source\n"
    )
    script = """
from croquis.params.loader import parse_params, read_yaml
from croquis.sources import source_rows

values = read_yaml("params.yaml")
del values["ingest"]["fashion_extras"]
values["ingest"] |= {"source": "drawn_shapes", "drawn_shapes": {"items": 8, "side": 32}}
print(len(list(source_rows(parse_params(values).ingest, 7))))
"""
    done = ran(script, project, PYTHONPATH=str(tmp_path / "site"))
    assert done.stdout.strip() == "32", done.stderr[-3000:]
