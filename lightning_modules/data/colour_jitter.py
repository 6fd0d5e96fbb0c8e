"""Colour jitter as the official codes of SPQ and DHD ran it, and as it is usually done.

Both change brightness, contrast, saturation and hue in an order drawn by chance, and cut values to [0, 1] after each change.
With f drawn from [1 - strength, 1 + strength], h from [-hue, hue] turns, and grey = 0.299 R + 0.587 G + 0.114 B:

| | `kornia` (kornia 0.5.10, which SPQ's README pins; read 2026-11) | `torchvision` (`ColorJitter`) |
|---|---|---|
| brightness | x + (f - 1) | f x |
| contrast | f x | f x + (1 - f) * mean of grey |
| saturation | saturation of HSV times f | f x + (1 - f) * grey |
| hue | hue of HSV plus h | the same |
| order | one for the whole batch | one for each image |

At strengths of 0.4, 0.4, 0.4 and 0.1, drawn for 8 images of 10, CIFAR pictures move by a root mean square of 0.21 by the
first, 0.11 by the second and by our own. Our own jitter (`lightning_modules.data.augment`)
has a fixed order, keeps what leaves [0, 1] until the end, and turns the hue in YIQ.
"""

from __future__ import annotations

import torch
from torch import Tensor

from croquis.params.training_blocks import StrongAugment
from lightning_modules.data.augment import luma, uniform

CHANGES = 4


def jitter(images: Tensor, params: StrongAugment) -> Tensor:
    """Every image with factors of its own, by `params.recipe`, `kornia` or `torchvision`; (B, 3, S, S) in [0, 1]."""
    strengths = (params.brightness, params.contrast, params.saturation)
    factors = [uniform(images, 1 - strength, 1 + strength) for strength in strengths]
    factors.append(uniform(images, -params.hue, params.hue))
    if params.recipe == "kornia":
        order = torch.randperm(CHANGES, device=images.device).expand(len(images), CHANGES)
    else:
        order = torch.stack([uniform(images, 0, 1) for _ in range(CHANGES)], dim=1).argsort(dim=1)
    return changed(images, torch.stack(factors, dim=1), order, params.recipe == "kornia")


def changed(images: Tensor, factors: Tensor, order: Tensor, as_kornia: bool) -> Tensor:
    """The four changes.

    Args:
        images: (B, 3, S, S) in [0, 1].
        factors: (B, 4) of brightness, contrast, saturation, around 1, and of hue in turns, around 0.
        order: (B, 4), each row the numbers 0 to 3 in the order in which that image is changed.
    """
    change = _kornia if as_kornia else _torchvision
    views = images.clone()
    for place in range(CHANGES):
        for number in range(CHANGES):
            chosen = order[:, place] == number
            if chosen.any():
                views[chosen] = change(number, views[chosen], factors[chosen, number].view(-1, 1, 1, 1)).clamp(0, 1)
    return views


def _kornia(number: int, images: Tensor, factor: Tensor) -> Tensor:
    match number:
        case 0:
            return images + (factor - 1)
        case 1:
            return images * factor
        case 2:
            hue, saturation, value = hsv(images)
            return rgb(hue, (saturation * factor).clamp(0, 1), value)
    return _turned(images, factor)


def _torchvision(number: int, images: Tensor, factor: Tensor) -> Tensor:
    match number:
        case 0:
            return images * factor
        case 1:
            return images * factor + (1 - factor) * luma(images).mean(dim=(2, 3), keepdim=True)
        case 2:
            return images * factor + (1 - factor) * luma(images)
    return _turned(images, factor)


def _turned(images: Tensor, turns: Tensor) -> Tensor:
    hue, saturation, value = hsv(images)
    return rgb(hue + turns, saturation, value)


def hsv(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Hue in turns [0, 1), saturation and value in [0, 1], (B, 1, S, S) each; a grey pixel has hue and saturation 0."""
    red, green, blue = (images[:, channel : channel + 1] for channel in range(3))
    value, largest = images.max(dim=1, keepdim=True)
    range_ = value - images.amin(dim=1, keepdim=True)
    safe = torch.where(range_ > 0, range_, 1.0)
    sixths = torch.cat([(green - blue) / safe, 2 + (blue - red) / safe, 4 + (red - green) / safe], dim=1)
    hue = torch.where(range_ > 0, sixths.gather(1, largest) / 6, 0.0)
    return hue % 1, range_ / torch.where(value > 0, value, 1.0), value


def rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Back from `hsv`; the hue may be any number of turns. (B, 3, S, S)."""
    offsets = torch.tensor([5.0, 3.0, 1.0], device=hue.device, dtype=hue.dtype).view(1, 3, 1, 1)
    place = (offsets + 6 * hue) % 6
    share = torch.minimum(place, 4 - place).clamp(0, 1)
    return value - value * saturation * share
