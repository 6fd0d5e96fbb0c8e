"""The Frechet distance against its formula, and the features that it is taken on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import nn

from croquis.files import write_json
from lightning_modules.nets.onnx_export import export_onnx
from lightning_modules.sketch_gan.frechet import ClassifierFeatures, frechet_distance
from tests.support.processors import printed_with_other_kernels


def test_against_the_formula_with_scipys_matrix_root() -> None:
    chance = np.random.default_rng(0)
    first = chance.normal(size=(50, 6)) @ chance.normal(size=(6, 6))
    second = chance.normal(1.0, 2.0, size=(40, 6))
    a, b = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    means = first.mean(axis=0) - second.mean(axis=0)
    expected = means @ means + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet_distance(first, second) == pytest.approx(expected, abs=5e-4)
    assert frechet_distance(second, first) == pytest.approx(expected, abs=5e-4)


def test_by_hand_in_one_dimension() -> None:
    """Means 0 and 3, variances 2 and 8: 9 + 2 + 8 - 2 * 4."""
    assert frechet_distance(np.array([[-1.0], [1.0]]), np.array([[1.0], [5.0]])) == pytest.approx(11.0)


def test_equal_sets_are_at_no_distance_and_few_images_are_allowed() -> None:
    features = np.random.default_rng(1).normal(size=(5, 20))  # fewer images than features
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(features, features + 2.0) == pytest.approx(20 * 4.0)
    with pytest.raises(ValueError, match="1 and 5 images have no covariance"):
        frechet_distance(features[:1], features)


@pytest.mark.slow
@pytest.mark.parametrize(("images", "features"), [(106, 256), (30, 64), (90, 512)])
def test_other_processors_give_the_same_distance(images: int, features: int) -> None:
    """Where there are fewer images than features, the rounding of eigenvalues that are 0 shows in their roots."""
    found = printed_with_other_kernels(
        "import numpy as np; from lightning_modules.sketch_gan.frechet import frechet_distance;"
        f"one, two = np.maximum(np.random.default_rng(0).normal(size=(2, {images}, {features})), 0);"
        "print(repr(frechet_distance(one, two)))"
    )
    assert float(found[0]) > 1
    assert len(set(found)) == 1


class Pooling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution, self.last = nn.Conv2d(3, 7, 3, 2), nn.Linear(7, 2)

    def pooled(self, images: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.convolution(images)).mean(dim=(2, 3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.last(self.pooled(images)).sigmoid()


@pytest.mark.slow
def test_features_are_what_the_classifier_pools(tmp_path: Path) -> None:
    net = Pooling().eval()
    export_onnx(net, torch.rand(2, 3, 16, 16), tmp_path / "classifier.onnx", "images", "probabilities")
    described = {"file": "classifier.onnx", "size": 16, "attributes": ["a", "b"], "thresholds": [0.5, 0.5]}
    write_json(tmp_path / "classifier.json", described | {"exclusive": []})
    photos = list(np.random.default_rng(0).integers(0, 256, (70, 16, 16, 3), dtype=np.uint8))
    found = ClassifierFeatures(tmp_path).of(photos)
    with torch.no_grad():
        expected = net.pooled(torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2).float() / 255)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
