"""A checkpoint is whole or absent, also where temporary files lie on another file system."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from croquis.params import Params
from lightning_modules.bases.retrieval_module import MONITOR
from lightning_modules.data.retrieval_data import RetrievalData
from lightning_modules.methods import image2vec
from lightning_modules.training.checkpoint_file import WholeCheckpoints
from lightning_modules.training.fit import RESUME, FitPlan, fit
from lightning_modules.training.numerics import prepare_torch
from tests.support.training.trainings import Killed, build_of, fitted


@pytest.mark.slow
def test_a_training_writes_its_checkpoints_without_the_folder_for_temporary_files(
    params: Params, data: RetrievalData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A copy from there is what a kill cuts in half."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    with pytest.raises(FileNotFoundError):
        TorchCheckpointIO().save_checkpoint({}, tmp_path / "by_lightning.ckpt")
    with pytest.raises(Killed):
        fitted(build_of(image2vec, params, data), FitPlan("image2vec", 3, 5, MONITOR, "max"), params, tmp_path, 1)
    left = sorted(path.name for path in tmp_path.rglob("*.ckpt"))
    assert f"{RESUME}.ckpt" in left
    for path in tmp_path.rglob("*.ckpt"):
        assert torch.load(path, weights_only=True)["state_dict"]


def test_a_write_that_fails_leaves_the_checkpoint_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "scratch" / "resume.ckpt"
    WholeCheckpoints().save_checkpoint({"epoch": 1}, path)

    def half(_value: Any, partial: Path) -> None:
        partial.write_bytes(b"PK")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="No space"):
        WholeCheckpoints().save_checkpoint({"epoch": 2}, path)
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert [each.name for each in path.parent.iterdir()] == ["resume.ckpt"]


def test_a_further_plugin_of_the_block_trainer_stands_beside_it(params: Params, data: RetrievalData, tmp_path: Path):
    prepare_torch(0, 1)
    module, _ = build_of(image2vec, params, data)()
    plugin = "pytorch_lightning.plugins.environments.LightningEnvironment"
    plan = FitPlan("image2vec", 1, 5, MONITOR, "max", trainer={"limit_train_batches": 1, "plugins": [plugin]})
    fit(module, data, plan, params.base, tmp_path)
    assert isinstance(module.trainer.strategy.checkpoint_io, WholeCheckpoints)
