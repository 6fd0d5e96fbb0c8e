"""The reconstruction of SGH: each loss against explicit loops over hand-placed codes, and the training as a whole."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from croquis.params import Params
from lightning_modules.bases.retrieval_module import MONITOR
from lightning_modules.data.retrieval_data import RetrievalData
from lightning_modules.methods import sgh
from lightning_modules.methods.sgh import pairwise_loss
from lightning_modules.training.fit import FitPlan
from tests.support.training.trainings import Given, build_of, codes_part_eight_items, cosine, resumed_equals_whole

FIRST = torch.tensor([[0.9, -0.8], [0.7, -0.1], [-0.5, 0.2], [-0.4, 0.9], [0.3, 0.3]], dtype=torch.float64)
SECOND = torch.tensor([[0.8, -0.9], [0.1, -0.6], [-0.9, 0.4], [0.2, 0.8], [0.5, -0.1]], dtype=torch.float64)
LABELS = torch.tensor([0, 0, 2, 0, 1])  # the last two classes have one image each


def pair_oracle(codes: torch.Tensor, others: torch.Tensor, temperature: float) -> float:
    losses = []
    for i in range(5):
        powers = {j: math.exp(cosine(codes[i], others[j]) / temperature) for j in range(5) if j != i}
        partners = [j for j in powers if LABELS[j] == LABELS[i]]
        if partners:
            total = sum(powers.values())
            losses.append(sum(-math.log(powers[j] / total) for j in partners) / len(partners))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_pairwise_loss(temperature: float):
    assert float(pairwise_loss(FIRST, SECOND, LABELS, temperature)) == pytest.approx(
        pair_oracle(FIRST, SECOND, temperature)
    )
    inputs = (FIRST.clone().requires_grad_(), SECOND.clone().requires_grad_())
    assert torch.autograd.gradcheck(lambda a, b: pairwise_loss(a, b, LABELS, temperature), inputs)


def test_a_batch_without_pairs_costs_nothing():
    codes = FIRST.clone().requires_grad_()
    loss = pairwise_loss(codes, SECOND, torch.arange(5), 0.2)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(codes.grad, torch.zeros_like(codes))


def test_the_whole_loss(params: Params, data: RetrievalData):
    method, module = params.sgh, sgh.build(params, data)
    first, second = (codes.clone().requires_grad_() for codes in (FIRST, SECOND))
    module.net = Given(first, second)
    module.classify = nn.Linear(2, 3, dtype=torch.float64)
    images = torch.zeros(5, 3, 8, 8, dtype=torch.uint8)
    loss, figures = module.loss(module.view(images), {"images": images, "items": LABELS, "categories": LABELS})
    identity = 0.0
    for code, label in zip([*FIRST, *SECOND], [*LABELS, *LABELS], strict=True):
        powers = module.classify(code).exp().tolist()
        identity -= math.log(powers[label] / sum(powers)) / 10
    alike = sum(1 - cosine(*pair) for pair in zip(FIRST, SECOND, strict=True)) / 5
    pairs = sum(pair_oracle(*views, method.temperature) for views in ((FIRST, SECOND), (SECOND, FIRST))) / 2
    quantisation = sum(abs(abs(h) - 1) for h in torch.cat([FIRST, SECOND]).flatten().tolist()) / 20
    terms = [identity, alike, pairs, quantisation]
    weights = [1.0, method.self_weight, method.pair_weight, method.quantisation_weight]
    assert loss.item() == pytest.approx(sum(w * t for w, t in zip(weights, terms, strict=True)))
    assert [float(figures[n]) for n in ("identity", "self", "pair", "quantisation")] == pytest.approx(terms)
    loss.backward()
    assert all(codes.grad.abs().sum(1).gt(0).all() for codes in (first, second))

    def whole(*codes: torch.Tensor) -> torch.Tensor:
        module.net = Given(*codes)
        return module.loss(module.view(images), {"images": images, "items": LABELS, "categories": LABELS})[0]

    assert torch.autograd.gradcheck(whole, (first, second))


def test_item_batches_hold_pairs(params: Params, data: RetrievalData):
    for rows in sgh.build(params, data).sampler(0):
        items = data.train.items[rows]
        assert all((items == item).sum() >= 2 for item in items)


@pytest.mark.slow
def test_a_killed_training_ends_with_the_same_bytes(params: Params, data: RetrievalData, tmp_path: Path):
    resumed_equals_whole(build_of(sgh, params, data), FitPlan("sgh", 4, 10, MONITOR, "max"), params, tmp_path)


@pytest.mark.slow
def test_it_overfits_eight_items(params: Params, data: RetrievalData, tmp_path: Path):
    codes_part_eight_items(sgh, params, data, tmp_path)
