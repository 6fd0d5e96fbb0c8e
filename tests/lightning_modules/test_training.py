"""Training as a whole: it learns, and a kill in the middle changes nothing."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
import pytorch_lightning as pl
import torch

from lightning_modules import image2vec, siamese, sketch_gan, triplet_gan
from lightning_modules.data import RetrievalData
from lightning_modules.determinism import prepare_torch
from lightning_modules.negatives import embed_all
from lightning_modules.retrieval_module import MONITOR
from lightning_modules.training import Plan, fit
from params import Params
from tests.lightning_modules.trainings import build_of, fitted, for_overfitting, resumed_equals_whole


@pytest.mark.parametrize("negatives", ["batch_hard", "nearest"])
@pytest.mark.slow
def test_a_killed_siamese_training_ends_with_the_same_bytes(
    params: Params, data: RetrievalData, tmp_path: Path, negatives: str
):
    chosen = params.model_copy(update={"siamese": params.siamese.model_copy(update={"negatives": negatives})})
    plan = Plan("siamese", 4, 10, MONITOR, "max")
    resumed_equals_whole(build_of(siamese, chosen, data), plan, params, tmp_path)


@pytest.mark.slow
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
    history = fit(module, data, Plan("overfit", 40, 40, MONITOR, "max"), params.base, tmp_path)
    if method is not image2vec:
        assert own_item_share(module, data) > max(before, 0.9)
    else:
        assert history["train/accuracy"][-1][1] > 0.9


def own_item_share(module: pl.LightningModule, data: RetrievalData) -> float:
    """Share of training images whose nearest other image shows the same item."""
    embeddings = embed_all(module, data.train)
    nearest = (embeddings @ embeddings.T).fill_diagonal_(-2).argmax(1).numpy()
    return float((data.train.items[nearest] == data.train.items).mean())
