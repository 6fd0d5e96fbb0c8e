"""Mixed precision: the convolutions compute in it, everything else stays in float32, for every method."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from croquis.catalog.table import Catalog
from croquis.params import Params
from croquis.params.loader import Base
from croquis.plugins import METHODS
from lightning_modules.attributes import classifier_module
from lightning_modules.attributes.attribute_labels import Layout, attribute_names, read_labels
from lightning_modules.bases.retrieval_module import MONITOR, RetrievalModule
from lightning_modules.data.retrieval_data import RetrievalData
from lightning_modules.nets.retrieval_net import max_pool_net
from lightning_modules.sketch_gan import gan_module
from lightning_modules.training.fit import FitPlan, fit
from lightning_modules.training.numerics import prepare_torch
from tests.support.training.trainings import UNMEASURED

TRAINED = [name for name in METHODS.built_in if METHODS.entry(name).learns]


def half(base: Base) -> Base:
    return base.model_copy(update={"precision": "bf16-mixed"})


def dtypes_of(module: nn.Module, kind: type[nn.Module]) -> set[torch.dtype]:
    """Filled while the module runs: what its layers of one kind give out."""
    found: set[torch.dtype] = set()
    for part in module.modules():
        if isinstance(part, kind):
            part.register_forward_hook(lambda _layer, _inputs, output: found.add(output.dtype))
    return found


def assert_weights_are_float32_and_finite(module: nn.Module) -> None:
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            assert value.dtype == torch.float32, name
            assert value.isfinite().all(), name


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_a_retriever_trains_in_bf16(params: Params, data: RetrievalData, sketches: Catalog, tmp_path: Path, name: str):
    prepare_torch(0, 1)
    method = importlib.import_module(f"lightning_modules.methods.{name}")
    if hasattr(method, "add_drawings"):
        data = method.add_drawings(data, sketches, params.base.image_size)
    module: RetrievalModule = method.build(params, data)
    data.use_sampler(module.sampler(0))
    before = [p.detach().clone() for p in module.net.parameters()]
    convolutions, linears = dtypes_of(module.net.backbone, nn.Conv2d), dtypes_of(module.net, nn.Linear)
    losses: list[Tensor] = []
    manual_or_not = module.log_figures
    module.log_figures = lambda figures, size: (losses.append(figures["loss"]), manual_or_not(figures, size))
    fit(module, data, FitPlan(name, 1, 5, MONITOR, "max", trainer=UNMEASURED), half(params.base), tmp_path)
    assert convolutions == {torch.bfloat16}
    assert linears <= {torch.float32}
    assert losses
    assert all(loss.dtype == torch.float32 and loss.isfinite() for loss in losses)
    assert module.val_embeddings.dtype == "float32"
    assert any(not torch.equal(a, b) for a, b in zip(before, module.net.parameters(), strict=True))
    assert_weights_are_float32_and_finite(module)
    convolutions.clear()
    with torch.no_grad():
        module.net.eval()(torch.rand(2, 3, 32, 32))
    assert convolutions == {torch.float32}, "the exported net computes in float32"


def test_the_classifier_trains_in_bf16(params: Params, data: RetrievalData, tmp_path: Path):
    prepare_torch(0, 1)
    names = attribute_names(data.train.attributes.tolist(), 2)
    sets = (data.train, data.val)
    labels = [read_labels(each.attributes.tolist(), [None] * len(each), names) for each in sets]
    own = classifier_module.ClassifierData(*sets, tuple(labels), Layout.of(names, ["shape"]), 8, 0)
    module = classifier_module.AttributeClassifierModule(params.train_classifier, own)
    convolutions = dtypes_of(module, nn.Conv2d)
    history = fit(
        module, own, FitPlan("classifier", 1, 5, classifier_module.MONITOR, "max"), half(params.base), tmp_path
    )
    assert convolutions == {torch.bfloat16}
    assert history["train/loss"][0][1] > 0
    assert_weights_are_float32_and_finite(module)


def test_pix2pix_trains_in_bf16(params: Params, tmp_path: Path):
    prepare_torch(0, 1)
    images = torch.randint(0, 255, (8, 3, 32, 32), dtype=torch.uint8)
    pairs = gan_module.SketchPairs(images, images)
    data = gan_module.PairData(pairs, pairs, 4, 0)
    module = gan_module.SketchGan(params.train_gan, data)
    convolutions = dtypes_of(module, nn.Conv2d)
    history = fit(module, data, FitPlan("gan", 1, 5, gan_module.MONITOR, "min"), half(params.base), tmp_path)
    assert convolutions == {torch.bfloat16}
    assert history["train/l1"][0][1] > 0
    assert_weights_are_float32_and_finite(module)


def test_channels_last_changes_the_layout_and_not_the_result(params: Params):
    nets = []
    for chosen in (False, True):
        torch.manual_seed(0)
        nets.append(
            max_pool_net(params.train_embedder.backbone.model_copy(update={"channels_last": chosen}), 8, True).eval()
        )
    weights = nets[1].backbone.features[1].conv1.weight
    assert weights.is_contiguous(memory_format=torch.channels_last)
    assert not nets[0].backbone.features[1].conv1.weight.is_contiguous(memory_format=torch.channels_last)
    images = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        layouts = [net(images.contiguous(memory_format=torch.channels_last)) for net in nets]
    assert torch.allclose(*layouts, atol=1e-6)


@pytest.mark.slow
def test_frozen_batch_norms_keep_their_statistics_through_a_training(
    params: Params, data: RetrievalData, tmp_path: Path
):
    frozen = params.train_embedder.backbone.model_copy(update={"freeze_bn": True})
    shared = params.train_embedder.model_copy(update={"backbone": frozen})
    chosen = params.model_copy(update={"train_embedder": shared})
    prepare_torch(0, 1)
    module = importlib.import_module("lightning_modules.methods.siamese").build(chosen, data)
    data.use_sampler(module.sampler(0))
    before = {name: value.clone() for name, value in module.net.backbone.named_buffers()}
    fit(module, data, FitPlan("siamese", 2, 5, MONITOR, "max", trainer=UNMEASURED), params.base, tmp_path)
    assert all(torch.equal(before[name], value) for name, value in module.net.backbone.named_buffers())
    assert module.net.head.centre.num_batches_tracked > 0
