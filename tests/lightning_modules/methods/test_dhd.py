"""Deep Hash Distillation: each loss against explicit loops over hand-placed codes, and the training as a whole."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from croquis.params import Params
from lightning_modules.bases.retrieval_module import MONITOR
from lightning_modules.data.retrieval_data import RetrievalData
from lightning_modules.methods import dhd
from lightning_modules.methods.dhd import bce_quantisation_loss, hash_proxy_loss
from lightning_modules.training.fit import FitPlan, fit
from tests.support.training.trainings import (
    UNMEASURED,
    Given,
    build_of,
    codes_part_eight_items,
    cosine,
    resumed_equals_whole,
)

TEACHER = torch.tensor([[0.9, -0.8], [0.1, 0.3], [-0.5, -0.95]], dtype=torch.float64)
STUDENT = torch.tensor([[0.4, -0.9], [0.6, -0.2], [-0.1, -0.3]], dtype=torch.float64)
PROXIES = torch.tensor([[2.0, -1.0], [0.5, 0.5], [-0.3, 0.1], [-1.0, -1.0]], dtype=torch.float64)
LABELS = torch.tensor([0, 1, 3])


def proxy_oracle(temperature: float) -> float:
    total = 0.0
    for code, label in zip(TEACHER.tolist(), LABELS.tolist(), strict=True):
        powers = [math.exp(cosine(code, proxy) / temperature) for proxy in PROXIES.tolist()]
        total -= math.log(powers[label] / sum(powers))
    return total / len(TEACHER)


def cross_entropy(probability: float, target: float) -> float:
    return -(target * math.log(probability) + (1 - target) * math.log(1 - probability))


def quantisation_oracle(sigma: float) -> float:
    losses = []
    for h in TEACHER.flatten().tolist():
        plus, minus = (math.exp(-0.5 * ((h - corner) / sigma) ** 2) for corner in (1, -1))
        bit = 1.0 if h > 0 else 0.0
        losses.append(cross_entropy(plus, bit) + cross_entropy(minus, 1 - bit))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_hash_proxy_loss(temperature: float):
    found = hash_proxy_loss(TEACHER, PROXIES, LABELS, temperature)
    assert float(found) == pytest.approx(proxy_oracle(temperature))
    inputs = (TEACHER.clone().requires_grad_(), PROXIES.clone().requires_grad_())
    assert torch.autograd.gradcheck(lambda h, p: hash_proxy_loss(h, p, LABELS, temperature), inputs)


@pytest.mark.parametrize("sigma", [0.5, 0.2])
def test_quantisation_loss(sigma: float):
    assert float(bce_quantisation_loss(TEACHER, sigma)) == pytest.approx(quantisation_oracle(sigma))
    assert torch.autograd.gradcheck(lambda h: bce_quantisation_loss(h, sigma), (TEACHER.clone().requires_grad_(),))


def test_quantisation_is_least_at_the_corners_and_finite_everywhere():
    codes = torch.tensor([-1.0, -0.7, 0.0, 0.7, 1.0], requires_grad=True)
    losses = torch.stack([bce_quantisation_loss(code, 0.5) for code in codes])
    assert losses[0] == losses[4] < losses[1] == losses[3] < losses[2]
    losses.sum().backward()
    assert torch.isfinite(codes.grad).all()


def test_the_whole_loss_and_who_gets_its_gradient(params: Params, data: RetrievalData):
    """The first view is the teacher's: it learns from proxies and quantisation, the student from the teacher."""
    module = dhd.build(params, data)
    teacher, student = (codes.clone().requires_grad_() for codes in (TEACHER, STUDENT))
    module.net = Given(teacher, student)
    module.proxies = nn.Parameter(PROXIES.clone())
    images = torch.zeros(3, 3, 8, 8, dtype=torch.uint8)
    loss, figures = module.loss(module.view(images), {"images": images, "items": LABELS, "categories": LABELS})
    method = params.dhd
    distilled = sum(1 - cosine(*pair) for pair in zip(STUDENT.tolist(), TEACHER.tolist(), strict=True)) / 3
    proxies, quantised = proxy_oracle(method.temperature), quantisation_oracle(method.quantisation_sigma)
    expected = proxies + method.distillation_weight * distilled + method.quantisation_weight * quantised
    assert loss.item() == pytest.approx(expected)
    assert [float(figures[n]) for n in ("proxy", "distillation", "quantisation")] == pytest.approx(
        [proxies, distilled, quantised]
    )
    loss.backward()
    alone = TEACHER.clone().requires_grad_()
    (hash_proxy_loss(alone, PROXIES, LABELS, method.temperature)
     + method.quantisation_weight * bce_quantisation_loss(alone, method.quantisation_sigma)).backward()  # fmt: skip
    assert torch.allclose(teacher.grad, alone.grad)
    assert student.grad.abs().sum() > 0


def test_the_teachers_view_is_the_weaker_one(params: Params, data: RetrievalData):
    module = dhd.build(params.model_copy(update={"dhd": params.dhd.model_copy(update={"teacher_share": 0.0})}), data)
    seen: list[torch.Tensor] = []
    whole = module.net.forward
    module.net.forward = lambda images: seen.append(images) or whole(images)
    images = data.train.images[:4]
    module.loss(module.view(images), {name: torch.arange(4) for name in ("items", "categories")} | {"images": images})
    teacher, student = seen
    assert torch.equal(teacher, images.float() / 255)
    assert not torch.allclose(student, teacher, atol=0.05)


@pytest.mark.slow
def test_proxies_stay_float32_in_half_precision(params: Params, data: RetrievalData, tmp_path: Path):
    module, _ = build_of(dhd, params, data)()
    start = module.proxies.detach().clone()
    half = params.base.model_copy(update={"precision": "bf16-mixed"})
    history = fit(module, data, FitPlan("dhd", 1, 1, MONITOR, "max", trainer=UNMEASURED), half, tmp_path)
    assert module.proxies.dtype == torch.float32
    moved = (module.proxies - start).abs().max()
    assert 0 < moved < 1
    assert all(math.isfinite(value) for curve in history.values() for _, value in curve)


@pytest.mark.slow
def test_a_killed_training_ends_with_the_same_bytes(params: Params, data: RetrievalData, tmp_path: Path):
    resumed_equals_whole(build_of(dhd, params, data), FitPlan("dhd", 4, 10, MONITOR, "max"), params, tmp_path)


@pytest.mark.slow
def test_it_overfits_eight_items(params: Params, data: RetrievalData, tmp_path: Path):
    codes_part_eight_items(dhd, params, data, tmp_path)
