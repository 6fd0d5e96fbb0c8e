"""From the maps of a backbone to one vector per image: levels pooled and joined, a colour histogram beside them.

Lower levels tell colours and textures, upper ones shapes; for pretrained nets their averages, each at length 1, find the
same garment far better than the last map alone (docs/methods.md). No layer here has weights.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from croquis.params.training_blocks import Pooling
from lightning_modules.nets.backbones import Backbone

CHANNEL_BINS = 4  # per RGB channel, 64 colours
GRID = 3  # cells per side
COLOUR_NUMBERS = CHANNEL_BINS**3 * GRID**2


class PoolingError(ValueError):
    """`backbone.pooling` does not fit the backbone's levels."""


class Pool(nn.Module):
    """What `params` say, of the maps of a backbone with `level_channels`.

    Args:
        own: what `kind: method` stands for.

    Attributes:
        dim: numbers per image.
        colours: how many of them, the last ones, are the colour histogram.

    Raises:
        PoolingError: for a level that is not there, or another number of cells than of levels.
    """

    def __init__(self, params: Pooling, level_channels: tuple[int, ...], own: Literal["average", "max"]) -> None:
        super().__init__()
        self.levels = None if params.levels == "last" else _places(params.levels, len(level_channels))
        self.colours = COLOUR_NUMBERS if params.histogram > 0 else 0
        places = self.levels or [-1]
        self._cells = _cells(params.cells, len(places))
        self.dim = sum(level_channels[place] * cells**2 for place, cells in zip(places, self._cells, strict=True))
        self.dim += self.colours
        self._largest = (own if params.kind == "method" else params.kind) == "max"
        self._normalise = params.normalise
        self._histogram = params.histogram
        self._flip = params.flip

    def forward(self, images: Tensor, backbone: Backbone) -> Tensor:
        """(B, 3, S, S) in [0, 1], through the backbone, to (B, dim).

        With `flip` the mean over a photo and its mirror image, but for training, where views are mirrored at random.
        """
        pooled = self._joined(images, backbone)
        if self._flip and not self.training:
            pooled = (pooled + self._joined(images.flip(-1), backbone)) / 2
        return pooled

    def _joined(self, images: Tensor, backbone: Backbone) -> Tensor:
        if self.levels is None:
            maps = [backbone(images)]
        else:
            found = backbone.forward_levels(images)
            maps = [found[place] for place in self.levels]
        parts = [self._pooled(each, cells) for each, cells in zip(maps, self._cells, strict=True)]
        if self.colours:
            parts.append(colour_histogram(images) * self._histogram)
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]

    def _pooled(self, features: Tensor, cells: int) -> Tensor:
        if cells == 1:
            pooled = features.amax(dim=(2, 3)) if self._largest else features.mean(dim=(2, 3))
        else:
            pool = F.adaptive_max_pool2d if self._largest else F.adaptive_avg_pool2d
            pooled = pool(features, cells).flatten(1)
        return F.normalize(pooled, dim=1) if self._normalise else pooled


def colour_histogram(images: Tensor) -> Tensor:
    """(B, 3, S, S) in [0, 1] -> (B, 576) of length 1: square roots of the counts of 64 RGB colours in 3 x 3 cells."""
    batch, _, height, width = images.shape
    seen = images.detach()
    bins = (seen * CHANNEL_BINS).long().clamp(0, CHANNEL_BINS - 1)
    colours = (bins[:, 0] * CHANNEL_BINS + bins[:, 1]) * CHANNEL_BINS + bins[:, 2]
    rows, columns = (torch.arange(side, device=images.device) * GRID // side for side in (height, width))
    cells = (rows[:, None] * GRID + columns) * CHANNEL_BINS**3
    counts = seen.new_zeros(batch, COLOUR_NUMBERS)
    numbers = (cells + colours).flatten(1)
    counts = counts.scatter_add(1, numbers, torch.ones_like(numbers, dtype=counts.dtype))
    return F.normalize(counts.sqrt(), dim=1)


def _cells(cells: int | list[int], levels: int) -> list[int]:
    """Cells per side of each level."""
    each = [cells] * levels if isinstance(cells, int) else cells
    if len(each) != levels:
        raise PoolingError(
            f"backbone.pooling.cells is {cells}, but {levels} levels are pooled: name one number for each"
        )
    return each


def _places(levels: Literal["all"] | list[int], count: int) -> list[int]:
    if levels == "all":
        return list(range(count))
    wrong = [level for level in levels if not -count <= level < count]
    if wrong:
        raise PoolingError(
            f"backbone.pooling.levels names {wrong[0]}: this backbone has {count} levels, 0 to {count - 1} or -{count} to -1"
        )
    places = [level % count for level in levels]
    if len(set(places)) < len(places):
        raise PoolingError(f"backbone.pooling.levels is {levels}, which names a level of the {count} twice")
    return places
