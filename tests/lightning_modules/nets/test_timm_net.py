"""Nets of timm as backbones: their maps and levels, their statistics, and that ONNX computes the same."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from croquis.params.training_blocks import Backbone as BackboneParams
from lightning_modules.nets.backbones import Backbone, BackboneError, build_backbone
from lightning_modules.nets.onnx_export import export_onnx
from lightning_modules.nets.timm_net import TimmNet

TINY = {"depth": 3, "embed_dim": 32, "num_heads": 2}
# Name, arguments that make the net small, size of the images, channels and sides of the levels.
NETS = {
    "tf_efficientnet_lite0": ({}, 64, (16, 24, 40, 112, 1280), (32, 16, 8, 4, 2)),
    "convnext_atto": ({"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32)}, 64, (8, 16, 24, 32), (16, 8, 4, 2)),
    "resnet10t": ({}, 64, (64, 64, 128, 256, 512), (32, 16, 8, 4, 2)),
    "mobilenetv4_conv_small": ({}, 64, (32, 32, 64, 96, 960), (32, 16, 8, 4, 2)),
    "vit_tiny_patch16_224": (TINY, 48, (32, 32, 32), (3, 3, 3)),
    "vit_pwee_patch16_reg1_gap_256": (TINY, 48, (32, 32, 32), (3, 3, 3)),
    "vit_small_patch14_reg4_dinov2": (TINY, 42, (32, 32, 32), (3, 3, 3)),
    "vit_small_patch16_dinov3": (TINY, 48, (32, 32, 32), (3, 3, 3)),
    "vit_base_patch16_clip_224": (TINY, 48, (32, 32, 32), (3, 3, 3)),
    "vit_base_patch16_siglip_224": (TINY, 48, (32, 32, 32), (3, 3, 3)),
    "deit_tiny_distilled_patch16_224": (TINY, 48, (32, 32, 32), (3, 3, 3)),
    "swin_tiny_patch4_window7_224": (
        {"depths": (1, 1, 1, 1), "embed_dim": 16, "num_heads": (1, 2, 4, 8)}, 64, (16, 32, 64, 128), (16, 8, 4, 2),
    ),
}  # fmt: skip


def small_net(name: str) -> TimmNet:
    torch.manual_seed(0)
    arguments, size, *_ = NETS[name]
    fixed = timm.get_pretrained_cfg(name).fixed_input_size
    net = timm.create_model(name, num_classes=0, **arguments, **({"img_size": size} if fixed else {}))
    return TimmNet(net, size)


def named(name: str, **changes: Any) -> BackboneParams:
    values = {"name": f"timm/{name}", "weights": "none", "width": 8, "freeze_bn": False, "channels_last": False}
    return BackboneParams(**{**values, **changes})


class Levels(nn.Module):
    """The means of all levels of a backbone, side by side."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([level.mean(dim=(2, 3)) for level in self.backbone.forward_levels(images)], dim=1)


EXPORTED = [name for name in NETS if name not in ("vit_base_patch16_clip_224", "deit_tiny_distilled_patch16_224")]


@pytest.mark.parametrize("name", list(NETS))
def test_levels_have_their_shapes(name: str):
    _, size, channels, sides = NETS[name]
    backbone = Backbone(small_net(name), freeze_bn=False).eval()
    images = torch.rand(2, 3, size, size)
    with torch.no_grad():
        levels, last = backbone.forward_levels(images), backbone(images)
    assert backbone.level_channels == channels
    assert backbone.channels == channels[-1]
    assert [tuple(level.shape) for level in levels] == [(2, c, s, s) for c, s in zip(channels, sides, strict=True)]
    assert torch.equal(levels[-1], last)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPORTED)
def test_onnx_computes_the_levels(name: str, tmp_path: Path):
    net = Levels(Backbone(small_net(name), freeze_bn=False)).eval()
    images = torch.rand(2, 3, NETS[name][1], NETS[name][1])
    assert export_onnx(net, images, tmp_path / "net.onnx", "images", "levels") < 1e-4
    assert net(images).std() > 1e-3  # a parity of constants would say nothing


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet10t", "swin_tiny_patch4_window7_224"])
def test_the_last_map_is_that_of_timms_own_forward(name: str):
    net = small_net(name).eval()
    images = torch.rand(2, 3, NETS[name][1], NETS[name][1])
    with torch.no_grad():
        expected, found = net.net.forward_features(images), net(images)
    assert torch.equal(found, expected.permute(0, 3, 1, 2) if name.startswith("swin") else expected)


def test_of_tokens_the_patches_make_the_map_row_by_row():
    net = small_net("vit_small_patch14_reg4_dinov2").eval()
    images = torch.rand(1, 3, 42, 42)
    with torch.no_grad():
        tokens, found = net.net.forward_features(images), net(images)
    assert tokens.shape[1] == 1 + 4 + 9  # class token, registers, 3 x 3 patches
    for row in range(3):
        for column in range(3):
            assert torch.equal(found[0, :, row, column], tokens[0, 5 + 3 * row + column])


@pytest.mark.parametrize("whole", [False, True])
def test_statistics_of_timms_norms_stay_when_frozen(whole: bool):
    backbone = Backbone(small_net("mobilenetv4_conv_small"), freeze_bn=not whole)
    if whole:
        backbone.freeze()
    before = {name: value.clone() for name, value in backbone.named_buffers()}
    backbone.train()(torch.rand(4, 3, 64, 64))
    assert all(torch.equal(before[name], value) for name, value in backbone.named_buffers())
    assert any(parameter.requires_grad for parameter in backbone.parameters()) != whole


def test_every_parameter_that_learns_has_a_gradient_and_the_pools_of_a_tower_do_not_learn():
    backbone = Backbone(small_net("vit_base_patch16_siglip_224"), freeze_bn=False)
    backbone(torch.rand(2, 3, 48, 48)).sum().backward()
    assert all((p.grad is not None) == p.requires_grad for p in backbone.parameters())
    assert not any(p.requires_grad for p in backbone.features.net.attn_pool.parameters())
    assert sum(p.requires_grad for p in backbone.parameters()) > 20


@pytest.mark.slow
def test_images_are_scaled_as_the_nets_own_training_did():
    siglip = build_backbone(named("vit_pwee_patch16_reg1_gap_256"), 32)
    assert siglip.mean.flatten().tolist() == siglip.std.flatten().tolist() == [0.5, 0.5, 0.5]
    lite = build_backbone(named("tf_efficientnet_lite0"), 32)
    of_255 = torch.tensor([0.0, 127.0, 255.0]).view(1, 1, 1, 3).expand(1, 3, 1, 3)
    torch.testing.assert_close(lite.normalise(of_255 / 255), (of_255 - 127) / 128, atol=1e-6, rtol=0)


def test_channels_last_changes_the_layout_and_not_the_result():
    torch.manual_seed(0)
    plain = build_backbone(named("resnet10t"), 64).eval()
    other = build_backbone(named("resnet10t", channels_last=True), 64).eval()
    other.load_state_dict(plain.state_dict())
    assert other.features.net.layer2[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(other(images), plain(images), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "size", "says"),
    [
        ("convnext_ato", 64, r"backbone\.name: timm .* has no net 'convnext_ato'; did you mean convnext_atto\?"),
        ("convnext_atto.nobody", 64, r"Invalid pretrained tag \(nobody\).*; leave the tag out"),
        ("efficientformer_l1", 64, r"cannot take images of 64 px .* its own size is 224: set base\.image_size to it"),
    ],
)
def test_nets_that_cannot_be_built_are_refused_in_one_line(name: str, size: int, says: str):
    with pytest.raises(BackboneError, match=says) as caught:
        build_backbone(named(name), size)
    assert "\n" not in str(caught.value)
