"""The stage `compare`: one file per plot, of the methods that ran, named by what was measured."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from croquis.params.loader import read_yaml
from stages import compare
from tests.support.environment import REPOSITORY

Rows = list[dict[str, Any]]


def evaluated(root: Path, method: str, pair: str = "consumer->shop", path: str = "encoder", hit: float = 0.25) -> None:
    """What `evaluate@METHOD` leaves of one k and one category."""
    about = {"method": method, "split": "test", "pair": pair, "path": path}
    tables = {"hit_at_k": {"k": 1, "hit@k": hit}, "per_category": {"category": "dress", "hit@1": hit, "queries": 4}}
    for plot, row in tables.items():
        file = root / "reports/plots" / plot / f"{method}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps([about | row]))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    values = read_yaml(REPOSITORY / "params.yaml") | {"retrievers": ["siamese", "histogram", "dhd"]}
    (tmp_path / "params.yaml").write_text(json.dumps(values))  # JSON is YAML
    return tmp_path


def rows(project: Path, plot: str) -> Rows:
    found: Rows = json.loads((project / f"reports/plots/{plot}.json").read_text())
    return found


def test_the_methods_that_ran_stand_in_the_order_of_the_params(project: Path) -> None:
    evaluated(project, "histogram", hit=0.25)
    evaluated(project, "siamese", hit=0.5)
    evaluated(project, "spq")  # ran once, and is no longer among the retrievers
    compare.main(project)
    words = "consumer to shop, test"
    assert rows(project, "hit_at_k") == [
        {"method": "siamese", "measured": words, "k": 1, "hit@k": 0.5},
        {"method": "histogram", "measured": words, "k": 1, "hit@k": 0.25},
    ]
    assert rows(project, "per_category") == [
        {"method": "siamese", "measured": words, "category": "dress", "hit@1": 0.5, "queries": 4},
        {"method": "histogram", "measured": words, "category": "dress", "hit@1": 0.25, "queries": 4},
    ]


@pytest.mark.parametrize(
    ("pair", "path", "words"),
    [
        ("consumer->shop", "encoder", "consumer to shop, test"),
        ("shop->shop", "encoder", "shop to shop, test"),
        ("sketch->shop", "gan", "sketch to shop by gan, test"),
    ],
)
def test_the_measured_pair_gives_the_name(project: Path, pair: str, path: str, words: str) -> None:
    evaluated(project, "histogram", pair, path)
    compare.main(project)
    for plot in compare.PLOTS:
        assert [row["measured"] for row in rows(project, plot)] == [words]


def test_a_second_run_writes_the_same_bytes(project: Path) -> None:
    evaluated(project, "histogram")
    compare.main(project)
    before = {plot: (project / f"reports/plots/{plot}.json").read_bytes() for plot in compare.PLOTS}
    compare.main(project)
    assert before == {plot: (project / f"reports/plots/{plot}.json").read_bytes() for plot in compare.PLOTS}


def test_without_an_evaluation_it_says_what_to_run(project: Path) -> None:
    with pytest.raises(FileNotFoundError, match="hit_at_k has no file of siamese, histogram, dhd; run `dvc repro"):
        compare.main(project)


@pytest.mark.slow
def test_it_loads_no_heavy_library(project: Path) -> None:
    evaluated(project, "histogram")
    script = "import sys; from stages import compare; compare.main(); print(*sys.modules)"
    for folder in ("croquis", "stages"):
        shutil.copytree(REPOSITORY / folder, project / folder, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    assert not {"dvc", "matplotlib", "mlflow", "sklearn", "torch"} & set(done.stdout.split())
