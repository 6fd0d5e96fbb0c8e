"""Self-supervised Product Quantization: both losses against explicit loops, who sees labels, the training as a whole."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from croquis.params import Params
from lightning_modules.bases import pq_module
from lightning_modules.bases.retrieval_module import MONITOR
from lightning_modules.data.retrieval_data import ImageSet, RetrievalData
from lightning_modules.methods import spq
from lightning_modules.methods.spq import paper_loss, reference_loss
from lightning_modules.training.fit import FitPlan, fit
from lightning_modules.training.numerics import prepare_torch
from tests.support.training.trainings import (
    build_of,
    codes_part_eight_items,
    cosine,
    fitted,
    for_overfitting,
    resumed_equals_whole,
)

X_A = torch.tensor([[0.9, -0.8, 0.1], [0.1, 0.3, -0.7], [-0.5, -0.95, 0.4]], dtype=torch.float64)
X_B = torch.tensor([[0.7, -0.2, 0.3], [0.4, 0.9, -0.1], [-0.8, -0.1, 0.6]], dtype=torch.float64)
Z_A = torch.tensor([[0.5, -1.0, 0.0], [0.0, 0.5, -0.5], [-1.0, -1.0, 0.5]], dtype=torch.float64)
Z_B = torch.tensor([[1.0, -0.5, 0.5], [0.5, 0.5, 0.0], [-0.5, -0.5, 1.0]], dtype=torch.float64)
VIEWS = (X_A, X_B, Z_A, Z_B)


def reference_oracle(x_a: Tensor, x_b: Tensor, z_a: Tensor, z_b: Tensor, temperature: float) -> float:
    total, count = 0.0, len(x_a)
    for rows in ([*x_a, *z_b], [*x_b, *z_a]):
        for i in range(2 * count):
            powers = {j: math.exp(cosine(rows[i], rows[j]) / temperature) for j in range(2 * count) if j != i}
            partner = i + count if i < count else i - count
            total -= math.log(powers[partner] / sum(powers.values()))
    return total / (2 * count)


def paper_oracle(x_a: Tensor, x_b: Tensor, z_a: Tensor, z_b: Tensor, temperature: float) -> float:
    total, count = 0.0, len(x_a)
    for x, z in ((x_a, z_b), (x_b, z_a)):
        for i in range(count):
            powers = [math.exp(cosine(x[i], z[j]) / temperature) for j in range(count)]
            total -= math.log(powers[i] / sum(powers))
    return total / (2 * count)


ORACLES = {"reference": (reference_loss, reference_oracle), "paper": (paper_loss, paper_oracle)}


@pytest.mark.parametrize("temperature", [0.5, 0.1])
@pytest.mark.parametrize("negatives", ORACLES)
def test_loss(negatives: str, temperature: float):
    loss, oracle = ORACLES[negatives]
    assert float(loss(*VIEWS, temperature)) == pytest.approx(oracle(*VIEWS, temperature))
    inputs = tuple(view.clone().requires_grad_() for view in VIEWS)
    assert torch.autograd.gradcheck(lambda *views: loss(*views, temperature), inputs)


def test_in_the_paper_features_are_no_negatives_of_features():
    """Two features that move together and keep their cosines to the quantised vectors cost the same."""
    x = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
    near = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    far = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]], dtype=torch.float64)
    assert float(paper_loss(near, near, x, x, 0.5)) == pytest.approx(float(paper_loss(far, far, x, x, 0.5)))
    assert float(reference_loss(near, near, x, x, 0.5)) > float(reference_loss(far, far, x, x, 0.5)) + 0.1


def with_spq(params: Params, **changes: object) -> Params:
    return params.model_copy(update={"spq": params.spq.model_copy(update=changes)})


def soft_oracle(x: list[float], book: list[list[float]], sharpness: float) -> list[float]:
    powers = [math.exp(-sharpness * sum((a - b) ** 2 for a, b in zip(x, word, strict=True))) for word in book]
    return [sum(p * word[i] for p, word in zip(powers, book, strict=True)) / sum(powers) for i in range(len(x))]


@pytest.mark.parametrize("negatives", ORACLES)
def test_the_whole_loss(params: Params, data: RetrievalData, monkeypatch: pytest.MonkeyPatch, negatives: str):
    chosen = with_spq(
        params, negatives=negatives, subspaces=3, subspace_dim=1, temperature=0.5, quantiser_sharpness=5.0
    )
    module = spq.build(chosen, data)
    books = torch.tensor([[[-1.0], [0.2], [0.8]]] * 3, dtype=torch.float64)
    module.net.words = nn.Parameter(books)
    first, second = X_A.clone().requires_grad_(), X_B.clone().requires_grad_()
    given = iter([first, second])
    monkeypatch.setattr(module.net, "forward", lambda _images: next(given))
    images = torch.zeros(3, 3, 8, 8, dtype=torch.uint8)
    loss, _ = module.loss(module.view(images), {"images": images, "rows": torch.arange(3)})
    z_a, z_b = (
        torch.tensor(
            [[soft_oracle([v], books[0].tolist(), 5.0)[0] for v in row] for row in x.tolist()], dtype=torch.float64
        )
        for x in (X_A, X_B)
    )
    assert float(loss) == pytest.approx(ORACLES[negatives][1](X_A, X_B, z_a, z_b, 0.5))
    loss.backward()
    assert all(values.grad.abs().sum() > 0 for values in (first, second, module.net.words))


def at_start(params: Params, data: RetrievalData, start: str) -> spq.SpqNet:
    chosen = with_spq(params, centre=False, start=start, subspaces=8, subspace_dim=16, codewords=16)
    torch.manual_seed(3)
    return spq.build(chosen, data).net


@pytest.mark.parametrize("start", ["current", "first_upload"])
def test_the_two_starts(params: Params, data: RetrievalData, start: str):
    """Glorot & Bengio's limits for the linear layer (channels, 128) and the table of words (16, 128)."""
    net = at_start(params, data, start)
    project, words = net.head[2], net.words.detach()
    gain = 1.0 if start == "current" else 0.1
    for weights, sides in ((project.weight.detach(), sum(project.weight.shape)), (words, 16 + 128)):
        assert float(weights.std()) == pytest.approx(gain * math.sqrt(2 / sides), rel=0.05)
        uniform_limit = gain * math.sqrt(6 / sides)
        assert (float(weights.abs().max()) <= uniform_limit) == (start == "current")
    assert (project.bias is not None) == (start == "current")


def test_only_from_the_current_start_do_soft_quantised_vectors_of_different_images_differ(
    params: Params, data: RetrievalData
):
    """The first upload's all point one way (cosine above 0.99), so that they tell nothing of their images."""
    cosines = {}
    for start in ("current", "first_upload"):
        net = at_start(params, data, start)
        with torch.no_grad():
            features = net.head(torch.rand(64, net.backbone.channels).abs())
            z = pq_module.soft_quantise(pq_module.sub_vectors(features, 8), net.codebooks, 5.0).flatten(1)
        unit = nn.functional.normalize(z, dim=1)
        cosines[start] = float((unit @ unit.T).fill_diagonal_(0).sum() / (64 * 63))
    assert cosines["first_upload"] > 0.99
    assert cosines["current"] < cosines["first_upload"]


def test_with_centre_the_start_plays_no_part(params: Params, data: RetrievalData):
    nets = []
    for start in ("current", "first_upload"):
        torch.manual_seed(3)
        nets.append(spq.build(with_spq(params, centre=True, start=start), data).net.state_dict())
    assert all(torch.equal(nets[0][name], nets[1][name]) for name in nets[0])
    assert len(nets[0]) == len(nets[1])


def test_two_views_of_one_image_are_compared_and_differ(params: Params, data: RetrievalData):
    module = spq.build(with_spq(params, positives="views"), data)
    seen: list[Tensor] = []
    whole = module.net.forward
    module.net.forward = lambda images: seen.append(images) or whole(images)
    images = data.train.images[:4]
    module.loss(module.view(images), {"images": images, "rows": torch.arange(4)})
    first, second = seen
    assert not torch.allclose(first, second, atol=0.05)
    original = images.float() / 255
    for view in seen:
        nearest = torch.cdist(view.mean(dim=(2, 3)), original.mean(dim=(2, 3)))
        assert nearest.diagonal().mean() < nearest.mean()


@pytest.mark.slow
def test_without_labels_no_label_matters(params: Params, data: RetrievalData, tmp_path: Path):
    """Other items, categories and domains in training give the same weights to the bit."""
    count = len(data.train)
    turned = replace(
        data.train,
        items=data.train.items[::-1].copy(),
        categories=np.arange(count) % 2,
        domains=np.full(count, "shop", dtype=object),
    )
    chosen, plan = with_spq(params, positives="views"), FitPlan("spq", 2, 5, MONITOR, "max")
    weights = []
    for name, train in (("as-it-is", data.train), ("turned", turned)):

        def build(train=train):
            module = spq.build(chosen, RetrievalData(train, data.val, data.val_is_query, data.categories))
            module.data.use_sampler(module.sampler(params.base.seed))
            return module, module.data

        weights.append(fitted(build, plan, params, tmp_path / name, None)[0])
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_unlabelled_images_train_too_but_only_by_their_views(params: Params, data: RetrievalData):
    unlabelled = torch.randint(0, 255, (5, 3, 32, 32), dtype=torch.uint8)
    more = RetrievalData(data.train, data.val, data.val_is_query, data.categories, unlabelled)
    by_view = spq.build(with_spq(params, positives="views"), more)
    assert torch.equal(by_view.data.train.images[:], torch.cat([data.train.images[:], unlabelled]))
    assert sorted(row for rows in by_view.sampler(0) for row in rows) == list(range(len(data.train) + 5))
    by_item = spq.build(with_spq(params, positives="item"), more)
    assert by_item.data.train is data.train


def test_partners_are_photos_of_the_item_in_the_other_domain_where_there_are_any(data: RetrievalData):
    domains = data.train.domains.copy()
    domains[data.train.items == 0] = "shop"
    items = data.train.items.copy()
    alone = int(np.flatnonzero(items == 1)[0])
    items[alone] = 99
    images = replace(data.train, domains=domains, items=items)
    for row, found in enumerate(spq.partners(images)):
        others = [j for j in range(len(images)) if j != row and items[j] == items[row]]
        across = [j for j in others if domains[j] != domains[row]]
        assert found.tolist() == (across or others or [row])
    assert spq.partners(images)[alone].tolist() == [alone]


@pytest.mark.slow
def test_with_item_positives_the_second_view_shows_a_partner_of_another_item_than_the_rest(
    params: Params, data: RetrievalData
):
    module = spq.build(with_spq(params, positives="item", batch_size=8), data)
    seen: set[tuple[int, int]] = set()
    for seed in range(20):
        torch.manual_seed(seed)
        rows = torch.arange(len(data.train))
        second = module._second_images({"images": data.train.images[:], "rows": rows})
        for row, image in zip(rows.tolist(), second, strict=True):
            shown = [j for j in range(len(data.train)) if torch.equal(data.train.images[j], image)]
            assert set(shown) & set(spq.partners(data.train)[row].tolist())
            seen.add((row, shown[0]))
    assert len(seen) > len(data.train)
    for rows in module.sampler(0):
        assert len(set(data.train.items[rows])) == len(rows)


@pytest.mark.parametrize("positives", ["views", "item"])
@pytest.mark.slow
def test_a_killed_training_ends_with_the_same_bytes(
    params: Params, data: RetrievalData, tmp_path: Path, positives: str
):
    chosen = with_spq(params, positives=positives)
    resumed_equals_whole(build_of(spq, chosen, data), FitPlan("spq", 4, 10, MONITOR, "max"), params, tmp_path)


def test_codebooks_stay_float32_in_half_precision(params: Params, data: RetrievalData, tmp_path: Path):
    module, _ = build_of(spq, params, data)()
    start = module.net.words.detach().clone()
    half = params.base.model_copy(update={"precision": "bf16-mixed"})
    history = fit(module, data, FitPlan("spq", 1, 1, MONITOR, "max"), half, tmp_path)
    assert module.net.codebooks.dtype == torch.float32
    assert (module.net.words - start).abs().max() > 0
    assert all(math.isfinite(value) for curve in history.values() for _, value in curve)


@pytest.mark.slow
def test_it_overfits_eight_items(params: Params, data: RetrievalData, tmp_path: Path):
    chosen = with_spq(params, positives="item", temperature=0.2)
    codes_part_eight_items(spq, chosen, data, tmp_path)


def photos(images: ImageSet, rows: npt.NDArray[np.int64], domain: str) -> ImageSet:
    names = ("items", "categories", "image_ids", "item_ids", "attributes")
    kept = {name: getattr(images, name)[rows] for name in names}
    return replace(images, images=images.images[rows], domains=np.full(len(rows), domain, dtype=object), **kept)


@pytest.mark.slow
def test_by_views_it_tells_eight_images_apart(params: Params, data: RetrievalData, tmp_path: Path):
    """One photo of each item, which is query and gallery: after training each finds its own code first."""
    prepare_torch(0, 1)
    one_of_each = np.unique(data.train.items, return_index=True)[1]
    val = photos(data.train, np.concatenate([one_of_each, one_of_each]), "shop")
    is_query = np.arange(16) < 8
    train = photos(data.train, one_of_each, "shop")
    chosen = for_overfitting(with_spq(params, positives="views", temperature=0.2), "spq", 25)
    module = spq.build(chosen, RetrievalData(train, val, is_query, data.categories))
    module.data.use_sampler(module.sampler(0))
    history = fit(module, module.data, FitPlan("overfit", 25, 25, MONITOR, "max"), params.base, tmp_path)
    first, *_, last = [value for _, value in history["val/shop_to_shop/hit_at_1"]]
    assert first < 1
    assert last == 1
