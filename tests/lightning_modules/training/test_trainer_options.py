"""The block `trainer` of params.yaml reaches Lightning's Trainer, and what it cannot hold is told in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl

from croquis.params import Params
from lightning_modules.bases.retrieval_module import MONITOR
from lightning_modules.data.retrieval_data import RetrievalData
from lightning_modules.methods import image2vec
from lightning_modules.training.fit import FitPlan, fit
from lightning_modules.training.numerics import prepare_torch
from lightning_modules.training.trainer_options import SET_ELSEWHERE, TrainerError, trainer_options
from tests.support.training.trainings import build_of


class Counting(pl.Callback):
    """Counts the batches of a training, and keeps what its Trainer was given."""

    made: list[Counting] = []  # noqa: RUF012 the Trainer makes the object, a test looks at it

    def __init__(self, name: str = "plain") -> None:
        self.name, self.batches, self.clip = name, 0, None
        Counting.made.append(self)

    def on_train_batch_end(self, trainer: pl.Trainer, *_arguments: Any) -> None:
        self.batches += 1
        self.clip = trainer.gradient_clip_val


@pytest.fixture(autouse=True)
def _none_made() -> None:
    Counting.made.clear()


def trained(params: Params, data: RetrievalData, folder: Path, block: dict[str, Any]) -> None:
    prepare_torch(0, 1)
    module, _ = build_of(image2vec, params, data)()
    fit(module, data, FitPlan("image2vec", 2, 5, MONITOR, "max", trainer=block), params.base, folder / "scratch")


@pytest.mark.slow
def test_arguments_reach_the_trainer_and_a_callback_is_called(params: Params, data: RetrievalData, tmp_path: Path):
    path = f"{__name__}.Counting"
    callbacks = [{"class_path": path, "init_args": {"name": "given"}}, path]
    trained(params, data, tmp_path, {"gradient_clip_val": 0.5, "limit_train_batches": 2, "callbacks": callbacks})
    assert [(each.name, each.batches, each.clip) for each in Counting.made] == [("given", 4, 0.5), ("plain", 4, 0.5)]


def test_a_further_logger_writes(params: Params, data: RetrievalData, tmp_path: Path):
    logger = {"class_path": "pytorch_lightning.loggers.CSVLogger", "init_args": {"save_dir": str(tmp_path / "csv")}}
    trained(params, data, tmp_path, {"limit_train_batches": 1, "logger": logger})
    written = next((tmp_path / "csv").rglob("metrics.csv")).read_text()
    assert "train/loss" in written.splitlines()[0]
    assert len(written.splitlines()) > 2


def test_an_empty_block_adds_nothing():
    assert trainer_options({}) == {"callbacks": [], "logger": [], "plugins": []}


@pytest.mark.parametrize(
    ("block", "told"),
    [
        ({"gradient_clip_vall": 1.0}, "trainer.gradient_clip_vall is no argument of Lightning's Trainer; did you mean "
                                      "gradient_clip_val?"),
        ({"zzzz": 1}, "trainer.zzzz is no argument of Lightning's Trainer"),
        ({"precision": 16}, "trainer.precision is set by base.precision: remove it from the block trainer"),
        ({"max_epochs": 3}, "trainer.max_epochs is set by fit.epochs of the method: remove it from the block trainer"),
        ({"callbacks": [{"path": "a.B"}]}, "trainer.callbacks has {'path': 'a.B'}, must be a class path, or class_path with "
                                           "init_args"),
    ],
)  # fmt: skip
def test_what_the_block_cannot_hold_is_told(block: dict[str, Any], told: str):
    with pytest.raises(TrainerError) as error:
        trainer_options(block)
    assert str(error.value) == told


@pytest.mark.parametrize(
    "value",
    [
        "no_such_package.Callback",
        "pytorch_lightning.callbacks.NoSuchCallback",
        "NoModule",
        {"class_path": "pytorch_lightning.callbacks.LearningRateMonitor", "init_args": {"no_such": 1}},
    ],
)
def test_a_class_that_cannot_be_made_is_named_in_one_line(value: Any):
    path = value if isinstance(value, str) else value["class_path"]
    with pytest.raises(TrainerError, match=rf"^trainer\.callbacks: {path} cannot be made: ") as error:
        trainer_options({"callbacks": value})
    assert "\n" not in str(error.value)


def test_every_key_that_is_set_elsewhere_is_one_of_the_trainer():
    with pytest.raises(TrainerError, match="is set by"):
        trainer_options(dict.fromkeys(SET_ELSEWHERE))
    pl.Trainer(**{**dict.fromkeys(SET_ELSEWHERE), "accelerator": "cpu", "devices": 1, "num_nodes": 1, "strategy": "auto",
                  "accumulate_grad_batches": 1, "use_distributed_sampler": True, "logger": False})  # fmt: skip
