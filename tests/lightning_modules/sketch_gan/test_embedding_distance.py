"""The embedding term: what it is, that it leads to photos which the net takes for the true ones, and that the net stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from croquis.catalog.images import prepare_image
from croquis.params import Params
from croquis.params.training_blocks import Backbone, PooledBackbone
from lightning_modules.nets.backbones import BackboneError, build_backbone
from lightning_modules.nets.retrieval_net import average_pool_net
from lightning_modules.sketch_gan.embedding_distance import (
    POOLING,
    SMALL_WIDTH,
    EmbeddingDistance,
    embedding_distance,
    lanczos,
)

GIVEN, SEEN = 32, 24


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A state dict of the net `small`, as one that was trained elsewhere."""
    torch.manual_seed(1)
    net = build_backbone(block("none"))
    file = tmp_path_factory.mktemp("weights") / "small.pth"
    torch.save(net.features.state_dict(), file)
    return str(file)


def block(weights: str, **pooling: Any) -> Backbone:
    own = {"name": "small", "weights": weights, "width": SMALL_WIDTH, "freeze_bn": True, "channels_last": False}
    return PooledBackbone(**own, **pooling) if pooling else Backbone(**own)


@pytest.fixture
def term(params: Params, weights: str) -> EmbeddingDistance:
    changes = {"size": GIVEN, "embedding_net": "small", "embedding_weights": weights, "embedding_weight": 1.0}
    return embedding_distance(params.train_gan.model_copy(update=changes), SEEN)


def test_it_is_the_distance_of_the_encoder_that_pretrained_has(term: EmbeddingDistance, weights: str) -> None:
    """Of photos as `prepare_image` scales them to the encoder's size, up to the rounding to whole bytes."""
    encoder = average_pool_net(block(weights, pooling=POOLING)).eval()
    pictures = np.random.default_rng(5).integers(0, 256, (2, 3, GIVEN, GIVEN, 3), dtype=np.uint8)

    def batch(of: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.stack(list(of))).permute(0, 3, 1, 2).float() / 255

    with torch.no_grad():
        true, made = (encoder(batch(np.stack([prepare_image(each, SEEN) for each in side]))) for side in pictures)
    expected = 1 - (true * made).sum(dim=1).mean()
    found = term(*map(batch, pictures))
    assert found.item() == pytest.approx(expected.item(), abs=2e-3)
    assert found.item() > 0.01
    assert term(batch(pictures[0]), batch(pictures[0])).item() == pytest.approx(0, abs=1e-6)


def test_the_filter_leaves_a_size_that_fits() -> None:
    assert torch.equal(lanczos(8, 8), torch.eye(8))
    np.testing.assert_allclose(lanczos(8, 6).sum(dim=1), np.ones(6), atol=1e-6)


@pytest.mark.slow
def test_descending_brings_a_photo_nearer_and_the_net_stays(term: EmbeddingDistance) -> None:
    torch.manual_seed(0)
    true = torch.rand(2, 3, GIVEN, GIVEN)
    made = torch.rand(2, 3, GIVEN, GIVEN, requires_grad=True)
    before = {name: value.clone() for name, value in term.train().state_dict().items()}
    optimiser, distances = torch.optim.Adam([made], lr=0.02), []
    for _ in range(12):
        loss = term(true, made)
        distances.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert made.grad is not None
    assert made.grad.abs().sum() > 0
    assert distances[-1] < 0.8 * distances[0]
    assert all(torch.equal(before[name], value) for name, value in term.state_dict().items())
    assert not any(parameter.requires_grad for parameter in term.parameters())


def test_missing_weights_are_named_by_their_param(params: Params) -> None:
    changes = {"embedding_net": "small", "embedding_weights": "nowhere.pth"}
    with pytest.raises(
        BackboneError, match=r"train_gan.embedding_net and embedding_weights.*nowhere.pth does not exist"
    ):
        embedding_distance(params.train_gan.model_copy(update=changes), SEEN)
