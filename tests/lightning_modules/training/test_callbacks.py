"""The collapse monitor speaks once, with the figures and what to do."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch

from lightning_modules.losses.triplet import collapse_figures
from lightning_modules.nets.retrieval_net import Projection
from lightning_modules.training.callbacks import CollapseWarning

HEALTHY = {"mean_cosine": 0.4, "effective_rank": 30.0, "input_spread": 0.2, "embedding_std": 0.0123}
DIM = 16


def end_of_epoch(callback: CollapseWarning, epoch: int, first_rank: bool = True, **figures: float) -> None:
    metrics = {f"train/{name}": torch.tensor(value) for name, value in figures.items()}
    trainer = SimpleNamespace(callback_metrics=metrics, current_epoch=epoch, is_global_zero=first_rank)
    callback.on_train_epoch_end(trainer, SimpleNamespace())


def test_a_collapse_is_told_once_with_figures_and_remedy(caplog: pytest.LogCaptureFixture):
    callback = CollapseWarning("siamese")
    with caplog.at_level(logging.WARNING):
        end_of_epoch(callback, 0, **HEALTHY, active_triplets=0.75)
        end_of_epoch(callback, 1, **{**HEALTHY, "mean_cosine": 0.991}, active_triplets=0.75)
        end_of_epoch(callback, 2, **{**HEALTHY, "mean_cosine": 0.999}, active_triplets=0.75)
    (told,) = [record.getMessage() for record in caplog.records]
    for part in ("epoch 2", "0.991", "0.0123", "0.75", "siamese.centre", "semi_hard", "siamese.fit.learning_rate"):
        assert part in told


@pytest.mark.parametrize(
    ("sign", "words"),
    [
        ({"mean_cosine": 0.99}, "mean cosine between images is 0.990 (warned above 0.98)"),
        ({"effective_rank": 1.2}, "effective rank of a batch is 1.200 (warned below 1.5)"),
        ({"input_spread": 0.002}, "before centring, is 0.002 (warned below 0.01)"),
    ],
)
def test_each_sign_is_enough(caplog: pytest.LogCaptureFixture, sign: dict[str, float], words: str):
    with caplog.at_level(logging.WARNING):
        end_of_epoch(CollapseWarning("siamese"), 0, **{**HEALTHY, **sign})
    assert words in caplog.text
    assert ("siamese.centre" in caplog.text) == ("mean_cosine" in sign)


@pytest.mark.parametrize(
    ("figures", "first_rank"), [(HEALTHY, True), ({}, True), ({**HEALTHY, "mean_cosine": 0.999}, False)]
)
def test_otherwise_it_is_silent(caplog: pytest.LogCaptureFixture, figures: dict[str, float], first_rank: bool):
    with caplog.at_level(logging.WARNING):
        end_of_epoch(CollapseWarning("siamese"), 0, first_rank, **figures)
    assert not caplog.records


def same_features(count: int) -> torch.Tensor:
    """One vector for all images, but for rounding."""
    return torch.ones(count, 8) + 1e-4 * torch.randn(count, 8)


def features_on_a_line(count: int) -> torch.Tensor:
    """Vectors that differ by a factor of one direction only."""
    return torch.ones(count, 8) + torch.randn(count, 1) * torch.linspace(0.1, 1, 8)


@pytest.mark.parametrize(
    ("draw", "centre", "collapsed"),
    [
        (same_features, True, True),
        (same_features, False, True),
        (features_on_a_line, True, True),
        (lambda count: torch.rand(count, 8), True, False),
        (lambda count: torch.rand(count, 8), False, False),
    ],
)
def test_a_net_that_tells_images_no_longer_apart_is_seen_with_and_without_centring(
    caplog: pytest.LogCaptureFixture, draw: Callable[[int], torch.Tensor], centre: bool, collapsed: bool
):
    """Centred vectors are no longer alike when their features are: the mean cosine alone would be silent."""
    torch.manual_seed(0)
    head = Projection(8, DIM, centre=centre)
    for _ in range(200):
        vectors = torch.nn.functional.normalize(head(draw(32)), dim=1)
    figures = {**collapse_figures(vectors, torch.ones(1)), **head.figures()}
    assert (figures["mean_cosine"] < 0.5) == centre or not collapsed
    with caplog.at_level(logging.WARNING):
        end_of_epoch(CollapseWarning("siamese"), 0, **{name: float(value) for name, value in figures.items()})
    assert bool(caplog.records) == collapsed
