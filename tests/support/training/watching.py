"""A callback that writes down what a training sees; params.yaml names it by `trainer.callbacks`."""

from __future__ import annotations

from typing import Any, ClassVar

import pytorch_lightning as pl


class Watching(pl.Callback):
    """Of the newest training: the products of its train photos, the learning rate of each step, validations."""

    items: ClassVar[set[str]] = set()
    rates: ClassVar[list[float]] = []
    validations = 0

    def on_train_start(self, _: pl.Trainer, pl_module: Any) -> None:
        Watching.items = set(pl_module.data.train.item_ids)
        Watching.rates = []

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        Watching.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    def on_validation_start(self, *_: Any) -> None:
        Watching.validations += 1
