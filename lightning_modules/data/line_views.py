"""Random views of line drawings: place and proportion as for photos, lines thicker or thinner, parts not drawn. Edge maps of
photos, to be seen like drawings.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from croquis.catalog.edge_maps import edge_map
from croquis.params.training_blocks import DrawingViews
from lightning_modules.data.augment import erase, geometry
from lightning_modules.data.strong_views import by_chance


def drawing_views(drawings: Tensor, params: DrawingViews) -> Tensor:
    """One random view of each drawing, dark on white; (B, 3, S, S) in [0, 1] in and out."""
    views = geometry(drawings, params)
    views = by_chance(views, thicker(views), params.thicken)
    views = by_chance(views, thinner(views), params.thin)
    return without_parts(views, params.erase)


def thicker(drawings: Tensor) -> Tensor:
    """Every pixel as dark as its darkest neighbour among the four and itself."""
    ink = 1 - drawings
    across = F.max_pool2d(ink, (1, 3), 1, (0, 1))
    down = F.max_pool2d(ink, (3, 1), 1, (1, 0))
    return 1 - torch.maximum(across, down)


def thinner(drawings: Tensor) -> Tensor:
    """Lines as a thinner pen leaves them: half the ink of each pixel, less where the neighbourhood is white."""
    ink = 1 - drawings
    return 1 - ink * (0.5 + 0.5 * F.avg_pool2d(ink, 3, 1, 1))


def without_parts(drawings: Tensor, probability: float) -> Tensor:
    """Some drawings with a rectangle of blank paper; `erase` paints in the mean colour, which here is nearly white."""
    erased = erase(drawings, probability)
    return torch.where(erased == drawings, drawings, torch.ones_like(drawings))


def edge_maps(photos: Tensor) -> Tensor:
    """Canny edges of photos, uint8 (B, 3, S, S) in and out: dark lines on white, on the same device."""
    pictures = photos.permute(0, 2, 3, 1).cpu().numpy()
    maps = np.array([edge_map(picture) for picture in pictures], dtype=np.uint8).reshape(-1, 1, *photos.shape[2:])
    return torch.from_numpy(maps).to(photos.device).expand_as(photos)
