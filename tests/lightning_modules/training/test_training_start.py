"""Val before training: recorded beside the curves, and told where training ends below; rates of pretrained weights."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from croquis.params import Params
from croquis.params.training_blocks import Fit
from croquis.registry.leaderboard import training_warnings
from croquis.tracking.record import WARNING, RunRecord
from lightning_modules.bases.retrieval_module import MONITOR
from lightning_modules.data.negative_pools import embed_all
from lightning_modules.data.retrieval_data import RetrievalData
from lightning_modules.methods import siamese
from lightning_modules.nets.backbones import build_backbone
from lightning_modules.training.fit import FitPlan, below_start, fit
from lightning_modules.training.numerics import prepare_torch
from lightning_modules.training.schedule import backbone_rate, optimiser_with_schedule, rate_factor, told_rates
from lightning_modules.training.val_scores import decisive_score, retrieval_scores
from tests.support.training.trainings import build_of

RATES = {"siamese.fit.learning_rate": 0.9, "siamese.fit.backbone_rate": 1.0}


def changed(params: Params, tmp_path: Path | None = None, **fit_params: object) -> Params:
    """Siamese with other rates; with a folder, of weights that are a file there."""
    block, shared = params.siamese, params.train_embedder
    own = block.model_copy(update={"fit": block.fit.model_copy(update=fit_params)})
    if tmp_path is not None:
        file = tmp_path / "weights.pt"
        torch.save(build_backbone(shared.backbone).features.state_dict(), file)
        shared = shared.model_copy(update={"backbone": shared.backbone.model_copy(update={"weights": str(file)})})
    return params.model_copy(update={"siamese": own, "train_embedder": shared})


def test_val_before_training_is_that_of_the_net_as_it_starts(params: Params, data: RetrievalData, tmp_path: Path):
    prepare_torch(0, 1)
    module, _ = build_of(siamese, params, data)()
    vectors = embed_all(module, data.val)
    asked = {name: round(value, 6) for name, value in retrieval_scores(vectors, vectors, data).items()}
    history = fit(module, data, FitPlan("siamese", 1, 10, MONITOR, "max"), params.base, tmp_path)
    found = {name.removeprefix("before_training/"): points for name, points in history.items() if "before" in name}
    assert found.pop("score") == [[0, asked[decisive_score(data)]]]
    assert found == {name: [[0, value]] for name, value in asked.items()}
    assert len(history[MONITOR]) == 1


def test_a_training_that_ends_below_its_start_is_told_with_figures_and_keys(
    params: Params, data: RetrievalData, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    prepare_torch(0, 1)
    module, _ = build_of(siamese, changed(params, learning_rate=0.9), data)()
    plan = FitPlan("siamese", 1, 10, "val/loss", "min", rates=RATES)
    module.on_validation_epoch_end = lambda: module.log("val/loss", float(not module.trainer.sanity_checking))
    start = {name: value.clone() for name, value in module.state_dict().items()}
    with caplog.at_level(logging.WARNING):
        history = fit(module, data, plan, params.base, tmp_path)
    assert all(torch.equal(start[name], value) for name, value in module.state_dict().items())
    (line,) = [record.getMessage() for record in caplog.records if "made the net worse" in record.getMessage()]
    assert line == below_start(history, plan)
    assert line == (
        "siamese: training made the net worse: val/loss is 1.0000 at best, 0.0000 before training; the weights before "
        "training are kept: lower its rates (siamese.fit.learning_rate 0.9, siamese.fit.backbone_rate 1.0), or train longer"
    )
    RunRecord(tags={WARNING: line}).write(tmp_path / "reports/runs/train_embedder-siamese")
    RunRecord().write(tmp_path / "reports/runs/train_gan")
    assert training_warnings(tmp_path) == [f"warning: {line}"]


@pytest.mark.parametrize(("mode", "start", "values", "worse"), [
    ("max", 0.48, [0.1, 0.16], True), ("max", 0.48, [0.1, 0.49, 0.2], False), ("max", 0.48, [0.48], False),
    ("min", 2.0, [3.0, 2.1], True), ("min", 2.0, [3.0, 1.9], False),
])  # fmt: skip
def test_the_best_epoch_counts(mode: str, start: float, values: list[float], worse: bool):
    history = {"before_training/score": [[0, start]], MONITOR: [[at, value] for at, value in enumerate(values)]}
    plan = FitPlan("siamese", 3, 3, MONITOR, mode, rates=RATES)
    assert (below_start(history, plan) is not None) == worse
    assert below_start({MONITOR: history[MONITOR]}, plan) is None


@pytest.mark.parametrize(("rate", "weights", "expected"), [
    ("auto", False, 0.005), ("auto", True, 1e-4), (1.0, True, 0.005), (0.2, True, 0.001), (0.2, False, 0.001),
])  # fmt: skip
def test_pretrained_weights_get_a_rate_of_their_own_unless_one_is_given(
    params: Params, data: RetrievalData, tmp_path: Path, rate: float | str, weights: bool, expected: float
):
    chosen = changed(params, tmp_path if weights else None, backbone_rate=rate, learning_rate=0.005)
    module, _ = build_of(siamese, chosen, data)()
    module.steps_per_epoch = lambda: 3
    heads, backbone = module.configure_optimizers()["optimizer"].param_groups
    assert (heads["initial_lr"], backbone["initial_lr"]) == (0.005, pytest.approx(expected))


def test_a_rate_below_that_of_fine_tuning_stays(params: Params):
    fit_params: Fit = params.siamese.fit.model_copy(update={"backbone_rate": "auto", "learning_rate": 5e-5})
    assert backbone_rate(fit_params, pretrained=True) == 1.0
    assert told_rates("siamese", fit_params, pretrained=True) == {
        "siamese.fit.learning_rate": 5e-5,
        "siamese.fit.backbone_rate": "auto, which is 1",
    }


def test_adam_adds_the_weight_decay_to_the_gradient_and_adamw_shrinks_the_weight(params: Params):
    """After one step of Adam from any gradient a weight has moved by the rate; AdamW's shrinks by rate * decay besides."""
    for optimiser, moved in (("adam", 0.01), ("adamw", 0.01 + 0.01 * 0.5 * 2.0)):
        weight = torch.nn.Parameter(torch.tensor([2.0]))
        fit_params = params.siamese.fit.model_copy(
            update={"optimiser": optimiser, "weight_decay": 0.5, "learning_rate": 0.01, "warmup_epochs": 0}
        )
        made = optimiser_with_schedule(build_backbone(params.train_embedder.backbone), [weight], fit_params, 10)
        weight.grad = torch.tensor([0.001])
        made["optimizer"].step()
        assert 2.0 - float(weight.detach()) == pytest.approx(moved, rel=1e-3)


def test_a_constant_rate_stays_after_the_warm_up():
    assert [rate_factor(step, 2, 6, constant=True) for step in range(6)] == [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert [rate_factor(step, 2, 6) for step in (1, 2, 4)] == pytest.approx([1.0, 1.0, 0.5])
