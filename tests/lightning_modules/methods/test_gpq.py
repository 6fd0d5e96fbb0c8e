"""Generalized Product Quantization: each loss against explicit loops over hand-placed points, the mini-max, the training."""

from __future__ import annotations

import math
from itertools import chain
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from croquis.params import Params
from lightning_modules.bases.retrieval_module import MONITOR
from lightning_modules.data.retrieval_data import RetrievalData
from lightning_modules.methods import gpq
from lightning_modules.methods.gpq import entropy_loss, n_pair_loss, prototype_logits, reverse_gradient, soft_assign
from lightning_modules.training.fit import FitPlan, fit
from tests.support.training.trainings import UNMEASURED, build_of, codes_part_eight_items, resumed_equals_whole

# Directions in degrees: features of five images, raw words and raw prototypes, each in two sub-spaces of two numbers.
FEATURES = [[10, 80], [25, 120], [200, 260], [190, 300], [95, 15]]
UNLABELLED = [[40, 100], [170, 280], [330, 5]]
WORDS = [[(0, 0.3), (90, 1.0), (180, 0.5)], [(45, 0.2), (135, 0.8), (300, 1.4)]]
PROTOTYPES = [[(5, 2.0), (100, 0.5), (210, 1.0), (300, 0.7)], [(90, 1.0), (20, 0.4), (270, 3.0), (150, 0.9)]]
LABELS = torch.tensor([0, 0, 2, 2, 1])


def at(degrees: float, length: float = 1.0) -> list[float]:
    return [length * math.cos(math.radians(degrees)), length * math.sin(math.radians(degrees))]


def directions(rows: list[list[int]]) -> Tensor:
    return torch.tensor([[at(d) for d in row] for row in rows], dtype=torch.float64)


def books(rows: list[list[tuple[float, float]]]) -> Tensor:
    return torch.tensor([[at(*entry) for entry in row] for row in rows], dtype=torch.float64)


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def unit(x: list[float]) -> list[float]:
    return [v / math.hypot(*x) for v in x]


def softmax(logits: list[float]) -> list[float]:
    powers = [math.exp(v) for v in logits]
    return [p / sum(powers) for p in powers]


def assign_oracle(x: list[float], book: list[list[float]], sharpness: float) -> list[float]:
    weights = softmax([-sharpness * (1 - dot(x, y)) for y in book])
    return unit([sum(w * y[i] for w, y in zip(weights, book, strict=True)) for i in range(2)])


def table_oracle(sharpness: float) -> list[list[list[float]]]:
    unit_prototypes = [[unit(c) for c in row] for row in books(PROTOTYPES).tolist()]
    words = books(WORDS).tolist()
    return [[assign_oracle(w, cs, sharpness) for w in row] for row, cs in zip(words, unit_prototypes, strict=True)]


def n_pair_oracle(parts: Tensor, quantised: list[list[list[float]]], labels: list[int]) -> float:
    total = 0.0
    for i, row in enumerate(parts.tolist()):
        chances = softmax([sum(dot(x, y) for x, y in zip(row, q, strict=True)) for q in quantised])
        partners = [j for j in range(len(labels)) if labels[j] == labels[i]]
        total -= sum(math.log(chances[j]) for j in partners) / len(partners)
    return total / len(labels)


def logits_oracle(parts: Tensor, scale: float) -> list[list[float]]:
    prototypes = [[unit(c) for c in row] for row in books(PROTOTYPES).tolist()]

    def logit(row: list[list[float]], c: int) -> float:
        return sum(dot([scale * v for v in row[m]], [scale * v for v in prototypes[m][c]]) for m in range(2)) / 2

    return [[logit(row, c) for c in range(4)] for row in parts.tolist()]


def classification_oracle(parts: Tensor, scale: float) -> float:
    rows = zip(logits_oracle(parts, scale), LABELS.tolist(), strict=True)
    return -sum(math.log(softmax(row)[label]) for row, label in rows) / len(parts)


def entropy_oracle(parts: Tensor, scale: float) -> float:
    chances = [softmax(row) for row in logits_oracle(parts, scale)]
    return sum(p * math.log(p) for row in chances for p in row) / len(chances)


@pytest.mark.parametrize("sharpness", [2.0, 20.0])
def test_soft_assignment(sharpness: float):
    x, y = directions(FEATURES), books(WORDS)
    found = soft_assign(x, y, sharpness)
    for b in range(5):
        for m in range(2):
            expected = assign_oracle(x[b, m].tolist(), y[m].tolist(), sharpness)
            assert found[b, m].tolist() == pytest.approx(expected)
    inputs = (x.requires_grad_(), y.requires_grad_())
    assert torch.autograd.gradcheck(lambda a, b: soft_assign(a, b, sharpness), inputs)


def test_n_pair_loss():
    parts, quantised = directions(FEATURES), directions([[20, 90], [5, 100], [220, 250], [180, 310], [80, 30]])
    found = n_pair_loss(parts, quantised, LABELS)
    assert float(found) == pytest.approx(n_pair_oracle(parts, quantised.tolist(), LABELS.tolist()))
    inputs = (parts.requires_grad_(), quantised.requires_grad_())
    assert torch.autograd.gradcheck(lambda x, q: n_pair_loss(x, q, LABELS), inputs)


@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_prototype_logits_and_entropy(scale: float):
    parts, prototypes = directions(FEATURES), books(PROTOTYPES)
    logits = prototype_logits(parts, prototypes, scale)
    for found, expected in zip(logits.tolist(), logits_oracle(parts, scale), strict=True):
        assert found == pytest.approx(expected)
    assert float(entropy_loss(logits)) == pytest.approx(entropy_oracle(parts, scale))
    inputs = (parts.requires_grad_(), prototypes.requires_grad_())
    assert torch.autograd.gradcheck(lambda x, c: entropy_loss(prototype_logits(x, c, scale)), inputs)


def test_entropy_is_between_minus_log_classes_and_zero_and_finite():
    flat, sure = torch.zeros(2, 5), torch.tensor([[1e4, 0, 0, 0, 0.0]], requires_grad=True)
    assert float(entropy_loss(flat)) == pytest.approx(-math.log(5))
    loss = entropy_loss(sure)
    loss.backward()
    assert float(loss.detach()) == 0
    assert torch.isfinite(sure.grad).all()


def test_reversal_keeps_the_value_and_turns_the_gradient():
    x = torch.tensor([0.1, -3.0, 7.0], requires_grad=True)
    assert torch.equal(reverse_gradient(x), x)
    (reverse_gradient(x) * torch.tensor([1.0, 2.0, -3.0])).sum().backward()
    assert x.grad.tolist() == [-1.0, -2.0, 3.0]


def reversed_gradients(features: Tensor, prototypes: Tensor) -> tuple[Tensor, Tensor]:
    loss = entropy_loss(prototype_logits(reverse_gradient(features), prototypes, 2.0))
    return torch.autograd.grad(loss, (features, prototypes))


def test_prototypes_raise_the_entropy_and_features_lower_it():
    features, prototypes = directions(UNLABELLED).requires_grad_(), books(PROTOTYPES).requires_grad_()
    plain = torch.autograd.grad(entropy_loss(prototype_logits(features, prototypes, 2.0)), (features, prototypes))
    of_features, of_prototypes = reversed_gradients(features, prototypes)
    assert torch.allclose(of_features, -plain[0])
    assert torch.allclose(of_prototypes, plain[1])
    with torch.no_grad():

        def entropy(x: Tensor, c: Tensor) -> float:
            return -float(entropy_loss(prototype_logits(x, c, 2.0)))

        before = entropy(features, prototypes)
        assert entropy(features, prototypes - 0.05 * of_prototypes) > before + 1e-4
        assert entropy(features - 0.05 * of_features, prototypes) < before - 1e-4


@pytest.fixture
def placed(params: Params, data: RetrievalData) -> gpq.Gpq:
    """A module with the words and prototypes above."""
    chosen = params.gpq.model_copy(update={"subspaces": 2, "subspace_dim": 2, "unlabelled_per_batch": 3})
    module = gpq.build(params.model_copy(update={"gpq": chosen}), data)
    module.net.words, module.net.prototypes = nn.Parameter(books(WORDS)), nn.Parameter(books(PROTOTYPES))
    return module


def test_the_table_is_made_of_prototypes_and_feeds_them(placed: gpq.Gpq):
    table = placed.net.codebooks
    for row, expected in zip(table.tolist(), table_oracle(20.0), strict=True):
        assert row == [pytest.approx(word) for word in expected]
    assert torch.allclose(table.norm(dim=2), torch.ones(2, 3, dtype=torch.float64))
    table.square().mul(torch.rand_like(table)).sum().backward()
    assert placed.net.words.grad.abs().sum() > 0
    assert placed.net.prototypes.grad.abs().sum() > 0


def test_the_whole_loss(placed: gpq.Gpq, params: Params, monkeypatch: pytest.MonkeyPatch):
    labelled, unlabelled = directions(FEATURES).requires_grad_(), directions(UNLABELLED).requires_grad_()
    given = iter([labelled.flatten(1), unlabelled.flatten(1)])
    monkeypatch.setattr(placed.net, "forward", lambda _images: next(given))
    images = torch.zeros(5, 3, 8, 8, dtype=torch.uint8)
    loss, figures = placed.loss(placed.view(images), {"images": images, "items": LABELS, "categories": LABELS * 0})
    table, parts, method = table_oracle(20.0), labelled.detach(), params.gpq
    quantised = [[assign_oracle(x, table[m], 20.0) for m, x in enumerate(row)] for row in parts.tolist()]
    terms = {
        "n_pair": n_pair_oracle(parts, quantised, LABELS.tolist()),
        "classification": classification_oracle(parts, 4.0),
        "entropy": entropy_oracle(unlabelled.detach(), 4.0),
    }
    assert {name: float(figures[name]) for name in terms} == pytest.approx(terms)
    weighted = method.classification_weight * terms["classification"] + method.entropy_weight * terms["entropy"]
    assert (method.classification_weight, method.entropy_weight) == (0.1, 0.1)
    assert loss.item() == pytest.approx(terms["n_pair"] + weighted)
    loss.backward()
    plain = unlabelled.detach().requires_grad_()
    entropy_loss(prototype_logits(plain, books(PROTOTYPES), 4.0)).backward()
    assert torch.allclose(unlabelled.grad, -0.1 * plain.grad)
    assert all(values.grad.abs().sum() > 0 for values in (labelled, placed.net.words, placed.net.prototypes))


def test_features_have_sub_vectors_of_length_one(params: Params, data: RetrievalData):
    features = gpq.build(params, data)(data.train.images[:].float() / 255)
    assert torch.allclose(features.view(len(features), 8, 6).norm(dim=2), torch.ones(len(features), 8), atol=1e-5)


def test_labels_are_items_or_categories(params: Params, data: RetrievalData):
    by_item = gpq.build(params, data)
    category = params.gpq.model_copy(update={"labels": "category"})
    by_category = gpq.build(params.model_copy(update={"gpq": category}), data)
    assert by_item.net.prototypes.shape == (8, 8, 6)
    assert by_category.net.prototypes.shape == (8, 2, 6)
    for rows in by_item.sampler(0):
        items = data.train.items[rows]
        assert all((items == item).sum() >= 2 for item in items)
    assert sorted(chain(*by_category.sampler(0))) == list(range(len(data.train)))


def with_unlabelled(data: RetrievalData, count: int) -> RetrievalData:
    images = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(count, 3, 32, 32)
    return RetrievalData(data.train, data.val, data.val_is_query, data.categories, images)


@pytest.mark.slow
def test_every_unlabelled_image_is_seen_in_its_turn(params: Params, data: RetrievalData, tmp_path: Path):
    module = gpq.build(params, with_unlabelled(data, 20))
    seen: list[int] = []
    whole = module.unlabelled

    def noting(turn: int) -> Tensor:
        images = whole(turn)
        seen.extend(images[:, 0, 0, 0].tolist())
        return images

    module.unlabelled = noting
    module.data.use_sampler(module.sampler(0))
    fit(module, module.data, FitPlan("gpq", 5, 5, MONITOR, "max"), params.base, tmp_path)
    assert len(seen) == 5 * len(module.sampler(0)) * params.gpq.unlabelled_per_batch >= 40
    for start in range(0, len(seen) - 19, 20):
        assert sorted(seen[start : start + 20]) == list(range(20))
    assert seen[:20] != seen[20:40]


def test_an_entropy_weight_of_zero_leaves_unlabelled_images_out(params: Params, data: RetrievalData):
    off = params.gpq.model_copy(update={"entropy_weight": 0.0})
    module = gpq.build(params.model_copy(update={"gpq": off}), data)
    module.unlabelled = lambda _turn: pytest.fail("asked for unlabelled images")
    batch = {"images": data.train.images[:8], "items": torch.from_numpy(data.train.items[:8])}
    loss, figures = module.loss(module.view(batch["images"]), batch)
    assert float(figures["entropy"]) == 0
    assert float(loss) == pytest.approx(float(figures["n_pair"] + 0.1 * figures["classification"]))


def test_prototypes_stay_float32_in_half_precision(params: Params, data: RetrievalData, tmp_path: Path):
    module, _ = build_of(gpq, params, data)()
    start = module.net.prototypes.detach().clone()
    half = params.base.model_copy(update={"precision": "bf16-mixed"})
    history = fit(module, data, FitPlan("gpq", 1, 1, MONITOR, "max", trainer=UNMEASURED), half, tmp_path)
    assert module.net.prototypes.dtype == module.net.words.dtype == module.net.codebooks.dtype == torch.float32
    assert (module.net.prototypes - start).abs().max() > 0
    assert all(math.isfinite(value) for curve in history.values() for _, value in curve)


@pytest.mark.slow
def test_a_killed_training_ends_with_the_same_bytes(params: Params, data: RetrievalData, tmp_path: Path):
    plan = FitPlan("gpq", 4, 10, MONITOR, "max")
    resumed_equals_whole(build_of(gpq, params, with_unlabelled(data, 7)), plan, params, tmp_path)


@pytest.mark.slow
def test_it_overfits_eight_items(params: Params, data: RetrievalData, tmp_path: Path):
    """All images in every batch, so that batch norm sees in training what it sees in validation."""
    whole = params.gpq.model_copy(update={"items_per_batch": 8, "unlabelled_per_batch": 32})
    codes_part_eight_items(gpq, params.model_copy(update={"gpq": whole}), data, tmp_path)
