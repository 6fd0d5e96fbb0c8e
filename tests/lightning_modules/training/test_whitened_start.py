"""`init: whitened`: the layer of each method starts from the map in closed form, and training goes on from there."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from croquis.catalog.table import Catalog
from croquis.nets.linear_map import LinearMap
from croquis.params import Params
from lightning_modules.bases.hash_module import iterative_quantisation
from lightning_modules.bases.pq_module import code_figures, intra_normalise, k_means_codebooks, rotation_for_codes
from lightning_modules.bases.retrieval_module import MONITOR
from lightning_modules.data.negative_pools import embed_all
from lightning_modules.data.retrieval_data import RetrievalData, eval_batch, load_images
from lightning_modules.maps.closed_form import LabelledVectors
from lightning_modules.methods import dhd, gpq, image2vec, joint, metric_learning, sgh, siamese, spq, triplet_gan
from lightning_modules.training.fit import FitPlan, fit
from lightning_modules.training.map_choice import best_map, fitted, score
from lightning_modules.training.numerics import prepare_torch
from lightning_modules.training.whitened_start import pooled, start_of
from tests.support.training.trainings import build_of, resumed_equals_whole

SPLITS = ("train", "val", "test")
CPU = torch.device("cpu")
SHORT = {"embedding_dim": 16, "bits": 16, "subspaces": 4, "subspace_dim": 5}  # 32 train photos span 31 numbers


def whitened(params: Params, method: ModuleType, **changes: object) -> Params:
    """The params with `init: whitened`, and vectors of the method that are short enough."""
    name = method.__name__.split(".")[-1]
    own = getattr(params, name)
    lengths = {key: value for key, value in SHORT.items() if key in type(own).model_fields}
    maps = params.train_embedder.map.model_copy(update={"dims": [16]})
    shared = params.train_embedder.model_copy(update={"init": "whitened", "map": maps, **changes})
    return params.model_copy(update={"train_embedder": shared, name: own.model_copy(update=lengths)})


@pytest.mark.parametrize("method", [siamese, triplet_gan, metric_learning])
def test_vectors_are_those_of_the_map_before_training(params: Params, data: RetrievalData, method: ModuleType):
    prepare_torch(0, 1)
    chosen = whitened(params, method)
    module, _ = build_of(method, chosen, data)()
    start_of(module, chosen)()
    block = chosen.train_embedder.map.model_copy(update={"kind": "best", "dims": [16]})
    train, val = (pooled(module.net, images.images, CPU) for images in (data.train, data.val))
    expected = best_map(train, val, data, block).linear.apply(val)
    np.testing.assert_allclose(embed_all(module, data.val).numpy(), expected, atol=1e-4)
    assert module.training


@pytest.mark.slow
def test_joint_starts_from_the_map_of_photos_and_drawings_at_160_pixels(
    params: Params, catalog: Catalog, sketches: Catalog, tmp_path: Path
):
    """All levels of a net without trained weights, with every trick of `joint` on: it starts from the map and learns on."""
    size, tricks = 160, {"grey": 0.3, "bridge": 0.3, "jigsaw": 0.3, "category_weight": 0.3}
    data = joint.add_drawings(RetrievalData.from_catalog(catalog, ["shop", "consumer"], size), sketches, size)
    levels = {"levels": "all", "kind": "average", "normalise": True}
    backbone = params.train_embedder.backbone
    backbone = backbone.model_copy(update={"pooling": backbone.pooling.model_copy(update=levels)})
    chosen = whitened(params, joint, backbone=backbone)
    chosen = chosen.model_copy(update={"joint": chosen.joint.model_copy(update=tricks)})
    prepare_torch(0, 1)
    module, _ = build_of(joint, chosen, data)()
    before = module.net.projection.weight.detach().clone()
    start_of(module, chosen)()
    started = module.net.projection.weight.detach().clone()
    assert not torch.equal(started, before)
    block = chosen.train_embedder.map.model_copy(update={"kind": "best", "dims": [16]})
    train, val = (pooled(module.net, images.images, CPU) for images in (data.train, data.val))
    expected = best_map(train, val, data, block).linear.apply(val)
    np.testing.assert_allclose(embed_all(module, data.val).numpy(), expected, atol=1e-3)
    history = fit(module, data, FitPlan("joint", 1, 1, MONITOR, "max"), chosen.base, tmp_path)
    assert np.isfinite([value for _, value in history["train/category"]]).all()
    assert not torch.equal(module.net.projection.weight, started)


def test_a_map_that_was_chosen_on_other_photos_is_fitted_on_the_modules_own(params: Params, catalog: Catalog):
    domains, chosen = ["shop", "consumer"], whitened(params, siamese)
    data, whole = (RetrievalData.from_catalog(catalog, domains, 32, splits=each) for each in (SPLITS[:1], SPLITS))
    prepare_torch(0, 1)
    module, _ = build_of(siamese, chosen, whole)()
    start_of(module, chosen, data)()
    block = chosen.train_embedder.map.model_copy(update={"kind": "best", "dims": [16]})
    train, val, every = (pooled(module.net, each.images, CPU) for each in (data.train, data.val, whole.train))
    found = best_map(train, val, data, block)
    own = LabelledVectors(every, whole.train.items, whole.train.domains == "shop")
    expected = fitted(own, [found.settings], found.scale)[0].apply(val)
    assert np.abs(expected - found.linear.apply(val)).max() > 1e-2
    np.testing.assert_allclose(embed_all(module, data.val).numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("method", [dhd, sgh])
def test_hash_codes_start_from_the_rotated_map(params: Params, data: RetrievalData, method: ModuleType):
    """Before LayerNorm and tanh the numbers have the cosines of the map."""
    prepare_torch(0, 1)
    chosen = whitened(params, method)
    module, _ = build_of(method, chosen, data)()
    start_of(module, chosen)()
    block = chosen.train_embedder.map.model_copy(update={"kind": "best", "dims": [16]})
    train, val = (pooled(module.net, images.images, CPU) for images in (data.train, data.val))
    mapped = best_map(train, val, data, block).linear.apply(val)
    projected = module.net.projection(torch.from_numpy(val))
    found = torch.nn.functional.normalize(projected, dim=1).detach().numpy()
    np.testing.assert_allclose(found @ found.T, mapped @ mapped.T, atol=1e-3)


@pytest.mark.parametrize("method", [dhd, gpq, sgh, spq])
def test_codes_are_fitted_on_images_without_labels_too(params: Params, catalog: Catalog, method: ModuleType):
    """The gallery's photos lose less by their codes than where the start has not seen them."""
    lost = []
    for unlabelled in ("train", "gallery"):
        labels = params.train_embedder.labels.model_copy(update={"unlabelled": unlabelled})
        data = RetrievalData.from_catalog(catalog, ["shop", "consumer"], 32, labels)
        prepare_torch(0, 1)
        chosen = whitened(params, method)
        module, _ = build_of(method, chosen, data)()
        start_of(module, chosen)()
        rows = catalog.select(split="test", domain=["shop"], role="gallery")
        gallery = pooled(module.net, load_images(catalog, rows, 32).images, CPU)
        projected = module.net.projection(torch.from_numpy(gallery)).detach()
        if method in (dhd, sgh):
            lost.append(sign_error(torch.nn.functional.normalize(projected, dim=1).numpy()))
        else:
            parts = module.parts(projected)
            parts = intra_normalise(parts) if method is gpq else parts
            lost.append(float(code_figures(parts, module.net.words.detach())["quantisation_error"]))
    assert lost[1] < lost[0]


def test_a_short_layer_starts_from_the_first_components_of_a_longer_map(params: Params, data: RetrievalData):
    prepare_torch(0, 1)
    longer = params.train_embedder.map.model_copy(update={"kind": "within_item", "dims": [30]})
    chosen = whitened(params, siamese, map=longer)
    module, _ = build_of(siamese, chosen, data)()
    start_of(module, chosen)()
    train, val = (pooled(module.net, images.images, CPU) for images in (data.train, data.val))
    linear = best_map(train, val, data, longer).linear
    of_train, of_val = (vectors @ linear.matrix[:-1] + linear.matrix[-1] for vectors in (train, val))
    kept = of_val @ np.linalg.svd(of_train, full_matrices=False)[2][:16].T
    expected = kept / np.linalg.norm(kept, axis=1, keepdims=True)
    found = embed_all(module, data.val).numpy()
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-3)


@pytest.mark.parametrize("method", [gpq, spq])
def test_codewords_start_near_what_they_code(params: Params, data: RetrievalData, method: ModuleType):
    prepare_torch(0, 1)
    errors = []
    for begins in (False, True):
        chosen = whitened(params, method)
        module, _ = build_of(method, chosen, data)()
        if begins:
            start_of(module, chosen)()
        features = embed_all(module, data.train)
        errors.append(float((features - module.stored(features)).square().sum() / features.square().sum()))
    assert errors[1] < 0.5 * errors[0]
    assert errors[1] < 0.5


def test_a_net_without_a_layer_stays_as_it_is(params: Params, data: RetrievalData):
    chosen = whitened(params, image2vec)
    module, _ = build_of(image2vec, chosen, data)()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    start_of(module, chosen)()
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_random_starts_from_nothing_else(params: Params, data: RetrievalData):
    module, _ = build_of(siamese, params, data)()
    assert start_of(module, params) is None
    assert isinstance(module.net.head.centre, torch.nn.BatchNorm1d)


def test_more_numbers_than_the_photos_span_are_refused(params: Params, data: RetrievalData):
    chosen = whitened(params, siamese)
    longer = chosen.model_copy(update={"siamese": chosen.siamese.model_copy(update={"embedding_dim": 40})})
    module, _ = build_of(siamese, longer, data)()
    with pytest.raises(ValueError, match="31 numbers at most on these train photos, but the layer has 40"):
        start_of(module, longer)()


def test_training_begins_with_the_map(params: Params, data: RetrievalData, tmp_path: Path):
    prepare_torch(0, 1)
    chosen = whitened(params, siamese)
    module, _ = build_of(siamese, chosen, data)()
    plan = FitPlan("siamese", 1, 10, MONITOR, "max", begin=start_of(module, chosen))
    history = fit(module, data, plan, params.base, tmp_path)
    prepare_torch(0, 1)
    again, _ = build_of(siamese, chosen, data)()
    start_of(again, chosen)()
    assert history["before_training/score"] == [[0, pytest.approx(val_score(again, data), abs=1e-4)]]


def val_score(module: torch.nn.Module, data: RetrievalData) -> float:
    return score(embed_all(module, data.val).numpy(), data)


@pytest.mark.slow
def test_a_killed_fine_tuning_ends_with_the_same_bytes(params: Params, data: RetrievalData, tmp_path: Path):
    """A map at the start, a backbone that waits an epoch, lower rates below, and a moving average."""
    tuning = params.train_embedder.fine_tuning.model_copy(
        update={"layer_decay": 0.8, "freeze_backbone_epochs": 2, "ema": 0.9}
    )
    chosen = whitened(params, siamese, fine_tuning=tuning)
    build = build_of(siamese, chosen, data)
    started = []

    def begin() -> None:
        start_of(started[-1], chosen)()

    def build_and_note() -> tuple:
        module, images = build()
        started.append(module)
        return module, images

    plan = FitPlan("siamese", 4, 10, MONITOR, "max", begin=begin)
    resumed_equals_whole(build_and_note, plan, chosen, tmp_path)


def test_rotations_turn_and_help():
    """They keep all distances, and signs or codewords lie nearer to the vectors than without."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(400, 16)).astype(np.float32) @ np.diag(np.linspace(0.1, 2, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for rotation in (iterative_quantisation(vectors), rotation_for_codes(vectors, 4)):
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(16), atol=1e-4)
    any_rotation = np.linalg.qr(rng.normal(size=(16, 16)))[0]
    least = min(sign_error(vectors), sign_error(vectors @ any_rotation))
    assert sign_error(vectors @ iterative_quantisation(vectors)) < 0.9 * least
    assert code_error(vectors @ rotation_for_codes(vectors, 4)) < 0.95 * code_error(vectors)
    with pytest.raises(ValueError, match="fewer codewords"):
        k_means_codebooks(torch.zeros(4, 2, 3), 16)


def sign_error(vectors: np.ndarray) -> float:
    """Squared distance to the nearest corner of a cube of the best size, as a share of the squared length."""
    cosines = np.abs(vectors).sum(axis=1) / np.sqrt(vectors.shape[1])
    return float(1 - np.square(cosines).mean())


def code_error(vectors: np.ndarray) -> float:
    parts = torch.from_numpy(np.ascontiguousarray(vectors)).reshape(len(vectors), 4, 4)
    words = k_means_codebooks(parts, 16)
    nearest = torch.cdist(parts.transpose(0, 1), words).min(dim=2).values
    return float(nearest.square().sum() / len(vectors))


def test_a_map_of_a_net_is_its_layer(params: Params, data: RetrievalData):
    """The layer that starts from a matrix computes what `LinearMap` computes."""
    module, _ = build_of(siamese, whitened(params, siamese), data)()
    matrix = np.random.default_rng(0).normal(size=(module.net.pool.dim + 1, 16)).astype(np.float32)
    module.net.start_from(matrix, None, None)
    module.eval()
    images = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        expected = LinearMap(matrix).apply(module.net.features(images).numpy())
        np.testing.assert_allclose(module(images).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(("chosen", "rate"), [("auto", 1e-5), (0.0, 0.0), (0.5, 0.001)])
@pytest.mark.parametrize("method", [siamese, triplet_gan])
def test_the_layer_that_starts_from_a_map_learns_at_a_rate_of_its_own(
    params: Params, data: RetrievalData, method: ModuleType, chosen: float | str, rate: float
):
    """The decoder of triplet_gan keeps the rate of the method."""
    prepare_torch(0, 1)
    tuned = params.train_embedder.fine_tuning.model_copy(update={"start_rate": chosen})
    wanted = whitened(params, method, fine_tuning=tuned)
    name = method.__name__.split(".")[-1]
    own = getattr(wanted, name)
    fast = own.fit.model_copy(update={"learning_rate": 0.002})
    module, _ = build_of(method, wanted.model_copy(update={name: own.model_copy(update={"fit": fast})}), data)()
    module.steps_per_epoch = lambda: 3
    made = module.configure_optimizers()
    groups = (made[0] if isinstance(made, list) else made)["optimizer"].param_groups
    layer = {id(parameter) for parameter in module.net.projection.parameters()}
    rates = {id(parameter): group["initial_lr"] for group in groups for parameter in group["params"]}
    assert [rates[each] for each in layer] == [pytest.approx(rate)] * len(layer)
    assert {value for each, value in rates.items() if each not in layer} == {0.002}


def test_large_photos_are_looked_at_a_few_at_a_time():
    assert [eval_batch(size) for size in (56, 96, 224, 288, 4096)] == [256, 256, 47, 28, 1]
