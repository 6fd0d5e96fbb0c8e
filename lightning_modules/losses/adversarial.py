"""Losses of a generator and of the discriminator that it plays against.

`bce`: Goodfellow et al. 2014 with the generator's non-saturating loss. `hinge`: Lim & Ye 2017.
The discriminator's two halves are averaged, as in pix2pix.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from croquis.params.training_blocks import AdversarialLoss


class DiscriminatorLoss(NamedTuple):
    """What a discriminator pays: its loss on real images, on made ones, and the share of patches it judges rightly."""

    real: Tensor
    made: Tensor
    accuracy: Tensor

    @property
    def loss(self) -> Tensor:
        """The mean of both parts."""
        return (self.real + self.made) / 2


def judge(real: Tensor, made: Tensor, kind: AdversarialLoss) -> DiscriminatorLoss:
    """The discriminator's losses from its logits on real and on made images, each of any shape."""
    with torch.no_grad():
        accuracy = ((real > 0).float().mean() + (made < 0).float().mean()) / 2
    if kind == "hinge":
        return DiscriminatorLoss(torch.relu(1 - real).mean(), torch.relu(1 + made).mean(), accuracy)
    return DiscriminatorLoss(F.softplus(-real).mean(), F.softplus(made).mean(), accuracy)


def fooling_loss(made: Tensor, kind: AdversarialLoss) -> Tensor:
    """The generator's loss from the discriminator's logits on made images."""
    return -made.mean() if kind == "hinge" else F.softplus(-made).mean()
