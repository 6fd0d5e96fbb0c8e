"""Two processes train as one does on the same global batches (gloo, on the CPU)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch

from params import Params
from retrieval.catalog import Catalog
from tests.lightning_modules.two_processes import CASES

pytestmark = pytest.mark.slow

WORKER = "tests/lightning_modules/two_processes.py"
Found = dict[str, dict[str, Any]]


def run_python(arguments: list[str], processes: int, folder: Path) -> str:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *(launcher if processes > 1 else ()), *arguments]
    environment = os.environ | {"PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=600, check=False
    )
    assert result.returncode == 0, result.stderr[-5000:]
    return result.stderr


def trained(folder: Path, processes: int) -> list[Found]:
    """What every rank reports of all cases."""
    run_python([WORKER, str(folder)], processes, Path.cwd())
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(processes)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return trained(tmp_path_factory.mktemp("one"), 1)[0]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[Found]:
    return trained(tmp_path_factory.mktemp("two"), 2)


@pytest.mark.parametrize("case", [case for case in CASES if case != "triplet_gan"])
def test_two_processes_equal_one_on_the_same_global_batches(alone: Found, ranks: list[Found], case: str):
    assert len(alone[case]["losses"]) > 4
    for found in ranks:
        assert found[case]["losses"] == pytest.approx(alone[case]["losses"], abs=1e-5)
        for name, weights in alone[case]["weights"].items():
            assert torch.allclose(found[case]["weights"][name], weights, atol=1e-5, rtol=0), name
    for batch, *parts in zip(alone[case]["rows"], *(found[case]["rows"] for found in ranks), strict=True):
        assert list(chain(*parts)) == batch
    first, second = (found[case]["history"]["val/score"] for found in ranks)
    assert first == second


def test_a_gan_trains_on_two_processes(ranks: list[Found]):
    """Its decoder and discriminator have plain batch norms, so the ranks equal each other, but not one process."""
    first, second = (found["triplet_gan"] for found in ranks)
    parts = {name.split(".")[0] for name in first["weights"]}
    assert parts == {"net", "decoder", "perceptual", "discriminator"}
    assert all(torch.equal(first["weights"][name], second["weights"][name]) for name in first["weights"])
    assert {f"train/discriminator_{name}" for name in ("real", "made", "accuracy")} <= set(first["history"])


def test_the_stage_runs_on_two_processes_and_writes_once(tmp_path: Path, params: Params, catalog: Catalog):
    shutil.copytree(catalog.folder, tmp_path / "data/catalog")
    (tmp_path / "params.yaml").write_text(json.dumps(params.model_dump(by_alias=True)))
    told = run_python(["-m", "stages.train_embedder", "siamese"], 2, tmp_path)
    assert told.count("siamese: epoch 1/3") == 1
    assert {"encoder.onnx", "encoder.json"} <= {path.name for path in (tmp_path / "models/siamese").iterdir()}
    assert len(list((tmp_path / "reports/runs/train_embedder-siamese").rglob("*.png"))) > 1
    assert [path.name for path in (tmp_path / ".scratch/train_embedder-siamese").iterdir()] == ["lock"]
