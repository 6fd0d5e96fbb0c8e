"""The collapse monitor speaks once, with the figures and what to do."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
import torch

from lightning_modules.callbacks import CollapseWarning


def end_of_epoch(callback: CollapseWarning, epoch: int, cosine: float | None, first_rank: bool = True) -> None:
    figures = {} if cosine is None else {"mean_cosine": cosine, "embedding_std": 0.0123, "active_triplets": 0.75}
    metrics = {f"train/{name}": torch.tensor(value) for name, value in figures.items()}
    trainer = SimpleNamespace(callback_metrics=metrics, current_epoch=epoch, is_global_zero=first_rank)
    callback.on_train_epoch_end(trainer, SimpleNamespace())


def test_a_collapse_is_told_once_with_figures_and_remedy(caplog: pytest.LogCaptureFixture):
    callback = CollapseWarning("siamese")
    with caplog.at_level(logging.WARNING):
        end_of_epoch(callback, 0, 0.4)
        end_of_epoch(callback, 1, 0.991)
        end_of_epoch(callback, 2, 0.999)
    (told,) = [record.getMessage() for record in caplog.records]
    for part in ("epoch 2", "0.991", "0.0123", "0.75", "siamese.centre", "semi_hard", "siamese.fit.learning_rate"):
        assert part in told


@pytest.mark.parametrize(("cosine", "first_rank"), [(0.97, True), (None, True), (0.999, False)])
def test_otherwise_it_is_silent(caplog: pytest.LogCaptureFixture, cosine: float | None, first_rank: bool):
    with caplog.at_level(logging.WARNING):
        end_of_epoch(CollapseWarning("siamese"), 0, cosine, first_rank)
    assert not caplog.records
