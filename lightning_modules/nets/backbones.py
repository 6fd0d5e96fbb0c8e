"""Backbones: images in, feature maps out.

All nets take float images of shape (B, 3, S, S) in [0, 1]; mean and standard deviation of the net's own training are applied
inside, so that an exported graph carries its own preprocessing. `small` has those of ImageNet.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torchvision
from torch import Tensor, nn

from croquis.params.training_blocks import Backbone as BackboneParams
from lightning_modules.nets.joint.openclip_net import OpenClipError, OpenClipNet, openclip_net
from lightning_modules.nets.layered_net import LayeredNet, small_net, without_head
from lightning_modules.nets.timm_net import TimmError, TimmNet, timm_net
from lightning_modules.nets.weight_sources import ELSEWHERE, weights_file
from lightning_modules.nets.weights import WeightsError, load_weights

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class BackboneError(ValueError):
    """There is no such backbone, or its weights cannot be used."""


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

    def __init__(
        self,
        features: LayeredNet | TimmNet | OpenClipNet,
        freeze_bn: bool,
        pretrained: bool = False,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.features = features
        self.level_channels = features.level_channels
        self.channels = self.level_channels[-1]
        self.pretrained = pretrained
        self._freeze_bn = freeze_bn
        self.register_buffer("mean", torch.tensor(tuple(mean)).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(tuple(std)).view(1, 3, 1, 1), persistent=False)
        self.train()  # Lightning does not call it before it trains

    def normalise(self, images: Tensor) -> Tensor:
        """By the mean and standard deviation that the net was trained with."""
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
            return self.features.levels(normalised)
        with torch.autocast(images.device.type, dtype=self.compute_dtype):
            return [level.float() for level in self.features.levels(normalised)]

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
                if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                    module.eval()
        return self


def build_backbone(params: BackboneParams, image_size: int | None = None) -> Backbone:
    """The net that `params` name, with the weights that they name.

    Args:
        image_size: side of the images, pixels; nets of tokens take this size only. None: that of the net's own training.

    Raises:
        BackboneError: when there is no such net for this size, or its weights cannot be had; naming key and fix.
    """
    library, _, name = params.name.rpartition("/")
    features: LayeredNet | TimmNet | OpenClipNet
    mean: Sequence[float]
    std: Sequence[float]
    try:
        if library == "timm":
            features, mean, std = timm_net(name, params.weights, image_size)
        elif library == "openclip":
            features, mean, std = openclip_net(name, params.weights, image_size)
        elif library == "torchvision":
            features, mean, std = _torchvision_net(name, params.weights)
        else:
            features, mean, std = small_net(params.width), IMAGENET_MEAN, IMAGENET_STD
            if params.weights != "none":
                load_weights(features, weights_file(params.weights))
    except (OpenClipError, TimmError) as error:
        raise BackboneError(f"backbone.name: {error}") from error
    except WeightsError as error:
        raise BackboneError(f"backbone.weights: {error}") from error
    backbone = Backbone(features, params.freeze_bn, params.weights != "none", mean, std)
    return backbone.to(memory_format=torch.channels_last) if params.channels_last else backbone


def _torchvision_net(name: str, weights: str) -> tuple[LayeredNet, Sequence[float], Sequence[float]]:
    trained = torchvision.models.get_model_weights(name).DEFAULT
    try:
        net = torchvision.models.get_model(name, weights=trained if weights == "pretrained" else None)
    except OSError as error:
        raise WeightsError(
            f"{trained.url} cannot be fetched ({error}); reach it from this machine, {ELSEWHERE}"
        ) from error
    if weights not in ("none", "pretrained"):
        load_weights(net, weights_file(weights), HEAD)
    transforms = trained.transforms()
    return without_head(net), transforms.mean, transforms.std
