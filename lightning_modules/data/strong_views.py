"""Views whose changes each happen by chance, as the self-distilling and contrastive methods draw them.

Source: the official codes of SPQ and Deep Hash Distillation (resized crop, flip, colour jitter, grey, Gaussian blur, in this
order, each with a probability of its own). `views.recipe` says by whose rules crop, jitter and blur are made:

`kornia`, as those codes ran, by kornia 0.5:
  crop: inside the image, width to height from 3/4 to 4/3
  jitter: adds brightness, scales contrast about 0, see `lightning_modules.data.colour_jitter`
  blur: always the same, and along the rows alone, see `row_blur`
`torchvision`, as is usual:
  crop: the same
  jitter: multiplies brightness, scales contrast about the mean
  blur: sigma drawn from 0.1 to `blur_sigma`
`ours`:
  crop: of the same shapes, but it may pass the border, where edge pixels are repeated (one crop of six at `crop_scale:
  0.08`)
  jitter: as torchvision's, in a fixed order, hue by YIQ
  blur: as torchvision's

Deviations of `kornia`: a crop is placed to a fraction of a pixel and not to whole pixels; and the params may also rotate and
erase.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from croquis.params.training_blocks import StrongAugment
from lightning_modules.data.augment import colours, erase, geometry, luma, resampled, uniform
from lightning_modules.data.colour_jitter import jitter

KERNEL_SHARE = 0.1
SMALLEST_SIGMA = 0.1
ASPECT, TRIES = 4 / 3, 10  # of a crop inside the image: largest width to height, and draws until it fits


def strong_view(images: Tensor, params: StrongAugment, share: float = 1.0) -> Tensor:
    """One random view of each image; (B, 3, S, S) in [0, 1] in and out.

    Args:
        share: factor on all probabilities in [0, 1]; below 1 the view is weaker (the paper's s_T).
    """
    own = params.recipe == "ours"
    cropped = geometry(images, params.model_copy(update={"flip": 0.0})) if own else inner_crop(images, params)
    views = by_chance(images, cropped, params.crop * share)
    views = by_chance(views, views.flip(3), params.flip * share)
    views = by_chance(views, colours(views, params) if own else jitter(views, params), params.jitter * share)
    views = by_chance(views, luma(views).expand_as(views), params.grey * share)
    if params.recipe == "kornia":
        views = by_chance(views, row_blur(views, params.blur_sigma), params.blur * share)
    else:
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
    """
    weights = gaussian(sigmas, max(1, round(KERNEL_SHARE * images.shape[-1] / 2)))
    return smoothed(smoothed(images, weights, 2), weights, 3)


def row_blur(images: Tensor, sigma: float) -> Tensor:
    """The blur that the official codes come to: along the rows only, every chosen image alike; (B, C, S, S).

    They ask kornia 0.5 for a sigma "(0.1, 2.0)", meant as a range, which it takes for 0.1 down the columns and 2 along the
    rows. The kernel has int(0.1 * side) taps, one less where that is even, and at least 3: at 32 px weights of 0.319,
    0.362, 0.319.
    """
    reach = max(1, (int(KERNEL_SHARE * images.shape[-1]) - 1) // 2)
    return smoothed(images, gaussian(images.new_full((len(images),), sigma), reach), 3)


def gaussian(sigmas: Tensor, reach: int) -> Tensor:
    """Weights of the steps from -reach to reach, each row of sum 1; (B,) -> (B, 2 * reach + 1)."""
    steps = torch.arange(-reach, reach + 1, device=sigmas.device, dtype=sigmas.dtype)
    return torch.softmax(-0.5 * (steps / sigmas.unsqueeze(1)).square(), dim=1)


def smoothed(images: Tensor, weights: Tensor, axis: int) -> Tensor:
    """Each image's weighted mean (B, 2 * reach + 1) of its neighbours along one axis; beyond the edge it is mirrored."""
    reach = weights.shape[1] // 2
    pad = (0, 0, reach, reach) if axis == 2 else (reach, reach, 0, 0)
    padded = F.pad(images, pad, mode="reflect")
    shifted = (
        padded.narrow(axis, i, images.shape[axis]) * weights[:, i].view(-1, 1, 1, 1) for i in range(weights.shape[1])
    )
    return torch.stack(list(shifted)).sum(0)


def inner_crop(images: Tensor, params: StrongAugment) -> Tensor:
    """A crop inside the image, stretched to its size, and a rotation; (B, 3, S, S).

    Area and logarithm of width to height are drawn evenly, up to ten times until width and height fit; else all is kept.
    """
    area = torch.stack([uniform(images, params.crop_scale, 1.0) for _ in range(TRIES)])
    half = torch.stack([uniform(images, -0.5, 0.5) for _ in range(TRIES)]) * math.log(ASPECT)
    # Sides as shares of the image's; half the logarithm goes to either. shape: (tries, batch)
    wide, high = area.sqrt() * torch.exp(half), area.sqrt() / torch.exp(half)
    fits = (wide <= 1) & (high <= 1)
    first = fits.int().argmax(dim=0, keepdim=True)
    wide, high = (torch.where(fits.any(dim=0), each.gather(0, first).squeeze(0), 1.0) for each in (wide, high))
    x, y = uniform(images, -1, 1) * (1 - wide), uniform(images, -1, 1) * (1 - high)
    angle = uniform(images, -params.rotate, params.rotate) * (math.pi / 180)
    cos, sin = torch.cos(angle), torch.sin(angle)
    return resampled(images, [cos * wide, -sin * high, x, sin * wide, cos * high, y])
