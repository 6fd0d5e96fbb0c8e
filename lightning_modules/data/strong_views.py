"""Views whose changes each happen by chance, as the self-distilling and contrastive methods draw them.

Source of the recipe: the official code of Deep Hash Distillation (resized crop, flip, colour jitter, grey, Gaussian blur, in
this order, each with a probability of its own). Deviations: the crop's aspect ratio varies by 16 % and not by 33 %, and the
params may also rotate and erase.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from croquis.params.training_blocks import StrongAugment
from lightning_modules.data.augment import colours, erase, geometry, luma, uniform

KERNEL_SHARE = 0.1
SMALLEST_SIGMA = 0.1


def strong_view(images: Tensor, params: StrongAugment, share: float = 1.0) -> Tensor:
    """One random view of each image; (B, 3, S, S) in [0, 1] in and out.

    Args:
        share: factor on all probabilities in [0, 1]; below 1 the view is weaker (the paper's s_T).
    """
    cropped = geometry(images, params.model_copy(update={"flip": 0.0}))
    views = by_chance(images, cropped, params.crop * share)
    views = by_chance(views, views.flip(3), params.flip * share)
    views = by_chance(views, colours(views, params), params.jitter * share)
    views = by_chance(views, luma(views).expand_as(views), params.grey * share)
    views = _blur_some(views, params.blur * share, params.blur_sigma)
    return erase(views, params.erase * share)


def by_chance(images: Tensor, changed: Tensor, probability: float) -> Tensor:
    """Takes each image from `changed` with `probability`."""
    chosen = uniform(images, 0, 1) < probability
    return torch.where(chosen.view(-1, 1, 1, 1), changed, images)


def _blur_some(images: Tensor, probability: float, largest_sigma: float) -> Tensor:
    """Only the chosen images are computed, since a blur costs more than all other changes together."""
    if probability == 0:
        return images
    chosen, sigmas = uniform(images, 0, 1) < probability, uniform(images, SMALLEST_SIGMA, largest_sigma)
    views = images.clone()
    views[chosen] = blur(images[chosen], sigmas[chosen])
    return views


def blur(images: Tensor, sigmas: Tensor) -> Tensor:
    """Gaussian blur, each image by its own standard deviation in pixels; (B, C, S, S) and (B,) -> (B, C, S, S).

    The kernel reaches a twentieth of the side to either side of its centre, rounded, and at least 1 pixel: 7 pixels at 56.
    (SPQ's code has int(0.1 * side), 5 there.) Beyond the edge the image is mirrored.
    """
    reach = max(1, round(KERNEL_SHARE * images.shape[-1] / 2))
    steps = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    weights = torch.softmax(-0.5 * (steps / sigmas.unsqueeze(1)).square(), dim=1)  # shape: (batch, kernel)
    for axis in (2, 3):
        pad = (0, 0, reach, reach) if axis == 2 else (reach, reach, 0, 0)
        padded = F.pad(images, pad, mode="reflect")
        shifted = (
            padded.narrow(axis, i, images.shape[axis]) * weights[:, i].view(-1, 1, 1, 1) for i in range(len(steps))
        )
        images = torch.stack(list(shifted)).sum(0)
    return images
