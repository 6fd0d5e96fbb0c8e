"""The optimiser that all nets but the GAN share: AdamW with linear warm-up and cosine decay, or Adam, or a constant rate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from croquis.params.training_blocks import FineTuning, Fit
from lightning_modules.nets.backbones import Backbone

FINE_TUNING = 1e-4  # peak rate of AdamW that leaves pretrained convolutions what they know, see docs/training.md
MAP_TUNING = 1e-5  # likewise of a layer that starts from a map: each of its many small weights moves by it in a step


def optimiser_with_schedule(
    backbone: Backbone, heads: Iterable[nn.Parameter], fit: Fit, steps_per_epoch: int, layer_decay: float = 1.0,
    started: Sequence[nn.Parameter] = (), start_rate: float = 1.0,
) -> dict[str, Any]:  # fmt: skip
    """What `configure_optimizers` returns; the backbone learns at `backbone_rate` times the rate of the heads.

    A `fit.backbone_rate` of 0 freezes the backbone.

    Args:
        layer_decay: factor on the rate from each layer of the backbone to the one before it; the last layer has the whole.
        started: those of the heads that start from a map.
        start_rate: factor on their rate.
    """
    rate = backbone_rate(fit, backbone.pretrained)
    known = {id(parameter) for parameter in started}
    groups = [
        {"params": [parameter for parameter in heads if id(parameter) not in known], "lr": fit.learning_rate},
        {"params": list(started), "lr": fit.learning_rate * start_rate},
    ]
    if rate > 0:
        groups += [
            {"params": parameters, "lr": fit.learning_rate * rate * layer_decay**depth}
            for depth, parameters in enumerate(_from_the_last(backbone, layer_decay))
        ]
    else:
        backbone.freeze()
    groups = [group for group in groups if group["params"]]
    kind = torch.optim.Adam if fit.optimiser == "adam" else torch.optim.AdamW
    optimiser = kind(groups, weight_decay=fit.weight_decay)
    warmup, total = fit.warmup_epochs * steps_per_epoch, fit.epochs * steps_per_epoch
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: rate_factor(step, warmup, total, fit.schedule == "constant")
    )
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _from_the_last(backbone: Backbone, layer_decay: float) -> list[list[nn.Parameter]]:
    """The parameters of each layer that has some, the last one first; of all together where they learn alike."""
    if layer_decay == 1:
        return [list(backbone.parameters())]
    layers = list(backbone.features.children())
    while len(layers) == 1:  # timm's nets stand whole in a module around them; their stages are in a list of blocks
        inner = layers[0].children()
        layers = [part for each in inner for part in (each.children() if isinstance(each, nn.Sequential) else [each])]
    found = [list(layer.parameters()) for layer in layers]
    return [parameters for parameters in reversed(found) if parameters]


def backbone_rate(fit: Fit, pretrained: bool) -> float:
    """The factor on the learning rate of a backbone: `fit.backbone_rate`.

    `auto` is 1 for a net that starts at random, and at most what gives pretrained weights the rate `FINE_TUNING`.
    """
    if fit.backbone_rate != "auto":
        return fit.backbone_rate
    return min(1.0, FINE_TUNING / fit.learning_rate) if pretrained else 1.0


def start_rate(tuning: FineTuning, fit: Fit) -> float:
    """The factor on the learning rate of a layer that starts from a map: `fine_tuning.start_rate`.

    `auto` is what gives it the rate `MAP_TUNING` at most.
    """
    return min(1.0, MAP_TUNING / fit.learning_rate) if tuning.start_rate == "auto" else tuning.start_rate


def told_rates(block: str, fit: Fit, pretrained: bool, started: FineTuning | None = None) -> dict[str, float | str]:
    """For a warning: the keys of params.yaml that decide on the rates, and their values.

    Args:
        started: how a layer that starts from a map is tuned, where there is one.
    """
    rates: dict[str, float | str] = {
        f"{block}.fit.learning_rate": fit.learning_rate,
        f"{block}.fit.backbone_rate": _told(fit.backbone_rate, backbone_rate(fit, pretrained)),
    }
    if started is not None:
        rates["train_embedder.fine_tuning.start_rate"] = _told(started.start_rate, start_rate(started, fit))
    return rates


def _told(given: float | str, factor: float) -> float | str:
    return f"auto, which is {factor:g}" if given == "auto" else factor


def rate_factor(step: int, warmup: int, total: int, constant: bool = False) -> float:
    """Learning rate at `step` as a share of its peak: a straight line up to `warmup`, then half a cosine down to 0, or 1."""
    if step < warmup:
        return (step + 1) / warmup
    if constant:
        return 1.0
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return 0.5 * (1 + math.cos(math.pi * progress))
