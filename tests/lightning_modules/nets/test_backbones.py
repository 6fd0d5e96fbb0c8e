from pathlib import Path

import pytest
import torch

from croquis.params.training_blocks import Backbone
from lightning_modules.nets.backbones import BackboneError, build_backbone

WEIGHTS = Path("../shared/data/weights")
LEVELS = {
    "small": (8, 8, 16, 64),
    "torchvision/alexnet": (64, 192, 256, 256),
    "torchvision/resnet18": (64, 64, 128, 256, 512),
    "torchvision/resnet50": (64, 256, 512, 1024, 2048),
    "torchvision/mobilenet_v2": (16, 24, 32, 96, 1280),
    "torchvision/mobilenet_v3_small": (16, 16, 24, 48, 576),
    "torchvision/squeezenet1_1": (64, 128, 256, 512),
    "torchvision/vgg16": (64, 128, 256, 512, 512, 512),
}


def named(name: str, **changes: object) -> Backbone:
    values = {"name": name, "weights": "none", "width": 8, "freeze_bn": False, "channels_last": False}
    return Backbone(**{**values, **changes})


@pytest.mark.slow
@pytest.mark.parametrize("name", list(LEVELS))
def test_every_backbone_says_how_many_channels_it_has(name: str):
    backbone = build_backbone(named(name)).eval()
    with torch.no_grad():
        features = backbone(torch.rand(1, 3, 96, 96))
    assert features.shape[:2] == (1, backbone.channels)
    assert features.shape[2] > 1


@pytest.mark.slow
@pytest.mark.parametrize("name", list(LEVELS))
@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_levels_are_the_last_map_of_each_size_and_end_with_the_map(name: str, dtype: torch.dtype | None):
    backbone, images = build_backbone(named(name)).eval(), torch.rand(2, 3, 64, 64)
    backbone.compute_dtype = dtype
    with torch.no_grad():
        levels, last = backbone.forward_levels(images), backbone(images)
    assert backbone.level_channels == LEVELS[name] == tuple(level.shape[1] for level in levels)
    assert torch.equal(levels[-1], last)
    assert {level.dtype for level in levels} == {torch.float32}
    sides = [level.shape[-1] for level in levels]
    assert sides == sorted(set(sides), reverse=True)


def test_frozen_batch_norm_keeps_its_statistics():
    backbone = build_backbone(named("small", freeze_bn=True)).train()
    before = {name: value.clone() for name, value in backbone.named_buffers()}
    backbone(torch.rand(4, 3, 32, 32))
    assert all(torch.equal(before[name], value) for name, value in backbone.named_buffers())


def test_weights_are_loaded_and_wrong_ones_are_named(tmp_path: Path):
    net = build_backbone(named("small"))
    torch.save(net.features.state_dict(), tmp_path / "small.pth")
    again = build_backbone(named("small", weights=str(tmp_path / "small.pth")))
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))
    with pytest.raises(BackboneError, match="does not fit ResNet"):
        build_backbone(named("torchvision/resnet18", weights=str(tmp_path / "small.pth")))
    with pytest.raises(BackboneError, match=r"missing\.pth does not exist"):
        build_backbone(named("torchvision/resnet18", weights=str(tmp_path / "missing.pth")))


@pytest.mark.realdata
@pytest.mark.skipif(not WEIGHTS.is_dir(), reason="no ../shared/data")
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("torchvision/mobilenet_v2", "mobilenet_v2_imagenet.pth"),
        ("torchvision/squeezenet1_1", "squeezenet1_1_imagenet_features.pth"),
    ],
)
def test_pretrained_weights_load(name: str, file: str):
    assert build_backbone(named(name, weights=str(WEIGHTS / file))).channels == LEVELS[name][-1]
