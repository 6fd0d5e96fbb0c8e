"""Hash layers and shared losses against explicit loops, and the nets as they are exported."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from croquis.nets.session import onnxruntime
from croquis.params import Params
from lightning_modules.bases.hash_module import HashLayer, code_figures, hash_net, signs, similarity_loss
from lightning_modules.data.retrieval_data import RetrievalData
from lightning_modules.methods import dhd, sgh
from lightning_modules.nets.onnx_export import export_onnx

FEATURES = torch.tensor([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]])
CODES = torch.tensor([[0.9, -0.8], [0.1, 0.3], [-0.5, 0.0]], dtype=torch.float64)
OTHERS = torch.tensor([[0.7, -0.9], [-0.2, 0.4], [0.6, 0.1]], dtype=torch.float64)


def test_hash_layer_is_linear_without_bias_then_layer_norm_then_tanh():
    torch.manual_seed(0)
    layer = HashLayer(3, 4, centre=False)
    found = layer(FEATURES)
    weights = layer.project.weight.tolist()
    for row, features in enumerate(FEATURES.tolist()):
        sums = [sum(w * f for w, f in zip(line, features, strict=True)) for line in weights]
        mean = sum(sums) / 4
        deviation = math.sqrt(sum((value - mean) ** 2 for value in sums) / 4 + 1e-5)
        expected = [math.tanh((value - mean) / deviation) for value in sums]
        assert found[row].tolist() == pytest.approx(expected, abs=1e-5)


def test_centring_frees_the_codes_of_what_all_images_share():
    torch.manual_seed(0)
    features = 5 + torch.rand(64, 8)
    shared = [code_figures(HashLayer(8, 16, centre)(features))["dead_bits"] for centre in (False, True)]
    assert shared[0] > 0.5
    assert shared[1] == 0


def test_similarity_loss_is_the_mean_of_one_minus_cosine():
    expected = 0.0
    for a, b in zip(CODES.tolist(), OTHERS.tolist(), strict=True):
        product = sum(x * y for x, y in zip(a, b, strict=True))
        expected += (1 - product / (math.hypot(*a) * math.hypot(*b))) / 3
    assert float(similarity_loss(CODES, OTHERS)) == pytest.approx(expected)
    assert torch.autograd.gradcheck(similarity_loss, (CODES.clone().requires_grad_(), OTHERS.clone().requires_grad_()))


def test_figures_count_bits_that_never_change():
    codes = torch.tensor([[0.5, -0.1, 0.2, 0.0], [0.9, -0.3, -0.2, -0.4]])
    figures = code_figures(codes)
    assert float(figures["dead_bits"]) == 0.75
    assert float(figures["mean_magnitude"]) == pytest.approx(2.6 / 8)
    assert signs(codes).tolist() == [[1, -1, 1, -1], [1, -1, -1, -1]]


@pytest.mark.parametrize("bits", [16, 32, 64, 128])
def test_every_length_builds_and_stays_between_minus_one_and_one(params: Params, bits: int):
    net = hash_net(params.train_embedder.backbone, bits, centre=True).eval()
    codes = net(torch.rand(3, 3, 32, 32))
    assert codes.shape == (3, bits)
    assert codes.abs().max() < 1
    assert (net.dim, net.kind, net.metric) == (bits, "binary", "hamming")


@pytest.mark.slow
def test_the_exported_net_gives_the_same_codes(params: Params, tmp_path: Path):
    torch.manual_seed(1)
    net = hash_net(params.train_embedder.backbone, 64, centre=True)
    net.train()(torch.rand(8, 3, 32, 32))  # moves the running statistics off their initial values
    assert export_onnx(net, torch.rand(2, 3, 32, 32), tmp_path / "net.onnx", "images", "embeddings") < 1e-4
    images = np.random.default_rng(2).random((5, 3, 32, 32), dtype=np.float32)
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = net(torch.from_numpy(images)).numpy()
    clear = np.abs(expected) > 1e-4
    assert clear.mean() > 0.9
    (found,) = session.run(None, {"images": images})
    assert np.array_equal((found > 0)[clear], (expected > 0)[clear])


@pytest.mark.parametrize("source", [dhd, sgh])
def test_classes_are_items_or_categories_and_the_index_keeps_signs(params: Params, data: RetrievalData, source):
    name = source.__name__.split(".")[-1]
    batch = {"items": torch.tensor([3, 0]), "categories": torch.tensor([1, 0])}
    for labels, classes in (("item", 8), ("category", 2)):
        block = getattr(params, name).model_copy(update={"labels": labels})
        module = source.build(params.model_copy(update={name: block}), data)
        assert module.classes == classes
        assert torch.equal(module.labels(batch), batch["items" if labels == "item" else "categories"])
        assert sorted(row for rows in module.sampler(0) for row in rows) == list(range(32))
    codes = torch.tensor([[0.3, -0.2], [0.0, 0.9]])
    assert module.stored(codes).tolist() == module.asked(codes).tolist() == [[1, -1], [-1, 1]]
