"""Multi-label attribute classifier (Lim & Nang: VGG-16 with three fully connected layers and 463 outputs).

The loss is cross-entropy: binary for each attribute, the natural reading of the paper, and a softmax over the values of an
exclusive group where labels are named `group:value` and no training image has two of them. Rare ones weigh more
(`AttributeLoss`); what is unknown of an image counts nowhere. Probabilities and thresholds are calibrated on val.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from croquis.catalog.prepared_photos import WHOLE, Preparation
from croquis.params.training_blocks import TrainClassifier
from lightning_modules.attributes.attribute_labels import AttributeLabels, Layout
from lightning_modules.attributes.outputs import AttributeLoss, Outputs, target_matrix
from lightning_modules.attributes.report import macro_average_precision
from lightning_modules.data.augment import augment
from lightning_modules.data.retrieval_data import (
    Batch,
    ImageSet,
    RowDataset,
    batches,
    eval_batch,
    to_float,
)
from lightning_modules.data.samplers import ShuffledBatches
from lightning_modules.nets.backbones import build_backbone
from lightning_modules.training.distributed import gather, gather_with_gradient
from lightning_modules.training.schedule import optimiser_with_schedule

MONITOR = "val/score"  # the macro average precision of the epoch; the stage reports that of the exported net


class ClassifierData(pl.LightningDataModule):
    """Photos of train and val, with what is known of them."""

    def __init__(
        self,
        train: ImageSet,
        val: ImageSet,
        labels: tuple[AttributeLabels, AttributeLabels],
        layout: Layout,
        batch_size: int,
        seed: int,
        how: Preparation = WHOLE,
    ) -> None:
        super().__init__()
        self._how = how
        self.train, self.val, self.layout = train, val, layout
        self.train_labels, self.val_labels = labels
        self._batch_size = batch_size
        self._sampler = ShuffledBatches(len(train), batch_size, seed)

    def train_dataloader(self) -> DataLoader[Batch]:
        return batches(RowDataset(self.train, target_matrix(self.layout, self.train_labels)), self._sampler, self._how)

    def val_dataloader(self) -> DataLoader[Batch]:
        return batches(RowDataset(self.val), eval_batch(self.val.image_size), self._how)


class AttributeClassifierModule(pl.LightningModule):
    """Backbone, global average pool, then a linear layer or the paper's three fully connected ones.

    Deviation: the paper's VGG-16 flattens its last map of 7 x 7 places for the three layers; here it is averaged.
    """

    def __init__(self, params: TrainClassifier, data: ClassifierData) -> None:
        super().__init__()
        self.backbone = build_backbone(params.backbone, data.train.image_size)
        self.head = _head(params, self.backbone.channels, len(data.layout.names))
        self.outputs = Outputs(data.layout)
        self.loss = AttributeLoss(data.layout, data.train_labels, params.balance)
        self.val_probabilities = np.zeros((0, 0), dtype=np.float32)
        self._params = params
        self._data = data
        self._collected: list[Tensor] = []

    def logits(self, images: Tensor) -> Tensor:
        """Of images (B, 3, S, S) in [0, 1]: float32 (B, A), a number for each attribute of the layout."""
        logits: Tensor = self.head(self.backbone(images).mean(dim=(2, 3)))
        return logits.float()

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [0, 1] -> (B, attributes) probabilities."""
        probabilities: Tensor = self.outputs(self.logits(images)).exp()
        return probabilities

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        views = augment(to_float(batch["images"]), self._params.augment)
        if self._params.backbone.channels_last:
            views = views.contiguous(memory_format=torch.channels_last)
        loss: Tensor = self.loss(gather_with_gradient(self.logits(views)), gather(batch["targets"]))
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=len(views), prog_bar=True)
        return loss

    def on_validation_epoch_start(self) -> None:
        self._collected = []

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._collected.append(self(to_float(batch["images"])).cpu())

    def on_validation_epoch_end(self) -> None:
        self.val_probabilities = torch.cat(self._collected).numpy()
        score = macro_average_precision(self.val_probabilities, self._data.val_labels)
        self.log(MONITOR, score, prog_bar=True)

    def logits_of(self, images: ImageSet) -> npt.NDArray[np.float64]:
        """Logits of all images, unaugmented and not calibrated; (N, attributes)."""
        self.eval()
        step = eval_batch(images.image_size)
        with torch.no_grad():
            parts = [
                self.logits(to_float(images.images[i : i + step]).to(self.device)).cpu()
                for i in range(0, len(images), step)
            ]
        return torch.cat(parts).double().numpy()

    def calibrate(self, scale: npt.NDArray[np.float64], offset: npt.NDArray[np.float64]) -> None:
        """Takes over a calibration (see `fit_calibration`): from now on `forward` gives its probabilities."""
        self.outputs.scale.copy_(torch.from_numpy(scale))
        self.outputs.offset.copy_(torch.from_numpy(offset))

    def configure_optimizers(self) -> Any:
        steps = max(1, int(self.trainer.estimated_stepping_batches) // self._params.fit.epochs)
        return optimiser_with_schedule(self.backbone, self.head.parameters(), self._params.fit, steps)


def _head(params: TrainClassifier, channels: int, outputs: int) -> nn.Module:
    if params.head == "linear":
        return nn.Linear(channels, outputs)
    first = [nn.Linear(channels, params.hidden), nn.ReLU(), nn.Dropout(0.5)]
    second = [nn.Linear(params.hidden, params.hidden), nn.ReLU(), nn.Dropout(0.5)]
    return nn.Sequential(*first, *second, nn.Linear(params.hidden, outputs))
