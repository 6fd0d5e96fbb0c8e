"""Training as a whole: it learns, and a kill in the middle changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import pytorch_lightning as pl
import torch

from lightning_modules import image2vec, siamese, sketch_gan
from lightning_modules.callbacks import History
from lightning_modules.data import RetrievalData
from lightning_modules.determinism import prepare_torch
from lightning_modules.negatives import embed_all
from lightning_modules.retrieval_module import MONITOR
from lightning_modules.training import Plan, fit
from params import Params
from params.training import Augment

Weights = dict[str, torch.Tensor]
Build = Callable[[], tuple[pl.LightningModule, pl.LightningDataModule]]


class Killed(BaseException):
    """Stands for a SIGKILL: nothing in Lightning catches it."""


def fitted(build: Build, plan: Plan, params: Params, scratch: Path, kill_at: int | None) -> tuple[Weights, History]:
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


def resumed_equals_whole(build: Build, plan: Plan, params: Params, folder: Path) -> None:
    whole, history = fitted(build, plan, params, folder / "whole", None)
    for epoch in (1, 2):
        with pytest.raises(Killed):
            fitted(build, plan, params, folder / f"killed-{epoch}", epoch)
        again, curves = fitted(build, plan, params, folder / f"killed-{epoch}", None)
        assert curves == history
        assert all(torch.equal(whole[name], again[name]) for name in whole)


def siamese_build(params: Params, data: RetrievalData) -> Build:
    def build() -> tuple[pl.LightningModule, pl.LightningDataModule]:
        module = siamese.build(params, data)
        data.use_sampler(module.sampler(params.base.seed))
        return module, data

    return build


@pytest.mark.parametrize("negatives", ["batch_hard", "nearest"])
def test_a_killed_siamese_training_ends_with_the_same_bytes(
    params: Params, data: RetrievalData, tmp_path: Path, negatives: str
):
    chosen = params.model_copy(update={"siamese": params.siamese.model_copy(update={"negatives": negatives})})
    plan = Plan("siamese", 4, 10, MONITOR, "max")
    resumed_equals_whole(siamese_build(chosen, data), plan, params, tmp_path)


def test_a_killed_gan_training_ends_with_the_same_bytes(params: Params, tmp_path: Path):
    def build() -> tuple[pl.LightningModule, pl.LightningDataModule]:
        pairs = [
            sketch_gan.Pairs(*(torch.randint(0, 255, (12, 3, 32, 32), dtype=torch.uint8) for _ in range(2)))
            for _ in range(2)
        ]
        data = sketch_gan.PairData(*pairs, params.train_gan.batch_size // 2, params.base.seed)
        return sketch_gan.SketchGan(params.train_gan, data), data

    resumed_equals_whole(build, Plan("gan", 4, 10, sketch_gan.MONITOR, "min"), params, tmp_path)


def test_early_stopping_keeps_the_best_epoch_and_stays_stopped(params: Params, data: RetrievalData, tmp_path: Path):
    plan = Plan("siamese", 30, 2, MONITOR, "max")
    first, history = fitted(siamese_build(params, data), plan, params, tmp_path, None)
    scores = [value for _, value in history[MONITOR]]
    assert len(scores) < 30
    assert len(scores) - 1 - scores.index(max(scores)) == 2
    again, curves = fitted(siamese_build(params, data), plan, params, tmp_path, None)
    assert curves == history
    assert all(torch.equal(first[name], again[name]) for name in first)


def for_overfitting(params: Params, method: str, epochs: int) -> Params:
    still = Augment(
        crop_scale=1.0, rotate=0.0, flip=0.0, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0, erase=0.0
    )
    block = getattr(params, method)
    faster = block.fit.model_copy(update={"epochs": epochs, "learning_rate": 0.005})
    shared = params.train_embedder.model_copy(update={"augment": still})
    return params.model_copy(update={"train_embedder": shared, method: block.model_copy(update={"fit": faster})})


@pytest.mark.parametrize("method", [image2vec, siamese])
def test_each_method_overfits_eight_items(params: Params, data: RetrievalData, tmp_path: Path, method: ModuleType):
    name = method.__name__.split(".")[-1]
    prepare_torch(0, 1)
    data = RetrievalData(data.train, data.train, data.train.domains == "consumer", data.categories)
    module = method.build(for_overfitting(params, name, 40), data)
    before = own_item_share(module, data)
    data.use_sampler(module.sampler(0))
    history = fit(module, data, Plan("overfit", 40, 40, MONITOR, "max"), params.base, tmp_path)
    if method is siamese:
        assert own_item_share(module, data) > max(before, 0.9)
    else:
        assert history["train/accuracy"][-1][1] > 0.9


def own_item_share(module: pl.LightningModule, data: RetrievalData) -> float:
    """Share of training images whose nearest other image shows the same item."""
    embeddings = embed_all(module, data.train)
    nearest = (embeddings @ embeddings.T).fill_diagonal_(-2).argmax(1).numpy()
    return float((data.train.items[nearest] == data.train.items).mean())
