"""Random views of a batch: every image gets its own crop, rotation, flip, colours and erased rectangle.

Vectorised over the batch, so that it costs little beside the net and runs wherever the batch is. Randomness comes from
torch's global generator, which `lightning_modules.training.numerics` seeds for every batch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from croquis.params.training_blocks import Augment, Geometry
from lightning_modules.training.distributed import own_part, world_size

LUMA = (0.299, 0.587, 0.114)
# RGB -> YIQ (NTSC 1953); a hue shift is a rotation of the IQ plane.
RGB_TO_YIQ = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))


def augment(images: Tensor, params: Augment) -> Tensor:
    """One random view of each image; (B, 3, S, S) in [0, 1] in and out."""
    views = geometry(images, params)
    views = colours(views, params)
    return erase(views, params.erase)


def uniform(batch: Tensor, low: float, high: float) -> Tensor:
    """(B,) draws, one per image; with several processes, this one's part of the draws for the global batch."""
    return own_part(torch.rand(len(batch) * world_size(), device=batch.device)) * (high - low) + low


def geometry(images: Tensor, params: Geometry) -> Tensor:
    """Crop, rotation and flip in one resampling; what lies outside is filled with the nearest pixel."""
    if params.crop_scale == 1 and params.rotate == 0 and params.flip == 0:
        return images
    angle = uniform(images, -params.rotate, params.rotate) * (math.pi / 180)
    side = uniform(images, params.crop_scale, 1.0).sqrt()
    aspect = torch.exp(uniform(images, -0.15, 0.15)) if params.crop_scale < 1 else torch.ones_like(side)
    flip = torch.where(uniform(images, 0, 1) < params.flip, -1.0, 1.0)
    shift_x, shift_y = uniform(images, -1, 1) * (1 - side), uniform(images, -1, 1) * (1 - side)
    cos, sin = torch.cos(angle) * side, torch.sin(angle) * side
    return resampled(images, [flip * cos * aspect, -sin / aspect, shift_x, flip * sin * aspect, cos / aspect, shift_y])


def resampled(images: Tensor, entries: list[Tensor]) -> Tensor:
    """Images seen through affine maps whose six entries, row by row, are (B,) each; outside is the nearest pixel."""
    theta = torch.stack(entries, dim=1).view(-1, 2, 3)  # shape: (batch, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def colours(images: Tensor, params: Augment) -> Tensor:
    """Brightness, contrast, saturation and hue, each image by factors of its own."""

    def factor(strength: float) -> Tensor:
        return uniform(images, 1 - strength, 1 + strength).view(-1, 1, 1, 1)

    if params.brightness:
        images = images * factor(params.brightness)
    if params.contrast:
        grey = luma(images).mean(dim=(2, 3), keepdim=True)
        images = grey + (images - grey) * factor(params.contrast)
    if params.saturation:
        grey = luma(images)
        images = grey + (images - grey) * factor(params.saturation)
    if params.hue:
        images = _rotate_hue(images, uniform(images, -params.hue, params.hue) * (2 * math.pi))
    return images.clamp(0, 1)


def luma(images: Tensor) -> Tensor:
    """(B, 3, S, S) -> (B, 1, S, S), the grey image."""
    weights = images.new_tensor(LUMA).view(1, 3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True)


def _rotate_hue(images: Tensor, angle: Tensor) -> Tensor:
    to_yiq = images.new_tensor(RGB_TO_YIQ)
    rotation = torch.zeros(len(images), 3, 3, device=images.device)
    rotation[:, 0, 0] = 1
    rotation[:, 1, 1] = rotation[:, 2, 2] = torch.cos(angle)
    rotation[:, 1, 2], rotation[:, 2, 1] = -torch.sin(angle), torch.sin(angle)
    matrix = torch.linalg.inv(to_yiq) @ rotation @ to_yiq  # shape: (batch, 3, 3)
    return torch.einsum("bij,bjhw->bihw", matrix, images)


def erase(images: Tensor, probability: float) -> Tensor:
    """Paints a rectangle of 5 to 20 % of the area in the image's mean colour (Zhong et al. 2020, random erasing)."""
    if probability == 0:
        return images
    size = images.shape[-1]
    area = uniform(images, 0.05, 0.2)
    aspect = torch.exp(uniform(images, -0.7, 0.7))
    height, width = (area * aspect).sqrt() * size, (area / aspect).sqrt() * size
    top, left = uniform(images, 0, 1) * (size - height), uniform(images, 0, 1) * (size - width)
    steps = torch.arange(size, device=images.device, dtype=images.dtype).view(1, -1)
    inside_y = (steps >= top.view(-1, 1)) & (steps < (top + height).view(-1, 1))
    inside_x = (steps >= left.view(-1, 1)) & (steps < (left + width).view(-1, 1))
    chosen = (uniform(images, 0, 1) < probability).view(-1, 1, 1, 1)
    mask = chosen & inside_y[:, None, :, None] & inside_x[:, None, None, :]
    return torch.where(mask, images.mean(dim=(2, 3), keepdim=True), images)
