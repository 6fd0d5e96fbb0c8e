"""The triplet loss on Euclidean distance, and the ways to choose its negatives inside a batch.

Loss (Schroff et al. 2015; Gajic & Baldrich 2018): L(a, p, n) = max(0, m + d(a, p) - d(a, n)).
"""

from __future__ import annotations

import torch
from torch import Tensor

FAR = 1e9


def pairwise_distances(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances, (A, D) and (B, D) -> (A, B); differentiable at 0 (the gradient there is 0)."""
    squared = a.square().sum(1, keepdim=True) + b.square().sum(1) - 2 * a @ b.T
    positive = squared > 0
    return torch.where(positive, torch.where(positive, squared, 1.0).sqrt(), 0.0)


def triplet_losses(positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    """max(0, margin + positive - negative), element by element."""
    return torch.relu(margin + positive - negative)


def allowed_positives(same_item: Tensor, crossing: Tensor) -> Tensor:
    """Which pairs may be anchor and positive: of one item, and of two domains where the anchor has such a partner.

    Args:
        same_item: (B, B) bool.
        crossing: (B, B) bool, whether the two images are of different domains.

    Returns:
        (B, B) bool, false on the diagonal.
    """
    pairs = same_item & ~torch.eye(len(same_item), dtype=torch.bool, device=same_item.device)
    across = pairs & crossing
    return torch.where(across.any(dim=1, keepdim=True), across, pairs)


def hardest_positives(distances: Tensor, positives: Tensor) -> Tensor:
    """The farthest positive of each anchor that has one (Hermans et al. 2017); (B, B) bool with at most one per row."""
    farthest = distances.masked_fill(~positives, -torch.inf).argmax(dim=1, keepdim=True)
    return torch.zeros_like(positives).scatter(1, farthest, True) & positives


def batch_hard_negatives(distances: Tensor, other_item: Tensor) -> Tensor:
    """The nearest image of another item (Hermans et al. 2017); (N, B) -> (N,)."""
    return distances.masked_fill(~other_item, FAR).amin(dim=1)


def semi_hard_negatives(distances: Tensor, other_item: Tensor, positive: Tensor) -> Tensor:
    """The nearest negative that is farther than the positive, else the farthest one (Schroff et al. 2015); (N,)."""
    farther = other_item & (distances > positive.unsqueeze(1))
    nearest = distances.masked_fill(~farther, FAR).amin(dim=1)
    farthest = distances.masked_fill(~other_item, -FAR).amax(dim=1)
    return torch.where(farther.any(dim=1), nearest, farthest)


def random_negatives(distances: Tensor, other_item: Tensor) -> Tensor:
    """A random image of another item; (N, B) -> (N,)."""
    chosen = torch.multinomial(other_item.float(), 1)
    return distances.gather(1, chosen).squeeze(1)
