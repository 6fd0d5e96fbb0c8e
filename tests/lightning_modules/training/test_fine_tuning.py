"""Layer-wise rates, a backbone that waits, and a moving average that is what is validated, kept and exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from croquis.params import Params
from lightning_modules.bases.retrieval_module import MONITOR
from lightning_modules.data.retrieval_data import RetrievalData
from lightning_modules.methods import gpq, siamese
from lightning_modules.training.fit import START, FitPlan, fit
from lightning_modules.training.numerics import prepare_torch
from tests.support.training.trainings import UNMEASURED, build_of


def tuned(params: Params, **changes: Any) -> Params:
    shared = params.train_embedder
    block = shared.fine_tuning.model_copy(update=changes)
    return params.model_copy(update={"train_embedder": shared.model_copy(update={"fine_tuning": block})})


def test_each_layer_learns_slower_than_the_one_after_it(params: Params, data: RetrievalData):
    module, _ = build_of(siamese, tuned(params, layer_decay=0.5), data)()
    module.steps_per_epoch = lambda: 3
    _, *groups = module.configure_optimizers()["optimizer"].param_groups
    rates = [group["initial_lr"] for group in groups]
    assert rates == [pytest.approx(rates[0] * 0.5**depth) for depth in range(len(rates))]
    assert rates[0] == params.siamese.fit.learning_rate
    inside = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(inside) == sorted(id(parameter) for parameter in module.net.backbone.parameters())
    last = list(module.net.backbone.features.children())[-1]
    assert {id(parameter) for parameter in groups[0]["params"]} == {id(parameter) for parameter in last.parameters()}


class Seen(pl.Callback):
    """The backbone's first weight and running mean at the end of each epoch, and the weights that are validated."""

    def __init__(self) -> None:
        self.weights: list[torch.Tensor] = []
        self.means: list[torch.Tensor] = []
        self.heads: list[torch.Tensor] = []
        self.validated: list[dict[str, torch.Tensor]] = []

    def on_train_batch_end(self, _trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self.heads.append(pl_module.net.head.project.weight.detach().clone())

    def on_train_epoch_end(self, _trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.weights.append(next(pl_module.net.backbone.parameters()).detach().clone())
        (norm, *_) = [part for part in pl_module.net.backbone.modules() if isinstance(part, nn.BatchNorm2d)]
        self.means.append(norm.running_mean.clone())

    def on_validation_batch_start(self, _trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Val is one batch here."""
        self.validated.append({name: value.detach().clone() for name, value in pl_module.state_dict().items()})


@pytest.mark.slow
def test_a_waiting_backbone_learns_after_its_epochs(params: Params, data: RetrievalData, tmp_path: Path):
    prepare_torch(0, 1)
    module, _ = build_of(siamese, tuned(params, freeze_backbone_epochs=2), data)()
    start, seen = next(module.net.backbone.parameters()).detach().clone(), Seen()
    fit(module, data, FitPlan("siamese", 4, 10, MONITOR, "max", callbacks=[seen]), params.base, tmp_path)
    assert all(torch.equal(start, each) for each in seen.weights[:2])
    assert torch.equal(seen.means[0], seen.means[1])
    assert not torch.equal(seen.weights[1], seen.weights[2])
    assert not torch.equal(seen.means[1], seen.means[2])
    assert not torch.equal(seen.heads[0], seen.heads[1]), "the head learns from the begin"


@pytest.mark.slow
def test_the_moving_average_is_what_is_validated_and_kept(params: Params, data: RetrievalData, tmp_path: Path):
    """By a loop over the head's weights; the first step's weights are taken whole."""
    prepare_torch(0, 1)
    module, _ = build_of(siamese, tuned(params, ema=0.8), data)()
    seen = Seen()
    plan = FitPlan("siamese", 3, 10, MONITOR, "max", callbacks=[seen], trainer=UNMEASURED)
    history = fit(module, data, plan, params.base, tmp_path)
    name, steps = "net.head.project.weight", len(seen.heads) // 3
    average, averages = seen.heads[0], []
    for step, weight in enumerate(seen.heads):
        average = weight if step == 0 else 0.8 * average + 0.2 * weight
        if (step + 1) % steps == 0:
            averages.append(average)
    for expected, found in zip(averages, seen.validated, strict=True):
        torch.testing.assert_close(found[name], expected)
    scores = [value for _, value in history[MONITOR]]
    best = seen.validated[scores.index(max(scores))]
    assert all(torch.equal(best[key], value) for key, value in module.state_dict().items())
    assert not torch.equal(best[name], seen.heads[-1])


@pytest.mark.slow
def test_codes_are_validated_with_averaged_codebooks(params: Params, data: RetrievalData, tmp_path: Path):
    """What is stored is made of the words of the average, too: the same net scores the same afterwards."""
    prepare_torch(0, 1)
    module, _ = build_of(gpq, tuned(params, ema=0.9), data)()
    plan = FitPlan("gpq", 2, 10, MONITOR, "max", trainer=UNMEASURED)
    history = fit(module, data, plan, params.base, tmp_path)
    best = max(value for _, value in history[MONITOR])
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    (scores,) = trainer.validate(module, data, verbose=False)
    assert scores[MONITOR] == pytest.approx(best, abs=1e-6)


def test_the_weights_before_training_are_saved_for_a_training_that_only_harms(
    params: Params, data: RetrievalData, tmp_path: Path
):
    prepare_torch(0, 1)
    module, _ = build_of(siamese, params, data)()
    fit(module, data, FitPlan("siamese", 1, 10, MONITOR, "max"), params.base, tmp_path)
    prepare_torch(0, 1)
    again, _ = build_of(siamese, params, data)()
    saved = torch.load(tmp_path / START, weights_only=True)["state_dict"]
    assert all(torch.equal(saved[name], value) for name, value in again.state_dict().items())
