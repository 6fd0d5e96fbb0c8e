"""Two processes train as one does on the same global batches (gloo, on the CPU)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from croquis.catalog.table import Catalog
from croquis.params import Params
from lightning_modules.training import processes
from lightning_modules.training.processes import SpreadError
from stages.sketch import write_sketches
from tests.support.training.two_processes import CASES, HAS_PACKAGE, KILLED, OF_PACKAGE, train

pytestmark = pytest.mark.slow

WORKER = "tests/support/training/two_processes.py"
Found = dict[str, dict[str, Any]]
MISSING = pytest.mark.skipif(
    not HAS_PACKAGE, reason="pytorch-metric-learning is missing: pip install 'croquis[metric]'"
)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """This process is the one."""
    folder = tmp_path_factory.mktemp("one")
    return {case: train(case, folder) for case in CASES if case != "triplet_gan"}


class Spread(NamedTuple):
    """What every rank reports of all cases, and what the processes wrote to stderr."""

    ranks: list[Found]
    told: str


@pytest.fixture(scope="module")
def spread(tmp_path_factory: pytest.TempPathFactory) -> Spread:
    """Two, by torchrun; the last case is killed, and both start again."""
    folder = tmp_path_factory.mktemp("two")
    command = [*processes.launcher(2), WORKER, str(folder)]
    result = subprocess.run(
        command, env=processes.environment(), capture_output=True, text=True, timeout=600, check=False
    )
    assert result.returncode == 0, result.stderr[-5000:]
    read = [
        {case: torch.load(folder / f"{case}.{rank}.pt", weights_only=True) for case in (*CASES, KILLED)}
        for rank in range(2)
    ]
    return Spread(read, result.stderr)


@pytest.fixture
def ranks(spread: Spread) -> list[Found]:
    return spread.ranks


@pytest.mark.parametrize(
    "case",
    [
        *(case for case in CASES if case not in ("triplet_gan", *OF_PACKAGE)),
        *(pytest.param(case, marks=MISSING) for case in OF_PACKAGE),
    ],
)
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
    assert ("measure.proxies" in alone[case]["weights"]) == (case == "proxies")


def test_a_gan_trains_on_two_processes(ranks: list[Found]):
    """Its decoder and discriminator have plain batch norms, so the ranks equal each other, but not one process."""
    first, second = (found["triplet_gan"] for found in ranks)
    parts = {name.split(".")[0] for name in first["weights"]}
    assert parts == {"net", "decoder", "perceptual", "discriminator"}
    assert all(torch.equal(first["weights"][name], second["weights"][name]) for name in first["weights"])
    assert {f"train/discriminator_{name}" for name in ("real", "made", "accuracy")} <= set(first["history"])


def test_a_killed_process_costs_no_more_than_its_epoch(spread: Spread):
    """kill -9 of one of two processes: both start again from the last checkpoint and end with the same weights."""
    assert "exitcode: -9" in spread.told
    for found in spread.ranks:
        again, whole = found[KILLED], found["siamese-nearest"]
        assert again["losses"] == whole["losses"][-len(again["losses"]) :]
        assert len(again["losses"]) < len(whole["losses"])
        assert all(torch.equal(again["weights"][name], value) for name, value in whole["weights"].items())
        assert again["history"] == whole["history"]


def workspace(folder: Path, params: Params, catalog: Catalog, epochs: int) -> Path:
    """A folder in which `base.processes` asks for two."""
    shutil.copytree(catalog.folder, folder / "data/catalog")
    values = params.model_dump(by_alias=True)
    values["base"]["processes"] = 2
    for block in (values["siamese"]["fit"], values["train_classifier"]["fit"], values["train_gan"]):
        block |= {"epochs": epochs, "patience": epochs, "validate_every": 1}
    (folder / "params.yaml").write_text(json.dumps(values))
    return folder


def start(*stage: str, folder: Path, programs: Path | None = None) -> subprocess.Popen[str]:
    """A stage in a Python of its own, as its processes are; or, with `programs`, all of them but torchrun as forks."""
    command, pipe, surroundings = [sys.executable, "-m", *stage], subprocess.PIPE, processes.environment()
    if programs is not None:
        command[0] = str(programs / "python")
        # torchrun asks for `python -u -m stages.NAME`.
        (folder / "python").write_text(f'#!/bin/sh\nshift\nexec {programs}/python "$@"\n')
        (folder / "python").chmod(0o755)
        surroundings |= {"PYTHON_EXEC": str(folder / "python"), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(command, cwd=folder, env=surroundings, text=True, stdout=pipe, stderr=subprocess.STDOUT)


def test_the_stage_runs_on_two_processes_and_writes_once(tmp_path: Path, params: Params, catalog: Catalog):
    folder = workspace(tmp_path, params, catalog, epochs=3)
    stage = start("stages.train_embedder", "siamese", folder=folder)
    told = stage.communicate(timeout=600)[0]
    assert stage.returncode == 0, told[-5000:]
    assert told.count("siamese: epoch 1/3") == 1
    assert {"encoder.onnx", "encoder.json"} <= {path.name for path in (folder / "models/siamese").iterdir()}
    assert len(list((folder / "reports/runs/train_embedder-siamese").rglob("*.png"))) > 1
    assert [path.name for path in (folder / ".scratch/train_embedder-siamese").iterdir()] == ["lock"]


@pytest.mark.parametrize(
    ("stage", "said", "written"),
    [
        ("train_classifier", "attributes: wrote", "attributes/classifier.onnx"),
        ("train_gan", "sketch_gan: wrote", "sketch_gan/generator.onnx"),
    ],
)
def test_classifier_and_generator_train_on_two_processes(
    tmp_path: Path, params: Params, catalog: Catalog, programs: Path, stage: str, said: str, written: str
):
    folder = workspace(tmp_path, params, catalog, epochs=1)
    if stage == "train_gan":
        write_sketches(catalog, params, folder)
    process = start(f"stages.{stage}", folder=folder, programs=programs)
    told = process.communicate(timeout=600)[0]
    assert process.returncode == 0, told[-5000:]
    assert told.count(said) == 1
    assert (folder / "models" / written).is_file()


def test_processes_that_fail_are_an_error_of_the_stage(tmp_path: Path):
    with pytest.raises(SpreadError, match=r"stages\.no_such on 2 processes ended with status 1"):
        processes.over(2, "stages.no_such", [], tmp_path)


def test_one_process_and_those_of_a_torchrun_start_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert not processes.over(1, "stages.no_such", [], tmp_path)
    monkeypatch.setenv("RANK", "1")
    assert not processes.over(2, "stages.no_such", [], tmp_path)
    assert processes.following()
