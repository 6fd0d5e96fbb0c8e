"""The losses of the game against explicit loops."""

import math

import pytest
import torch

from lightning_modules.losses.adversarial import fooling_loss, judge

REAL, MADE = [1.7, -0.4, 0.3], [-2.0, 0.6, -0.1]


def log_loss(logit: float, real: bool) -> float:
    probability = 1 / (1 + math.exp(-logit))
    return -math.log(probability if real else 1 - probability)


def test_bce_and_hinge_against_loops():
    real, made = torch.tensor(REAL), torch.tensor(MADE)
    bce = judge(real, made, "bce")
    assert bce.real.item() == pytest.approx(sum(log_loss(x, True) for x in REAL) / 3)
    assert bce.made.item() == pytest.approx(sum(log_loss(x, False) for x in MADE) / 3)
    assert bce.loss.item() == pytest.approx((bce.real.item() + bce.made.item()) / 2)
    assert fooling_loss(made, "bce").item() == pytest.approx(sum(log_loss(x, True) for x in MADE) / 3)
    hinge = judge(real, made, "hinge")
    assert hinge.real.item() == pytest.approx(sum(max(0.0, 1 - x) for x in REAL) / 3)
    assert hinge.made.item() == pytest.approx(sum(max(0.0, 1 + x) for x in MADE) / 3)
    assert fooling_loss(made, "hinge").item() == pytest.approx(-sum(MADE) / 3)


def test_accuracy_is_the_share_judged_rightly():
    assert judge(torch.tensor(REAL), torch.tensor(MADE), "bce").accuracy.item() == pytest.approx(4 / 6)


@pytest.mark.parametrize("kind", ["bce", "hinge"])
def test_gradients(kind: str):
    real, made = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (REAL, MADE))
    assert torch.autograd.gradcheck(lambda a, b: judge(a, b, kind).loss, (real, made))
    assert torch.autograd.gradcheck(lambda b: fooling_loss(b, kind), (made,))
