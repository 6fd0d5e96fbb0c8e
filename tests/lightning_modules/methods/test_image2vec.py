"""The loss of image2vec against explicit loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from croquis.params import Params
from lightning_modules.data.retrieval_data import RetrievalData
from lightning_modules.methods.image2vec import Image2vec, build

POOLED = [[0.4, -1.2, 0.7], [1.5, 0.2, -0.3], [-0.6, 0.9, 0.1]]
CATEGORIES = [1, 0, 1]


class Placed(nn.Module):
    """Stands for the net: gives the features that it was handed as images."""

    def pooled(self, images: Tensor) -> Tensor:
        return images


@pytest.fixture
def module(params: Params, data: RetrievalData) -> Image2vec:
    torch.manual_seed(0)
    module = build(params, data)
    module.net = Placed()
    module.classify = nn.Linear(3, data.categories, dtype=torch.float64)
    return module


def loss_of(module: Image2vec, pooled: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    return module.loss(pooled, {"categories": torch.tensor(CATEGORIES)})


def test_smoothed_cross_entropy_against_loops(module: Image2vec, params: Params, data: RetrievalData):
    pooled = torch.tensor(POOLED, dtype=torch.float64)
    smoothing, classes = params.image2vec.label_smoothing, data.categories
    assert smoothing > 0
    losses, right = [], 0
    for features, category in zip(POOLED, CATEGORIES, strict=True):
        logits = [
            sum(w * x for w, x in zip(weights, features, strict=True)) + bias
            for weights, bias in zip(module.classify.weight.tolist(), module.classify.bias.tolist(), strict=True)
        ]
        total = math.log(sum(math.exp(x) for x in logits))
        targets = [smoothing / classes + (1 - smoothing) * (c == category) for c in range(classes)]
        losses.append(-sum(t * (x - total) for t, x in zip(targets, logits, strict=True)))
        right += logits.index(max(logits)) == category
    loss, figures = loss_of(module, pooled)
    assert loss.item() == pytest.approx(sum(losses) / 3)
    assert figures["accuracy"].item() == pytest.approx(right / 3)


def test_the_gradient_of_the_loss(module: Image2vec):
    pooled = torch.tensor(POOLED, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: loss_of(module, x)[0], (pooled,))
