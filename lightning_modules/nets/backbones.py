"""Convolutional backbones: images in, feature maps out.

All nets take float images of shape (B, 3, S, S) in [0, 1]; the ImageNet mean and standard deviation are applied inside, so
that an exported graph carries its own preprocessing.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from croquis.params.training_blocks import Backbone as BackboneParams
from lightning_modules.nets.families import BACKBONES
from lightning_modules.nets.weights import WeightsError, load_weights

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class BackboneError(ValueError):
    """A backbone's weights cannot be used."""


LOOK_SIZE = 64  # pixels; every net of the table changes its size at the same layers as with larger images
HEAD = ("fc.", "classifier.")  # of torchvision's nets; it is cut off


class Backbone(nn.Module):
    """A feature extractor with its own normalisation.

    Attributes:
        channels: number of channels of the feature map.
        level_channels: channels of its levels, shallow to deep: the last map of each size inside the net. The last of them
            equals `channels`.
        pretrained: whether its weights were learnt before.
        compute_dtype: computes in this dtype where it is set, whatever stands around it; the map is float32 either way.
    """

    mean: Tensor
    std: Tensor
    compute_dtype: torch.dtype | None = None

    def __init__(self, features: nn.Sequential, channels: int, freeze_bn: bool, pretrained: bool = False) -> None:
        super().__init__()
        self.features = features
        self._level_ends, self.level_channels = _levels(features)
        self.channels = channels
        self.pretrained = pretrained
        self._freeze_bn = freeze_bn
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self.train()  # Lightning does not call it before it trains

    def normalise(self, images: Tensor) -> Tensor:
        """By the mean and standard deviation of ImageNet."""
        return (images - self.mean) / self.std

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [0, 1] -> (B, channels, h, w)."""
        normalised = self.normalise(images)
        if self.compute_dtype is None:
            features: Tensor = self.features(normalised)
            return features
        with torch.autocast(images.device.type, dtype=self.compute_dtype):
            wide: Tensor = self.features(normalised).float()
            return wide

    def forward_levels(self, images: Tensor) -> list[Tensor]:
        """(B, 3, S, S) in [0, 1] -> (B, C_i, h_i, w_i), largest map first, in one pass; the last is that of `forward`.

        A level is the map before a change of size inside the net, and the last map; C_i is `level_channels[i]`.
        """
        normalised = self.normalise(images)
        if self.compute_dtype is None:
            return self._run_levels(normalised)
        with torch.autocast(images.device.type, dtype=self.compute_dtype):
            return [level.float() for level in self._run_levels(normalised)]

    def _run_levels(self, seen: Tensor) -> list[Tensor]:
        levels = []
        for place, layer in enumerate(self.features):
            seen = layer(seen)
            if place in self._level_ends:
                levels.append(seen)
        return levels

    def freeze(self) -> None:
        """From now on nothing of it changes in training: neither weights nor the statistics of batch norms."""
        self.requires_grad_(False)
        self._freeze_bn = True
        self.train(self.training)

    def train(self, mode: bool = True) -> Backbone:
        """As `nn.Module.train`; frozen batch norms keep their running statistics."""
        super().train(mode)
        if self._freeze_bn:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self


def _levels(features: nn.Sequential) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Places of the layers that end the levels, and the channels there, by a look at a grey image."""
    features.eval()
    places, channels = [], []
    seen = image = torch.zeros(1, 3, LOOK_SIZE, LOOK_SIZE)
    with torch.no_grad():
        for place, layer in enumerate(features):
            deeper = layer(seen)
            if deeper.shape[-1] != seen.shape[-1] and seen is not image:
                places.append(place - 1)
                channels.append(seen.shape[1])
            seen = deeper
    return (*places, len(features) - 1), (*channels, seen.shape[1])


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut (He et al. 2016, basic block)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else _projection(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return torch.relu(y + self.shortcut(x))


class WithoutLight(nn.Module):
    """(B, 3, S, S) -> (B, 6, S, S): the image, and beside it the image with each channel at mean 0 and deviation 1.

    The second copy is the same under any white balance and exposure, the first keeps the true colours.
    """

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([images, F.instance_norm(images, eps=1e-3)], dim=1)


def _projection(inputs: int, outputs: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


def _small(width: int) -> nn.Sequential:
    """A residual net for the CPU: stem of stride 2, four stages of one block, widths w, 2w, 4w, 8w, total stride 16."""
    stem = nn.Sequential(WithoutLight(), nn.Conv2d(6, width, 5, 2, 2, bias=False), nn.BatchNorm2d(width), nn.ReLU())
    stages = [ResidualBlock(width, width, 2)]
    stages += [ResidualBlock(width * 2**i, width * 2 ** (i + 1), 2 if i < 2 else 1) for i in range(3)]
    return nn.Sequential(stem, *stages)


def build_backbone(params: BackboneParams) -> Backbone:
    """The net that `params` name, with the weights that they name.

    Raises:
        BackboneError: when weights are asked for that cannot be loaded, naming the file and the keys.
    """
    if params.name == "small":
        features, channels = _small(params.width), params.width * 8
        if params.weights != "none":
            _load(features, params.weights)
    else:
        features, channels = _torchvision_features(params), BACKBONES[params.name].channels or 0
    backbone = Backbone(features, channels, params.freeze_bn, params.weights != "none")
    return backbone.to(memory_format=torch.channels_last) if params.channels_last else backbone


def _torchvision_features(params: BackboneParams) -> nn.Sequential:
    weights = "DEFAULT" if params.weights == "imagenet" else None
    net = torchvision.models.get_model(params.name, weights=weights)
    if params.weights not in ("none", "imagenet"):
        _load(net, params.weights, HEAD)
    if hasattr(net, "features"):
        features: nn.Sequential = net.features
        return features
    return nn.Sequential(OrderedDict(list(net.named_children())[:-2]))  # a ResNet without its pooling and classifier


def _load(net: nn.Module, path: str, head: tuple[str, ...] = ()) -> None:
    try:
        load_weights(net, Path(path), head)
    except WeightsError as error:
        raise BackboneError(f"backbone.weights: {error}") from error
