"""Whole trainings for tests: killed ones, and ones that shall overfit."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from croquis.params import Params
from croquis.params.training_blocks import Augment
from lightning_modules.bases.retrieval_module import MONITOR, RetrievalModule
from lightning_modules.data.negative_pools import embed_all
from lightning_modules.data.retrieval_data import RetrievalData
from lightning_modules.training.callbacks import History
from lightning_modules.training.fit import FitPlan, fit
from lightning_modules.training.numerics import prepare_torch

Weights = dict[str, torch.Tensor]
UNMEASURED = {"num_sanity_val_steps": 0}
"""As `FitPlan.trainer`: val is not measured before training, so that the weights at its start are never what is kept."""
Build = Callable[[], tuple[pl.LightningModule, pl.LightningDataModule]]


class Killed(BaseException):
    """Stands for a SIGKILL: nothing in Lightning catches it."""


def build_of(method: ModuleType, params: Params, data: RetrievalData) -> Build:
    """How `fitted` makes a retriever with its data in the method's order."""

    def build() -> tuple[pl.LightningModule, pl.LightningDataModule]:
        module = method.build(params, data)
        data.use_sampler(module.sampler(params.base.seed))
        return module, data

    return build


def fitted(build: Build, plan: FitPlan, params: Params, scratch: Path, kill_at: int | None) -> tuple[Weights, History]:
    prepare_torch(params.base.seed, 1)
    module, data = build()
    if kill_at is not None:
        whole = module.training_step

        def dying_step(batch: object, batch_idx: int) -> object:
            if module.current_epoch == kill_at and batch_idx == 1:
                raise Killed
            return whole(batch, batch_idx)

        module.training_step = dying_step
    history = fit(module, data, plan, params.base, scratch)
    return module.state_dict(), history


def resumed_equals_whole(build: Build, plan: FitPlan, params: Params, folder: Path) -> None:
    plan = replace(plan, trainer={**plan.trainer, **UNMEASURED})
    whole, history = fitted(build, plan, params, folder / "whole", None)
    for epoch in (1, 2):
        with pytest.raises(Killed):
            fitted(build, plan, params, folder / f"killed-{epoch}", epoch)
        again, curves = fitted(build, plan, params, folder / f"killed-{epoch}", None)
        assert curves == history
        assert all(torch.equal(whole[name], again[name]) for name in whole)


def for_overfitting(params: Params, method: str, epochs: int) -> Params:
    """No random views, a faster learning rate, and negatives that a handful of items does not collapse under."""
    none = {"flip": 0.0, "brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0, "erase": 0.0}
    still = Augment(crop_scale=1.0, rotate=0.0, **none)
    block = getattr(params, method)
    changes: dict[str, object] = {"fit": block.fit.model_copy(update={"epochs": epochs, "learning_rate": 0.005})}
    if method == "triplet_gan":
        changes["negatives"] = "semi_hard"
    if hasattr(block, "views"):
        changes["views"] = block.views.model_copy(update={"crop": 0.0, "jitter": 0.0, "grey": 0.0, "blur": 0.0, **none})
    shared = params.train_embedder.model_copy(update={"augment": still})
    return params.model_copy(update={"train_embedder": shared, method: block.model_copy(update=changes)})


class Given(nn.Module):
    """In place of a net: hands out the given codes, one tensor per call."""

    def __init__(self, *codes: torch.Tensor) -> None:
        super().__init__()
        self._codes = iter(codes)

    def forward(self, _images: torch.Tensor) -> torch.Tensor:
        return next(self._codes)


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    a, b = [float(x) for x in a], [float(x) for x in b]
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


def codes_part_eight_items(method: ModuleType, params: Params, data: RetrievalData, folder: Path) -> None:
    """After training no two items share a code, and each photo's nearest shop photo by its code shows its item."""
    prepare_torch(0, 1)
    data = RetrievalData(data.train, data.train, data.train.domains == "consumer", data.categories)
    name = method.__name__.split(".")[-1]
    module, _ = build_of(method, for_overfitting(params, name, 45), data)()
    assert not codes_are_parted(module, data)
    history = fit(module, data, FitPlan("overfit", 45, 45, MONITOR, "max"), params.base, folder)
    assert max(value for _, value in history["val/consumer_to_shop/hit_at_1"]) == 1.0
    assert codes_are_parted(module, data)


def codes_are_parted(module: RetrievalModule, data: RetrievalData) -> bool:
    codes, items = module.stored(embed_all(module, data.train)), torch.from_numpy(data.train.items)
    differing = (codes[:, None] != codes).sum(dim=2)
    return bool((differing[items[:, None] != items] > 0).all())
