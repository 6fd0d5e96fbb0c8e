"""CBIR-GAN: each term against loops, who moves in which step, and terms of weight 0."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor

from croquis.params import Params, ParamsError
from croquis.params.loader import parse_params, read_yaml
from lightning_modules.bases.retrieval_module import MONITOR
from lightning_modules.data.retrieval_data import RetrievalData
from lightning_modules.losses.adversarial import fooling_loss
from lightning_modules.methods import triplet_gan
from lightning_modules.methods.triplet_gan import Pass, TripletGan, build
from lightning_modules.nets.onnx_export import export_onnx
from lightning_modules.training.fit import FitPlan, fit
from lightning_modules.training.numerics import prepare_torch
from lightning_modules.training.result_sheet import draw_results
from lightning_modules.training.schedule import rate_factor
from tests.support.training.trainings import UNMEASURED, build_of, resumed_equals_whole

WEIGHTS = {
    "triplet_weight": 0.7,
    "reconstruction_weight": 0.5,
    "perceptual_weight": 0.3,
    "adversarial_weight": 0.2,
}
TERMS = {name.removesuffix("_weight"): weight for name, weight in WEIGHTS.items()}
EPOCH = FitPlan("triplet_gan", 1, 10, MONITOR, "max", trainer=UNMEASURED)


def changed(params: Params, **values: object) -> Params:
    return params.model_copy(update={"triplet_gan": params.triplet_gan.model_copy(update={**WEIGHTS, **values})})


def built(params: Params, data: RetrievalData, **values: object) -> TripletGan:
    prepare_torch(0, 1)
    module = build(changed(params, **values), data)
    data.use_sampler(module.sampler(0))
    return module


def first_batch(data: RetrievalData) -> dict[str, Tensor]:
    return next(iter(data.train_dataloader()))


def with_unlabelled(data: RetrievalData, count: int) -> RetrievalData:
    images = torch.randint(0, 255, (count, *data.train.images.shape[1:]), dtype=torch.uint8)
    return RetrievalData(data.train, data.val, data.val_is_query, data.categories, images)


POINTS = [[0.0, 0.1], [0.63, 0.21], [0.34, 0.92], [0.81, 0.74], [0.12, 0.57]]  # no ties
BATCH = {
    "items": torch.tensor([0, 0, 1, 1, 1]),
    "shop": torch.tensor([True, False, True, False, False]),
}


def triplets_by_loops(margin: float) -> float:
    """Semi-hard triplets on squared distances."""
    losses = []
    items, shop = BATCH["items"].tolist(), BATCH["shop"].tolist()
    squared = [[sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) for b in POINTS] for a in POINTS]
    for a in range(5):
        own = [p for p in range(5) if p != a and items[p] == items[a]]
        for p in [p for p in own if shop[p] != shop[a]] or own:
            others = [squared[a][n] for n in range(5) if items[n] != items[a]]
            negative = min((d for d in others if d > squared[a][p]), default=max(others))
            losses.append(max(0.0, margin + squared[a][p] - negative))
    return sum(losses) / len(losses)


def double_module(params: Params, data: RetrievalData, **values: object) -> TripletGan:
    return built(params, data, margin=0.4, negatives="semi_hard", positives="crossing", **values).double().eval()


@pytest.mark.parametrize("kind", ["bce", "hinge"])
def test_the_generators_loss_is_the_weighted_sum_of_its_terms(params: Params, data: RetrievalData, kind: str):
    module = double_module(params, data, adversarial_loss=kind)
    images, made = (torch.rand(5, 3, 32, 32, dtype=torch.float64) for _ in range(2))
    passed = Pass(images, torch.tensor(POINTS, dtype=torch.float64), made)
    loss, figures = module.generator_loss(passed, BATCH)
    distance = sum(abs(a - b) for a, b in zip(images.flatten().tolist(), made.flatten().tolist(), strict=True))
    expected = {
        "triplet": triplets_by_loops(0.4),
        "reconstruction": distance / images.numel(),
        "perceptual": module.perceptual(images, made).item(),
        "adversarial": fooling_loss(module.discriminator(made * 2 - 1), kind).item(),
    }
    assert {name: figures[name].item() for name in TERMS} == pytest.approx(expected)
    assert loss.item() == pytest.approx(sum(TERMS[name] * value for name, value in expected.items()))


def test_the_gradient_of_the_generators_loss(params: Params, data: RetrievalData):
    module = double_module(params, data)
    images = torch.rand(5, 3, 32, 32, dtype=torch.float64)
    direction = torch.rand_like(images)

    def loss(points: Tensor, shift: Tensor) -> Tensor:
        return module.generator_loss(Pass(images, points, 0.5 * images + shift * direction), BATCH)[0]

    points = torch.tensor(POINTS, dtype=torch.float64, requires_grad=True)
    shift = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, (points, shift))


def test_the_discriminator_pays_for_real_and_made_images_and_the_generator_gets_no_gradient_of_it(
    params: Params, data: RetrievalData
):
    module = built(params, data)
    passed = module.passed(module.view(first_batch(data)["images"]))
    verdict = module.verdict(passed)
    verdict.loss.backward()
    assert all(p.grad is not None for p in module.discriminator.parameters())
    assert all(p.grad is None for part in (module.net, module.decoder) for p in part.parameters())


def moved(before: dict[str, Tensor], module: TripletGan) -> set[str]:
    """Parts of which a parameter changed."""
    return {name.split(".")[0] for name, p in module.named_parameters() if not torch.equal(before[name], p)}


def test_each_step_moves_its_own_side_only(params: Params, data: RetrievalData, tmp_path: Path):
    module = built(params, data)
    steps, step = [], module._step

    def watched(optimiser: object, loss: Tensor) -> None:
        before = {name: p.detach().clone() for name, p in module.named_parameters()}
        step(optimiser, loss)
        steps.append(moved(before, module))

    module._step = watched
    history = fit(module, data, EPOCH, params.base, tmp_path)
    batches = len(data.train_dataloader())
    assert steps == [{"discriminator"}, {"net", "decoder"}] * batches
    names = {"loss", *TERMS, "mean_cosine", "embedding_std", "active_triplets"}
    names |= {f"discriminator_{name}" for name in ("real", "made", "accuracy")}
    assert {f"train/{name}" for name in names} <= set(history)


@pytest.mark.slow
@pytest.mark.parametrize("absent", list(WEIGHTS))
def test_a_weight_of_0_takes_out_the_term_and_its_net(params: Params, data: RetrievalData, tmp_path: Path, absent: str):
    module = built(params, data, **{absent: 0.0})
    assert (module.discriminator is None) == (absent == "adversarial_weight")
    assert (module.perceptual is None) == (absent == "perceptual_weight")
    assert module.decoder is not None
    batch = first_batch(data)
    loss, figures = module.loss(module.view(batch["images"]), batch)
    kept = {name: weight for name, weight in TERMS.items() if f"{name}_weight" != absent}
    assert set(figures) & set(TERMS) == set(kept)
    assert loss.item() == pytest.approx(sum(weight * figures[name].item() for name, weight in kept.items()), rel=1e-5)
    history = fit(module, data, EPOCH, params.base, tmp_path)
    assert f"train/{absent.removesuffix('_weight')}" not in history


def test_triplets_alone_need_no_decoder(params: Params, data: RetrievalData, tmp_path: Path):
    only = dict.fromkeys(WEIGHTS, 0.0) | {"triplet_weight": 1.0}
    module = built(params, data, **only)
    assert module.decoder is module.perceptual is module.discriminator is None
    assert module.generated(data.val.images[:2]) is None
    before = [p.detach().clone() for p in module.net.parameters()]
    fit(module, data, EPOCH, params.base, tmp_path)
    assert any(not torch.equal(a, b) for a, b in zip(before, module.net.parameters(), strict=True))


def test_an_ablation_starts_from_the_same_encoder(params: Params, data: RetrievalData):
    only = dict.fromkeys(WEIGHTS, 0.0) | {"triplet_weight": 1.0}
    whole, alone = built(params, data), built(params, data, **only)
    assert all(torch.equal(a, b) for a, b in zip(whole.net.parameters(), alone.net.parameters(), strict=True))


def test_all_weights_0_are_refused():
    values = read_yaml("params.yaml")
    values["triplet_gan"] |= dict.fromkeys(WEIGHTS, 0.0)
    with pytest.raises(ParamsError, match=r"triplet_gan.*all four weights are 0"):
        parse_params(values, methods=True)


def test_unlabelled_images_join_every_term_but_the_triplets(params: Params, data: RetrievalData):
    data = with_unlabelled(data, 9)
    module = built(params, data, unlabelled_per_batch=5)
    batch = first_batch(data)
    size = len(batch["items"])
    passed = module.passed(module.view(batch["images"]))
    assert passed.images.shape == passed.made.shape == (size + 5, 3, 32, 32)
    assert not torch.equal(passed.images[size], passed.images[size + 1])
    whole = module.generator_loss(passed, batch)[1]
    labelled = Pass(passed.images[:size], passed.embeddings[:size], passed.made[:size])
    assert whole["triplet"] == module.generator_loss(labelled, batch)[1]["triplet"]
    expected = np.abs((passed.images - passed.made).detach().numpy()).mean()
    assert whole["reconstruction"].item() == pytest.approx(float(expected), rel=1e-5)
    assert whole["reconstruction"] != module.generator_loss(labelled, batch)[1]["reconstruction"]


def test_where_all_images_are_labelled_none_is_drawn_again(params: Params, data: RetrievalData):
    module = built(params, data, unlabelled_per_batch=5)
    batch = first_batch(data)
    assert len(module.passed(module.view(batch["images"])).images) == len(batch["items"])


@pytest.mark.parametrize("normalise", [True, False])
def test_the_bottleneck_has_length_1_on_request(params: Params, data: RetrievalData, normalise: bool):
    module = built(params, data, normalise=normalise)
    lengths = module.bottleneck(torch.rand(6, 3, 32, 32)).norm(dim=1)
    assert torch.allclose(lengths, torch.ones(6), atol=1e-5) == normalise
    assert torch.allclose(module(torch.rand(6, 3, 32, 32)).norm(dim=1), torch.ones(6), atol=1e-5)


@pytest.mark.parametrize("kind", ["bce", "hinge"])
@pytest.mark.slow
def test_a_killed_training_ends_with_the_same_bytes(params: Params, data: RetrievalData, tmp_path: Path, kind: str):
    data = with_unlabelled(data, 9)
    chosen = changed(params, adversarial_loss=kind)
    plan = FitPlan("triplet_gan", 4, 10, MONITOR, "max")
    resumed_equals_whole(build_of(triplet_gan, chosen, data), plan, params, tmp_path)


@pytest.mark.slow
def test_both_learning_rates_follow_the_schedule(params: Params, data: RetrievalData, tmp_path: Path):
    module = built(params, data, fit=params.triplet_gan.fit.model_copy(update={"epochs": 2, "warmup_epochs": 1}))
    rates, step = [], module._step

    def watched(optimiser: LightningOptimizer, loss: Tensor) -> None:
        rates.append(optimiser.param_groups[0]["lr"])
        step(optimiser, loss)

    module._step = watched
    fit(module, data, FitPlan("triplet_gan", 2, 10, MONITOR, "max"), params.base, tmp_path)
    steps = len(data.train_dataloader())
    factors = [rate_factor(number, steps, 2 * steps) for number in range(2 * steps)]
    method = params.triplet_gan
    assert rates[0::2] == pytest.approx([method.discriminator_rate * factor for factor in factors])
    assert rates[1::2] == pytest.approx([method.fit.learning_rate * factor for factor in factors])


@pytest.mark.slow
def test_only_the_encoder_is_exported(params: Params, data: RetrievalData, tmp_path: Path):
    module = built(params, data)
    fit(module, data, EPOCH, params.base, tmp_path)
    difference = export_onnx(module.net, torch.rand(2, 3, 32, 32), tmp_path / "net.onnx", "images", "embeddings")
    assert difference < 1e-4
    assert (module.net.kind, module.net.metric, module.net.dim) == ("dense", "cosine", 16)
    size = sum(p.numel() for p in module.net.parameters()) * 4
    assert size < (tmp_path / "net.onnx").stat().st_size < size + 100_000


@pytest.mark.slow
def test_the_contact_sheet_shows_reconstructions(params: Params, data: RetrievalData):
    whole, alone = (
        built(params, data, reconstruction_weight=w, perceptual_weight=w, adversarial_weight=w) for w in (1.0, 0.0)
    )
    sheets = []
    for module in (whole, alone):
        module.val_queries = module.val_embeddings = np.eye(len(data.val), dtype=np.float32)
        sheets.append(draw_results(module, "val"))
    assert sheets[0].width > sheets[1].width
    module.val_queries = np.roll(module.val_queries, 1, axis=0)
    assert list(draw_results(module, "val").getdata()) != list(sheets[1].getdata())
    made = whole.generated(data.val.images[:3])
    assert made.dtype == torch.uint8
    assert made.shape == (3, 3, 32, 32)
    assert whole.training
