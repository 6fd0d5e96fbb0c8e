"""From logits to probabilities, where the values of an exclusive group share one softmax, and the loss that goes with it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.attributes.attribute_labels import AttributeLabels, Layout, shares

LARGEST_WEIGHT = 10.0


class Outputs(nn.Module):
    """Log-probabilities of A attributes from A logits.

    An attribute that stands alone gets a sigmoid. The values of an exclusive group get a softmax with one more class of
    logit 0, "none of them", so that their probabilities add up to 1 at most.

    Attributes:
        scale, offset: (A,) of the calibration: logits become `scale * logit + offset`; 1 and 0 until `calibrate`.
    """

    scale: Tensor
    offset: Tensor
    _single: Tensor
    _back: Tensor

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout = layout
        self.register_buffer("scale", torch.ones(len(layout.names)))
        self.register_buffer("offset", torch.zeros(len(layout.names)))
        columns = np.concatenate([*layout.groups, layout.single]).astype(np.int64)
        self._groups = [torch.from_numpy(group) for group in layout.groups]
        self.register_buffer("_single", torch.from_numpy(layout.single), persistent=False)
        self.register_buffer("_back", torch.from_numpy(np.argsort(columns)), persistent=False)

    def forward(self, logits: Tensor) -> Tensor:
        """(B, A) -> (B, A) log-probabilities."""
        return self.log_probabilities(self.scale * logits + self.offset)

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """As `forward`, without the calibration."""
        parts = []
        for group in self._groups:
            values = logits[:, group]
            parts.append(values - torch.logsumexp(with_none(values), dim=1, keepdim=True))
        parts.append(F.logsigmoid(logits[:, self._single]))
        return torch.cat(parts, dim=1)[:, self._back]


def with_none(values: Tensor) -> Tensor:
    """(B, V) logits of a group's values -> (B, V + 1), the last that of none of them."""
    return torch.cat([values, torch.zeros_like(values[:, :1])], dim=1)


class AttributeLoss(nn.Module):
    """Mean over groups and single attributes of their cross-entropies, what is unknown left out.

    Against the imbalance a class weighs (average count / own count) ** balance, a single attribute's positives
    (negatives / positives) ** balance, at most 10 times; `balance` 0 leaves the frequencies as they are.
    """

    positive: Tensor
    _single: Tensor

    def __init__(self, layout: Layout, train: AttributeLabels, balance: float) -> None:
        super().__init__()
        self._groups = [torch.from_numpy(group) for group in layout.groups]
        for number, group in enumerate(layout.groups):
            classes, known = layout.targets(train, number)
            counts = np.bincount(classes[known], minlength=len(group) + 1)
            self.register_buffer(f"weight_{number}", _tensor(class_weights(counts, balance)), persistent=False)
        share = np.clip(shares(train)[layout.single], 1e-6, 1 - 1e-6)
        weights = np.minimum(((1 - share) / share) ** balance, LARGEST_WEIGHT)
        self.register_buffer("positive", _tensor(weights), persistent=False)
        self.register_buffer("_single", torch.from_numpy(layout.single), persistent=False)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of logits (B, A); `targets` (B, targets) are the rows of `target_matrix`."""
        groups = len(self._groups)
        total = logits.new_zeros(())
        for number, group in enumerate(self._groups):
            weight = getattr(self, f"weight_{number}")
            value = targets[:, number].long()
            each = F.cross_entropy(with_none(logits[:, group]), value.clamp(min=0), weight=weight, reduction="none")
            total = total + _masked_mean(each, value >= 0)
        if len(self._single):
            wanted = targets[:, groups:]
            each = F.binary_cross_entropy_with_logits(
                logits[:, self._single], wanted.clamp(min=0), pos_weight=self.positive, reduction="none"
            )
            total = total + _masked_mean(each, wanted >= 0).sum()
        mean: Tensor = total / (groups + len(self._single))
        return mean


def target_matrix(layout: Layout, labels: AttributeLabels) -> Tensor:
    """(N, groups + single) float: the class of each group, then 0 or 1 for each single attribute; -1 for unknown."""
    columns = []
    for number in range(len(layout.groups)):
        value, known = layout.targets(labels, number)
        columns.append(np.where(known, value, -1))
    single = np.where(labels.known[:, layout.single], labels.has[:, layout.single], -1)
    return torch.from_numpy(np.column_stack([*columns, single]).astype(np.float32))


def class_weights(counts: npt.NDArray[np.int64], balance: float) -> npt.NDArray[np.float64]:
    """(average count / own count) ** balance, at most 10; 0 for a class that never occurs."""
    present = counts > 0
    average = counts.sum() / max(1, present.sum())
    weights = np.minimum((average / np.maximum(counts, 1)) ** balance, LARGEST_WEIGHT)
    return np.where(present, weights, 0.0)


def _masked_mean(values: Tensor, known: Tensor) -> Tensor:
    """The mean over the images (first dimension) of which it is known; 0 where it is of none."""
    mean: Tensor = (values * known).sum(dim=0) / known.sum(dim=0).clamp(min=1)
    return mean


def _tensor(values: npt.NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
