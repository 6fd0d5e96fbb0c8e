"""Training as a whole: it learns, and a kill in the middle changes nothing."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
import pytorch_lightning as pl
import torch

from croquis.params import Params
from lightning_modules.bases.retrieval_module import MONITOR
from lightning_modules.data.negative_pools import embed_all
from lightning_modules.data.retrieval_data import RetrievalData
from lightning_modules.methods import dhd, image2vec, siamese, spq, triplet_gan
from lightning_modules.sketch_gan import gan_module
from lightning_modules.training.fit import FitPlan, fit
from lightning_modules.training.numerics import prepare_torch
from tests.support.training.trainings import UNMEASURED, build_of, fitted, for_overfitting, resumed_equals_whole


@pytest.mark.parametrize(("negatives", "refresh_every"), [("batch_hard", 1), ("nearest", 1), ("nearest", 3)])
@pytest.mark.slow
def test_a_killed_siamese_training_ends_with_the_same_bytes(
    params: Params, data: RetrievalData, tmp_path: Path, negatives: str, refresh_every: int
):
    """Also where the pool of negatives is older than the epoch in which the training is resumed."""
    changes = {"negatives": negatives, "refresh_every": refresh_every, "nearest_pool": 2}
    chosen = params.model_copy(update={"siamese": params.siamese.model_copy(update=changes)})
    plan = FitPlan("siamese", 4, 10, MONITOR, "max")
    resumed_equals_whole(build_of(siamese, chosen, data), plan, params, tmp_path)


@pytest.mark.slow
def test_a_killed_training_without_val_ends_with_the_same_bytes(params: Params, data: RetrievalData, tmp_path: Path):
    plan = FitPlan("siamese", 3, 10, MONITOR, "max", by_val=False)
    resumed_equals_whole(build_of(siamese, params, data), plan, params, tmp_path)


@pytest.mark.slow
def test_a_killed_gan_training_ends_with_the_same_bytes(params: Params, tmp_path: Path):
    def build() -> tuple[pl.LightningModule, pl.LightningDataModule]:
        pairs = [
            gan_module.SketchPairs(*(torch.randint(0, 255, (12, 3, 32, 32), dtype=torch.uint8) for _ in range(2)))
            for _ in range(2)
        ]
        data = gan_module.PairData(*pairs, params.train_gan.batch_size // 2, params.base.seed)
        return gan_module.SketchGan(params.train_gan, data), data

    resumed_equals_whole(build, FitPlan("gan", 4, 10, gan_module.MONITOR, "min"), params, tmp_path)


@pytest.mark.slow
def test_early_stopping_keeps_the_best_epoch_and_stays_stopped(params: Params, data: RetrievalData, tmp_path: Path):
    plan = FitPlan("siamese", 30, 2, MONITOR, "max")
    first, history = fitted(build_of(siamese, params, data), plan, params, tmp_path, None)
    scores = [value for _, value in history[MONITOR]]
    assert len(scores) < 30
    assert len(scores) - 1 - scores.index(max(scores)) == 2
    again, curves = fitted(build_of(siamese, params, data), plan, params, tmp_path, None)
    assert curves == history
    assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize("method", [image2vec, siamese, triplet_gan])
@pytest.mark.slow
def test_each_method_overfits_eight_items(params: Params, data: RetrievalData, tmp_path: Path, method: ModuleType):
    name = method.__name__.split(".")[-1]
    prepare_torch(0, 1)
    data = RetrievalData(data.train, data.train, data.train.domains == "consumer", data.categories)
    module = method.build(for_overfitting(params, name, 40), data)
    before = own_item_share(module, data)
    data.use_sampler(module.sampler(0))
    history = fit(module, data, FitPlan("overfit", 40, 40, MONITOR, "max"), params.base, tmp_path)
    if method is not image2vec:
        assert own_item_share(module, data) > max(before, 0.9)
    else:
        assert history["train/accuracy"][-1][1] > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("method", [image2vec, siamese, dhd, spq])
def test_a_backbone_that_does_not_learn_keeps_weights_and_statistics(
    params: Params, data: RetrievalData, tmp_path: Path, method: ModuleType
):
    name = method.__name__.split(".")[-1]
    block = getattr(params, name)
    block = block.model_copy(update={"fit": block.fit.model_copy(update={"backbone_rate": 0.0})})
    module, _ = build_of(method, params.model_copy(update={name: block}), data)()
    before = {key: value.clone() for key, value in module.net.backbone.state_dict().items()}
    others = [parameter.clone() for parameter in module.heads()]
    fit(module, data, FitPlan(name, 2, 10, MONITOR, "max", trainer=UNMEASURED), params.base, tmp_path)
    assert all(torch.equal(before[key], value) for key, value in module.net.backbone.state_dict().items())
    assert any(not torch.equal(old, new) for old, new in zip(others, module.heads(), strict=True))


class Gradients(pl.Callback):
    """Keeps the gradient of the first head parameter at every optimiser step, and the learning rate."""

    def __init__(self) -> None:
        self.found: list[torch.Tensor] = []
        self.rates: list[float] = []

    def on_before_optimizer_step(
        self, _trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        self.found.append(pl_module.heads()[0].grad.clone())
        self.rates.append(optimizer.param_groups[0]["lr"])


def gradients(params: Params, data: RetrievalData, folder: Path, accumulate: int, rate: float) -> Gradients:
    fit_params = params.siamese.fit.model_copy(update={"learning_rate": rate, "epochs": 2})
    changed = params.siamese.model_copy(update={"items_per_batch": 2, "fit": fit_params})
    prepare_torch(0, 1)
    module, _ = build_of(siamese, params.model_copy(update={"siamese": changed}), data)()
    seen = Gradients()
    module.configure_callbacks = lambda: [seen]
    fit(module, data, FitPlan("siamese", 2, 10, MONITOR, "max", accumulate=accumulate), params.base, folder)
    return seen


@pytest.mark.slow
def test_accumulated_gradients_are_the_mean_over_their_batches(params: Params, data: RetrievalData, tmp_path: Path):
    """At a rate at which weights stand still, one step of three batches has the mean gradient of their three steps."""
    alone = gradients(params, data, tmp_path / "alone", accumulate=1, rate=1e-12)
    together = gradients(params, data, tmp_path / "together", accumulate=3, rate=1e-12)
    batches = len(alone.found) // 2
    assert batches % 3, "the last step of an epoch shall have fewer batches"
    assert len(together.found) == 2 * -(-batches // 3)
    assert together.rates[-1] < together.rates[0], "the schedule is as long as there are steps"
    torch.testing.assert_close(together.found[0], torch.stack(alone.found[:3]).mean(dim=0), rtol=1e-3, atol=1e-7)


def own_item_share(module: pl.LightningModule, data: RetrievalData) -> float:
    """Share of training images whose nearest other image shows the same item."""
    embeddings = embed_all(module, data.train)
    nearest = (embeddings @ embeddings.T).fill_diagonal_(-2).argmax(1).numpy()
    return float((data.train.items[nearest] == data.train.items).mean())
