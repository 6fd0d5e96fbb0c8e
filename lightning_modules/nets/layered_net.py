"""Convolutional nets that are a row of layers: `small`, and those of torchvision."""

from __future__ import annotations

from collections import OrderedDict

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

LOOK_SIZE = 64  # pixels; every net of the table changes its size at the same layers as with larger images
VECTOR = 16  # numbers of float32 that a register of AVX-512 holds


class LayeredNet(nn.Sequential):
    """Layers one after the other.

    Attributes:
        level_channels: channels of the map before each change of size inside the net, shallow to deep, and of the last.
    """

    level_channels: tuple[int, ...]

    def __init__(self, layers: dict[str, nn.Module]) -> None:
        super().__init__(OrderedDict(layers))
        self._look()

    def _look(self) -> None:
        """Finds the layers that end a level, by a pass of a grey image."""
        self.eval()
        ends, channels = [], []
        seen = image = torch.zeros(1, 3, LOOK_SIZE, LOOK_SIZE)
        with torch.no_grad():
            for place, layer in enumerate(self):
                deeper = layer(seen)
                if deeper.shape[-1] != seen.shape[-1] and seen is not image:
                    ends.append(place - 1)
                    channels.append(seen.shape[1])
                seen = deeper
        self._ends, self.level_channels = (*ends, len(self) - 1), (*channels, seen.shape[1])

    def levels(self, images: Tensor) -> list[Tensor]:
        """(B, 3, S, S) -> (B, C_i, h_i, w_i) for each level, largest map first; the last is that of `forward`."""
        found, seen = [], images
        for place, layer in enumerate(self):
            seen = layer(seen)
            if place in self._ends:
                found.append(seen)
        return found


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


class NarrowProjection(nn.Conv2d):
    """A convolution of one place, without bias, that takes its stride from the map before it.

    oneDNN's own strided one ends the process in its backward pass where fewer channels than a vector of AVX-512 holds, in
    channels-last order, come from a map of 56 x 56 or more (torch 2.14). It computes the same.
    """

    def forward(self, maps: Tensor) -> Tensor:
        down, across = self.stride
        return F.conv2d(maps[:, :, ::down, ::across], self.weight)


def _projection(inputs: int, outputs: int, stride: int) -> nn.Module:
    kind = NarrowProjection if inputs < VECTOR else nn.Conv2d
    return nn.Sequential(kind(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


def small_net(width: int) -> LayeredNet:
    """A residual net for the CPU: stem of stride 2, four stages of one block, widths w, 2w, 4w, 8w, total stride 16."""
    stem = nn.Sequential(WithoutLight(), nn.Conv2d(6, width, 5, 2, 2, bias=False), nn.BatchNorm2d(width), nn.ReLU())
    stages = [ResidualBlock(width, width, 2)]
    stages += [ResidualBlock(width * 2**i, width * 2 ** (i + 1), 2 if i < 2 else 1) for i in range(3)]
    return LayeredNet({str(place): layer for place, layer in enumerate([stem, *stages])})


def without_head(net: nn.Module) -> LayeredNet:
    """A net of torchvision without its pooling and classifier."""
    if isinstance(net, torchvision.models.ResNet):
        return LayeredNet(dict(list(net.named_children())[:-2]))
    return LayeredNet(dict(net.get_submodule("features").named_children()))
