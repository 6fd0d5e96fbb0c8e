"""Multi-label attribute classifier (Lim & Nang: VGG-16 with three fully connected layers and 463 outputs).

The loss is binary cross-entropy with logits, the natural reading of the paper, with positives weighted by
sqrt(negatives / positives) of the train split against the imbalance. An attribute is predicted where its probability passes
a threshold that maximises F1 on val.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from sklearn.metrics import average_precision_score, f1_score
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from lightning_modules.augment import augment
from lightning_modules.backbones import build_backbone
from lightning_modules.data import EVAL_BATCH, Batch, ImageSet, RowDataset, batches, to_float
from lightning_modules.samplers import ShuffledBatches
from lightning_modules.schedule import optimiser_with_schedule
from params.training import TrainClassifier

MONITOR = "val/macro_average_precision"
LARGEST_WEIGHT = 10.0
Probabilities = npt.NDArray[np.float32]
Labels = npt.NDArray[np.bool_]


def attribute_names(images: ImageSet, min_positives: int) -> list[str]:
    """Attributes that at least `min_positives` images have and at least one lacks, sorted."""
    counts: dict[str, int] = {}
    for labels in images.attributes:
        for label in labels:
            counts[label] = counts.get(label, 0) + 1
    return sorted(name for name, count in counts.items() if min_positives <= count < len(images))


def label_matrix(images: ImageSet, names: list[str]) -> Labels:
    """(images, attributes) bool."""
    return np.asarray([[name in labels for name in names] for labels in map(set, images.attributes)], dtype=bool)


def best_thresholds(probabilities: Probabilities, labels: Labels) -> npt.NDArray[np.float64]:
    """For each attribute the threshold with the best F1; 0.5 where the split has no positive.

    Candidates are the predicted probabilities themselves: sorting them once gives F1 at every cut.
    """
    thresholds = np.full(labels.shape[1], 0.5)
    for column in np.flatnonzero(labels.any(axis=0)):
        order = np.argsort(-probabilities[:, column], kind="stable")
        hits = np.cumsum(labels[order, column])
        f1 = 2 * hits / (np.arange(1, len(order) + 1) + hits[-1])
        best = int(np.argmax(f1))
        below = probabilities[order[best + 1], column] if best + 1 < len(order) else 0.0
        thresholds[column] = (probabilities[order[best], column] + below) / 2
    return thresholds


def macro_average_precision(probabilities: Probabilities, labels: Labels) -> float:
    """Mean over the attributes that have a positive of the area under the precision-recall curve."""
    present = labels.any(axis=0)
    return float(average_precision_score(labels[:, present], probabilities[:, present], average="macro"))


def attribute_report(
    probabilities: Probabilities, labels: Labels, thresholds: npt.NDArray[np.float64], names: list[str]
) -> dict[str, float]:
    """Macro and micro F1 at the thresholds, macro average precision, and the average precision of each attribute."""
    predicted = probabilities >= thresholds
    present = labels.any(axis=0)
    report = {
        "val/macro_average_precision": macro_average_precision(probabilities, labels),
        "val/macro_f1": float(f1_score(labels[:, present], predicted[:, present], average="macro", zero_division=0)),
        "val/micro_f1": float(f1_score(labels[:, present], predicted[:, present], average="micro", zero_division=0)),
    }
    for column in np.flatnonzero(present):
        value = average_precision_score(labels[:, column], probabilities[:, column])
        report[f"val/average_precision/{names[column].replace(':', '/')}"] = float(value)
    return {name: round(value, 6) for name, value in report.items()}


class ClassifierData(pl.LightningDataModule):
    def __init__(self, train: ImageSet, val: ImageSet, names: list[str], batch_size: int, seed: int) -> None:
        super().__init__()
        self.train, self.val, self.names = train, val, names
        self.val_labels = label_matrix(val, names)
        self.train_labels = label_matrix(train, names)
        self._batch_size = batch_size
        self._sampler = ShuffledBatches(len(train), batch_size, seed)

    def train_dataloader(self) -> DataLoader[Batch]:
        targets = torch.from_numpy(self.train_labels).float()
        return batches(RowDataset(self.train, targets), self._sampler)

    def val_dataloader(self) -> DataLoader[Batch]:
        return batches(RowDataset(self.val), EVAL_BATCH)


class AttributeClassifier(pl.LightningModule):
    """Backbone, global average pool, then a linear layer or the paper's three fully connected ones."""

    weights: Tensor

    def __init__(self, params: TrainClassifier, data: ClassifierData) -> None:
        super().__init__()
        self.backbone = build_backbone(params.backbone)
        self.head = _head(params, self.backbone.channels, len(data.names))
        positives = torch.from_numpy(data.train_labels).float().mean(0).clamp(1e-6, 1 - 1e-6)
        weights = ((1 - positives) / positives).sqrt().clamp(max=LARGEST_WEIGHT)
        self.register_buffer("weights", weights, persistent=False)
        self.val_probabilities = np.zeros((0, 0), dtype=np.float32)
        self._params = params
        self._data = data
        self._collected: list[Tensor] = []

    def logits(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.backbone(images).mean(dim=(2, 3)))
        return logits.float()

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [0, 1] -> (B, attributes) probabilities."""
        return torch.sigmoid(self.logits(images))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        views = augment(to_float(batch["images"]), self._params.augment)
        if self._params.backbone.channels_last:
            views = views.contiguous(memory_format=torch.channels_last)
        loss = F.binary_cross_entropy_with_logits(self.logits(views), batch["targets"], pos_weight=self.weights)
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
        self.log("val/score", score)

    def predict_all(self, images: ImageSet) -> Probabilities:
        """Probabilities of all images, unaugmented; (N, attributes)."""
        self.eval()
        with torch.no_grad():
            parts = [
                self(to_float(images.images[i : i + EVAL_BATCH]).to(self.device)).cpu()
                for i in range(0, len(images), EVAL_BATCH)
            ]
        return torch.cat(parts).numpy()

    def configure_optimizers(self) -> Any:
        steps = max(1, int(self.trainer.estimated_stepping_batches) // self._params.fit.epochs)
        return optimiser_with_schedule(self.backbone, self.head.parameters(), self._params.fit, steps)


def _head(params: TrainClassifier, channels: int, outputs: int) -> nn.Module:
    if params.head == "linear":
        return nn.Linear(channels, outputs)
    first = [nn.Linear(channels, params.hidden), nn.ReLU(), nn.Dropout(0.5)]
    second = [nn.Linear(params.hidden, params.hidden), nn.ReLU(), nn.Dropout(0.5)]
    return nn.Sequential(*first, *second, nn.Linear(params.hidden, outputs))
