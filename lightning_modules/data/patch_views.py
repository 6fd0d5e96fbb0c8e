"""Pictures whose cells are permuted, all pictures of one item alike.

Source: patch shuffling of Sain et al., "CLIP for All Things Zero-Shot Sketch-Based Image Retrieval, Fine-Grained or Not"
(CVPR 2023), which permutes a drawing and its photo alike, so that the net must match them part by part. Ours has that half
alone: the source also pushes apart what was permuted otherwise. The mixed-modal jigsaw of Pang et al., "Solving Mixed-Modal
Jigsaw Puzzle for Fine-Grained Sketch-Based Image Retrieval" (CVPR 2020) is another task: there a net learns to put the
pieces of drawing and photo, mixed, back in place, before it learns to retrieve. No puzzle is solved here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_modules.training.distributed import world_size


def shuffled_cells(images: Tensor, items: Tensor, probability: float, cells: int) -> Tensor:
    """`images` (B, 3, S, S), of some items with their `cells` x `cells` cells permuted; the same shape.

    What a side that does not divide leaves over, at the right and at the bottom, stays in place.

    Args:
        items: (B,) item numbers; images of one item are permuted alike, or none of them is, in all processes.
        probability: of an item to be permuted, in [0, 1]. Permutations are drawn evenly; one may leave cells in place.
        cells: per side, at most S.

    Raises:
        ValueError: when there are more cells than pixels.
    """
    side = images.shape[-1] // cells
    if not side:
        raise ValueError(
            f"{cells} cells per side do not fit into {images.shape[-1]} pixels: choose fewer (jigsaw_cells)"
        )
    # One row of draws for each image of the global batch, equal in all processes; items take theirs by number.
    draws = torch.rand(len(images) * world_size(), 1 + cells**2, device=images.device)
    of_item = draws[items.to(draws.device) % len(draws)]
    order = of_item[:, 1:].argsort(dim=1)  # shape: (batch, cells * cells)
    whole = cells * side
    count, channels = images.shape[:2]
    parts = images[:, :, :whole, :whole].reshape(count, channels, cells, side, cells, side)
    parts = parts.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)  # shape: (batch, cells * cells, channels, side, side)
    parts = parts[torch.arange(count, device=parts.device)[:, None], order]
    mosaic = parts.reshape(count, cells, cells, channels, side, side).permute(0, 3, 1, 4, 2, 5)
    shuffled = images.clone()
    shuffled[:, :, :whole, :whole] = mosaic.reshape(count, channels, whole, whole)
    return torch.where((of_item[:, 0] < probability).view(-1, 1, 1, 1), shuffled, images)
