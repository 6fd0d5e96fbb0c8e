"""Every published loss against numbers that stand alone: value and gradient at fixed inputs.

The numbers were computed once, on 2026-11-29, in float64 and without torch: the formula of each source restated in explicit
loops over Python's numbers, the gradient by central differences with Richardson's extrapolation. Official code of the same
formula, run beside it, gave the same value of `spq reference` to 12 digits. Nothing here is copied from any code.

Where the formulas stand (all read in 2026-11):
  spq reference, spq soft quantiser: CQCLoss and Soft_Quantization of youngkyunJang/SPQ, a0c7414 of 2021-12-12
  spq paper: the figure of arXiv 2109.02244: x of one view against z of the other alone
  dhd: arXiv 2112.08816, and youngkyunJang/Deep-Hash-Distillation at HEAD
  gpq: arXiv 2002.11281, and Functions.py of youngkyunJang/GPQ, 2b3f4f5 of 2020-11-17; the N-pair loss without its constant
      penalty on lengths, the entropy without 1e-5 inside the logarithm
  triplet batch_hard: arXiv 1703.07737, the mean over all anchors that have a positive
  triplet semi_hard: Schroff et al. 2015, else the farthest negative as TensorFlow Addons' triplet_semihard_loss has it
  pix2pix: GANLoss `vanilla` of junyanz/pytorch-CycleGAN-and-pix2pix, 032e884; the discriminator's two halves averaged
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from lightning_modules.bases.hash_module import similarity_loss
from lightning_modules.bases.pq_module import intra_normalise, soft_quantise, sub_vectors
from lightning_modules.losses import triplet
from lightning_modules.losses.adversarial import fooling_loss, judge
from lightning_modules.methods.dhd import bce_quantisation_loss, hash_proxy_loss
from lightning_modules.methods.gpq import entropy_loss, n_pair_loss, prototype_logits, soft_assign
from lightning_modules.methods.spq import paper_loss, reference_loss

ROWS, COLUMNS = 5, 6


class Expected(NamedTuple):
    """Value, a row of the gradient by its number, and the length of the whole gradient."""

    value: float
    number: int
    row: list[float]
    length: float


def wave(rows: int, columns: int, phase: float) -> Tensor:
    """sin(1.3 i + 0.7 j (1 + 0.1 i) + phase), to six decimals: the same inputs in any language."""
    return torch.tensor(
        [[round(math.sin(1.3 * i + 0.7 * j * (1 + 0.1 * i) + phase), 6) for j in range(columns)] for i in range(rows)],
        dtype=torch.float64,
    )


def rounded(values: Tensor) -> Tensor:
    return torch.tensor([[round(value, 6) for value in row] for row in values.tolist()], dtype=torch.float64)


VIEW_A, VIEW_B, Z_A, Z_B = (wave(ROWS, COLUMNS, phase) for phase in (0.1, 0.9, 2.0, 3.1))
BOOKS = torch.stack([wave(4, 3, 0.3), wave(4, 3, 1.7)])
CODES, STUDENT, PROXIES = rounded(0.9 * wave(ROWS, COLUMNS, 0.4)), wave(ROWS, COLUMNS, 1.1), wave(4, COLUMNS, 2.2)
PARTS = rounded(intra_normalise(sub_vectors(VIEW_A, 2)).flatten(1))
PROTOTYPES = torch.stack([wave(3, 3, 0.8), wave(3, 3, 2.5)])
PLACES = rounded(torch.nn.functional.normalize(VIEW_A, dim=1))
ITEMS = torch.tensor([0, 0, 1, 1, 2])
REAL = wave(ROWS, COLUMNS, 0.6)
CLASSES, LABELS = torch.tensor([0, 3, 1, 1, 2]), torch.tensor([0, 0, 2, 1, 2])


def quantised(x: Tensor) -> Tensor:
    """Soft-quantised vectors, weighed so that each number counts."""
    return (soft_quantise(sub_vectors(x, 2), BOOKS, 5.0).flatten(1) * wave(ROWS, COLUMNS, 0.5)).sum()


def n_pair(x: Tensor) -> Tensor:
    parts = sub_vectors(x, 2)
    return n_pair_loss(parts, soft_assign(parts, intra_normalise(BOOKS), 20.0), LABELS)


def logits(x: Tensor) -> Tensor:
    return prototype_logits(sub_vectors(x, 2), PROTOTYPES, 4.0)


def triplets(x: Tensor, strategy: str) -> Tensor:
    distances = triplet.pairwise_distances(x, x)
    anchors, others = triplet.anchors_and_positives(distances, ITEMS, ITEMS < 0, "all", strategy)
    positive, allowed = distances[anchors, others], ITEMS[anchors, None] != ITEMS
    negative = triplet.in_batch_negatives(strategy, distances[anchors], allowed, positive)
    return triplet.triplet_losses(positive, negative, 0.2).mean()


LOSSES: dict[str, tuple[Tensor, Callable[[Tensor], Tensor]]] = {
    "spq reference": (VIEW_A, lambda x: reference_loss(x, VIEW_B, Z_A, Z_B, 0.5)),
    "spq paper": (VIEW_A, lambda x: paper_loss(x, VIEW_B, Z_A, Z_B, 0.5)),
    "spq soft quantiser": (VIEW_A, quantised),
    "dhd proxies": (CODES, lambda x: hash_proxy_loss(x, PROXIES, CLASSES, 0.2)),
    "dhd distillation": (CODES, lambda x: similarity_loss(x, STUDENT)),
    "dhd quantisation": (CODES, lambda x: bce_quantisation_loss(x, 0.5)),
    "gpq n-pair": (PARTS, n_pair),
    "gpq classification": (PARTS, lambda x: torch.nn.functional.cross_entropy(logits(x), LABELS)),
    "gpq entropy": (PARTS, lambda x: entropy_loss(logits(x))),
    "triplet batch_hard": (PLACES, lambda x: triplets(x, "batch_hard")),
    "triplet semi_hard": (PLACES, lambda x: triplets(x, "semi_hard")),
    "pix2pix discriminator": (VIEW_A, lambda x: judge(REAL, x, "bce").loss),
    "pix2pix generator": (VIEW_A, lambda x: fooling_loss(x, "bce")),
}
EXPECTED = {
    "spq reference": Expected(
        6.548557344,
        0,
        [-0.07509695, -0.038404, 0.00748436, 0.02333755, 0.00499578, -0.01698756],
        0.13562158,
    ),
    "spq paper": Expected(
        2.925653368,
        0,
        [-0.03467956, -0.01472315, 0.00418149, 0.00976228, 0.0037596, -0.00239684],
        0.06469076,
    ),
    "spq soft quantiser": Expected(
        11.876057564,
        4,
        [3.6885183, 5.57331182, 3.95633242, -0.28765173, -0.42725102, -0.34724683],
        8.10030124,
    ),
    "dhd proxies": Expected(
        2.744404855,
        4,
        [0.43940427, 0.39821948, 0.08049093, -0.28066712, -0.43690246, -0.29499688],
        1.46736179,
    ),
    "dhd distillation": Expected(
        0.227736001,
        2,
        [0.0496552, 0.03198054, -0.00696357, -0.0412764, -0.04813733, -0.02298336],
        0.18451055,
    ),
    "dhd quantisation": Expected(
        0.559147596,
        2,
        [-0.12926058, 0.05762372, 0.01358241, 0.05151287, -0.1402611, -0.03873531],
        0.41172000,
    ),
    "gpq n-pair": Expected(
        1.655377068,
        4,
        [0.25880577, 0.48032285, 0.40457003, 0.10655554, -4.689e-05, -0.09880483],
        0.91247231,
    ),
    "gpq classification": Expected(
        8.070857153,
        4,
        [1.09130459, 2.16863229, 2.01499361, 2.40178591, 0.38974305, -1.9014187],
        5.95914887,
    ),
    "gpq entropy": Expected(
        -0.010805619,
        1,
        [0.0229988, -0.02682972, -0.06562874, -0.07011582, -0.04093286, 0.0117305],
        0.11151669,
    ),
    "triplet batch_hard": Expected(
        0.278133650,
        1,
        [0.09296457, -0.25730383, -0.47037629, -0.4195949, -0.1307828, 0.23132235],
        1.36716768,
    ),
    "triplet semi_hard": Expected(
        0.101632429,
        2,
        [0.34235563, 0.34904037, 0.11796917, -0.19745678, -0.38238849, -0.31025053],
        1.15218343,
    ),
    "pix2pix discriminator": Expected(
        0.760447166,
        0,
        [0.00874896, 0.01120041, 0.0121761, 0.01152982, 0.00932548, 0.00651901],
        0.04878337,
    ),
    "pix2pix generator": Expected(
        0.735065986,
        2,
        [-0.0131584, -0.01985964, -0.0240054, -0.02351861, -0.01850365, -0.01197639],
        0.09469207,
    ),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_value_and_gradient_are_those_of_the_source(name: str):
    given, loss = LOSSES[name]
    expected, x = EXPECTED[name], given.clone().requires_grad_()
    found = loss(x)
    found.backward()
    assert float(found.detach()) == pytest.approx(expected.value, abs=2e-8)
    assert x.grad is not None
    assert x.grad[expected.number].tolist() == pytest.approx(expected.row, abs=1e-7)
    assert float(x.grad.norm()) == pytest.approx(expected.length, abs=2e-7)


def test_no_loss_is_left_out():
    assert set(LOSSES) == set(EXPECTED)
