"""The perceptual loss: its maps, its value against loops, and that the net behind it never moves."""

from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from croquis.params.training_blocks import Backbone as BackboneParams
from lightning_modules.nets.backbones import Backbone, BackboneError, build_backbone
from lightning_modules.nets.layered_net import LayeredNet
from lightning_modules.nets.perceptual import PerceptualNet, perceptual_net


@pytest.fixture
def net() -> PerceptualNet:
    torch.manual_seed(0)
    return perceptual_net("torchvision/vgg16", "none")


@pytest.mark.slow
def test_maps_of_vgg16_are_the_classical_layers():
    torch.manual_seed(0)
    params = BackboneParams(name="torchvision/vgg16", weights="none", width=8, freeze_bn=True, channels_last=False)
    backbone = build_backbone(params)
    net, image = PerceptualNet(backbone), torch.rand(1, 3, 32, 32)
    relus = [3, 8, 15, 22, 29]  # relu1_2, relu2_2, relu3_3, relu4_3, relu5_3 in torchvision's numbering
    with torch.no_grad():
        found = net.maps(image)
        expected = [backbone.features[: i + 1](backbone.normalise(image)) for i in [*relus, 30]]
    assert len(found) == len(expected)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_a_stem_that_shrinks_the_image_does_not_make_the_image_a_map():
    layers = [nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 1)]
    net = LayeredNet({str(place): layer for place, layer in enumerate(layers)})
    maps = PerceptualNet(Backbone(net, freeze_bn=True)).maps(torch.rand(2, 3, 16, 16))
    assert [tuple(found.shape) for found in maps] == [(2, 4, 8, 8), (2, 5, 4, 4)]


def test_the_loss_against_loops(net: PerceptualNet):
    images, made = torch.rand(3, 3, 16, 16), torch.rand(3, 3, 16, 16)
    expected = []
    for wanted, found in zip(net.maps(images), net.maps(made), strict=True):
        for x, y in zip(wanted, found, strict=True):
            difference, scale = 0.0, 0.0
            for a, b in zip(x.flatten().tolist(), y.flatten().tolist(), strict=True):
                difference += (a - b) ** 2
                scale += a**2
            expected.append(difference / scale)
    assert net(images, made).item() == pytest.approx(sum(expected) / len(expected), rel=1e-5)
    assert net(images, images) == 0


def test_the_gradient_flows_to_what_was_made(net: PerceptualNet):
    net = net.double()
    images = torch.rand(1, 3, 8, 8, dtype=torch.float64)
    made = torch.rand(1, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda y: net(images, y), (made,))


@pytest.mark.slow
def test_the_net_is_frozen_whatever_is_asked(tmp_path: Path):
    torch.manual_seed(0)
    trained = torchvision.models.resnet18()
    torch.save(trained.state_dict(), tmp_path / "resnet18.pth")
    net = perceptual_net("torchvision/resnet18", str(tmp_path / "resnet18.pth")).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net(torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32, requires_grad=True)).backward()
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert not any(p.requires_grad for p in net.parameters())
    assert torch.equal(net.backbone.features[0].weight, trained.conv1.weight)


@pytest.mark.slow
def test_missing_weights_are_named_by_their_param(tmp_path: Path):
    with pytest.raises(BackboneError, match=r"triplet_gan\.perceptual_weights.*missing\.pth does not exist"):
        perceptual_net("torchvision/vgg16", str(tmp_path / "missing.pth"))
