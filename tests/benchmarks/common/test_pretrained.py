"""The settings under which nets learn the small real sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.common.pretrained import LEARNING, MOBILENET, SQUEEZENET, pretrained
from benchmarks.common.real_sets import RealSetError, merged
from croquis.params.loader import parse_params, read_yaml


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    for _, name in (MOBILENET, SQUEEZENET):
        (tmp_path / "weights").mkdir(exist_ok=True)
        (tmp_path / "weights" / name).touch()
    return tmp_path


@pytest.mark.parametrize("name", LEARNING)
def test_every_method_learns_by_the_set_s_settings(shared: Path, name: str):
    params = parse_params(merged(read_yaml("params.yaml"), pretrained(name, shared)), methods=True)
    learning = LEARNING[name]
    assert params.base.image_size == learning.image_size
    assert params.train_embedder.backbone.weights == str(shared / "weights" / MOBILENET[1])
    assert params.train_embedder.backbone.freeze_bn
    for method in (
        params.image2vec,
        params.siamese,
        params.triplet_gan,
        params.sgh,
        params.dhd,
        params.gpq,
        params.spq,
    ):
        fit = method.fit
        assert (fit.epochs, fit.patience, fit.learning_rate) == (
            learning.epochs,
            learning.epochs,
            learning.learning_rate,
        )
        in_batch = getattr(method, "batch_size", None) or method.items_per_batch * method.images_per_item
        assert in_batch == learning.batch_size
    assert params.triplet_gan.perceptual_weights == str(shared / "weights" / SQUEEZENET[1])


def test_missing_weights_are_named(tmp_path: Path):
    with pytest.raises(RealSetError, match=r"mobilenet_v2_imagenet\.pth does not exist"):
        pretrained("inshop_luma", tmp_path)
