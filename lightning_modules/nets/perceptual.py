"""Perceptual loss: two images differ by what a frozen net sees in them (Johnson et al. 2016).

  L_perc(x, y) = 1/L sum_l |phi_l(x) - phi_l(y)|^2 / |phi_l(x)|^2

phi_l is a level of the net, the last feature map of each size; for VGG-16 these are the classical relu1_2, relu2_2, relu3_3,
relu4_3 and relu5_3, and the last pooling. The weight of a layer is one over |phi_l(x)|^2: layers count alike, whatever their
scale.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from croquis.params.training_blocks import Backbone as BackboneParams
from croquis.params.training_blocks import TorchvisionName
from lightning_modules.nets.backbones import Backbone, BackboneError, build_backbone
from lightning_modules.nets.layered_net import LayeredNet

RANDOM_WIDTHS = (8, 16, 32, 64)


class FrozenNet(nn.Module):
    """A net that never learns: no gradient to its weights, batch norms always by their stored statistics."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        return super().train(False)


class PerceptualNet(FrozenNet):
    """The loss by the levels of a frozen net."""

    def maps(self, images: Tensor) -> list[Tensor]:
        """The levels of the net, as `Backbone.forward_levels` gives them, in the precision of the images."""
        return [level.to(images.dtype) for level in self.backbone.forward_levels(images)]

    def forward(self, images: Tensor, made: Tensor) -> Tensor:
        """Mean perceptual loss of (B, 3, S, S) images and what was made of them; the gradient flows to `made` only."""
        with torch.no_grad():
            wanted = self.maps(images)
        terms = [
            ((a - b).square().sum((1, 2, 3)) / a.square().sum((1, 2, 3)).clamp_min(1e-12)).mean()
            for a, b in zip(wanted, self.maps(made), strict=True)
        ]
        return torch.stack(terms).mean()


def perceptual_net(name: TorchvisionName, weights: str, block: str = "triplet_gan") -> PerceptualNet:
    """A torchvision net with weights as `backbone.weights` names them, or a random one where they are `none`.

    Args:
        block: of params.yaml, to be named in errors.

    Raises:
        BackboneError: when the file is missing or does not fit the net.
    """
    if weights == "none":
        return PerceptualNet(Backbone(random_features(), freeze_bn=True))
    params = BackboneParams(name=name, weights=weights, width=32, freeze_bn=True, channels_last=False)
    try:
        return PerceptualNet(build_backbone(params))
    except BackboneError as error:
        raise BackboneError(f"{block}.perceptual_weights, read as {error}") from error


def random_features() -> LayeredNet:
    """Four 3x3 convolutions with ReLU and average pooling between, weights drawn at random (He et al. 2015).

    The stand-in where no trained weights are at hand. Random filters respond to edges, colours and textures at four scales,
    enough to compare images by local structure (He, Wang & Hopcroft 2016; Ustyuzhaninov et al. 2017); they have not learned
    what the images show, and are weaker than a net trained on ImageNet.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in zip((3, *RANDOM_WIDTHS), RANDOM_WIDTHS, strict=False):
        convolution = nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        layers += [convolution, nn.ReLU(), nn.AvgPool2d(2)]
    return LayeredNet({str(place): layer for place, layer in enumerate(layers[:-1])})
