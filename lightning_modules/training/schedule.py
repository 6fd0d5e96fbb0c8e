"""The optimiser that all nets but the GAN share: AdamW with linear warm-up and cosine decay."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from croquis.params.training_blocks import Fit
from lightning_modules.nets.backbones import Backbone


def optimiser_with_schedule(
    backbone: Backbone, heads: Iterable[nn.Parameter], fit: Fit, steps_per_epoch: int
) -> dict[str, Any]:
    """What `configure_optimizers` returns; the backbone learns at `fit.backbone_rate` times the rate of the heads.

    A `backbone_rate` of 0 freezes the backbone.
    """
    groups = [{"params": list(heads), "lr": fit.learning_rate}]
    if fit.backbone_rate > 0:
        groups.append({"params": list(backbone.parameters()), "lr": fit.learning_rate * fit.backbone_rate})
    else:
        backbone.freeze()
    groups = [group for group in groups if group["params"]]
    optimiser = torch.optim.AdamW(groups, weight_decay=fit.weight_decay)
    warmup, total = fit.warmup_epochs * steps_per_epoch, fit.epochs * steps_per_epoch
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate_factor(step, warmup, total))
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def rate_factor(step: int, warmup: int, total: int) -> float:
    """Learning rate at `step` as a share of its peak: a straight line up to `warmup`, then half a cosine down to 0."""
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return 0.5 * (1 + math.cos(math.pi * progress))
