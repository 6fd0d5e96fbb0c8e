"""What `train_embedder.fine_tuning` adds to a training: a backbone that waits, and a moving average of the weights."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EMAWeightAveraging
from torch import nn

from croquis.params.training_blocks import FineTuning


def fine_tuning_callbacks(block: FineTuning) -> list[pl.Callback]:
    """Of the parts of the block that are on."""
    waits = [WaitingBackbone(block.freeze_backbone_epochs)] if block.freeze_backbone_epochs else []
    return [*waits, *([MovingAverage(decay=block.ema)] if block.ema else [])]


class WaitingBackbone(pl.Callback):
    """The backbone of `pl_module.net` keeps weights and statistics of batch norms for the first `epochs` epochs."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._learns: list[nn.Parameter] = []

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """What is frozen for good stays so."""
        self._learns = [each for each in _backbone(pl_module).parameters() if each.requires_grad]

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        waits = trainer.current_epoch < self._epochs
        for parameter in self._learns:
            parameter.requires_grad_(not waits)
        backbone = _backbone(pl_module)
        backbone.train()
        if waits:
            for module in backbone.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()


def _backbone(module: Any) -> nn.Module:
    found: nn.Module = module.net.backbone
    return found


class MovingAverage(EMAWeightAveraging):
    """Lightning's, with the averaged weights in place from a validation until training goes on.

    Lightning's own puts the others back before a module's `on_validation_epoch_end`, where codes are made with the net, and
    before a checkpoint of weights alone is saved, which would not be those that were validated.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(decay=decay)
        self._in_place = False

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_validation_epoch_start(trainer, pl_module)
        self._in_place = True

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Not yet."""

    def on_sanity_check_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._put_back(pl_module)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._put_back(pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._put_back(pl_module)
        super().on_train_epoch_end(trainer, pl_module)

    def _put_back(self, pl_module: pl.LightningModule) -> None:
        if self._in_place:
            self._swap_models(pl_module)
        self._in_place = False
