"""Batches that are spread over processes: losses that compare images within a batch must see all of it.

Source of the scaling: DistributedDataParallel averages gradients over ranks. Every rank computes the loss of the global
batch; the backward pass of the gather sums what all ranks owe to a rank's own embeddings, so that the average over W ranks
is the gradient of one process with the same global batch.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_gather


def is_spread() -> bool:
    """Whether several processes train together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def world_size() -> int:
    """Number of processes that train together; 1 without any."""
    return dist.get_world_size() if is_spread() else 1


def rank() -> int:
    """Number of this process among them; 0 without any."""
    return dist.get_rank() if is_spread() else 0


def own_part(values: Tensor) -> Tensor:
    """This process's rows of something made for the global batch; (W * B, ...) -> (B, ...).

    What is drawn at random for the global batch, by the seed that all ranks share, and cut by this is what one process
    would have drawn.
    """
    size = len(values) // world_size()
    return values[rank() * size : (rank() + 1) * size]


def gather_with_gradient(values: Tensor) -> Tensor:
    """(B, ...) of every rank -> (W * B, ...), in rank order; the gradient flows back to each rank's part.

    Every rank must hold the same number of rows.
    """
    return torch.cat(all_gather(values)) if is_spread() else values  # type: ignore[no-untyped-call]


def gather(values: Tensor) -> Tensor:
    """As `gather_with_gradient`, for labels: no gradient, any dtype."""
    if not is_spread():
        return values
    parts = [torch.empty_like(values) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, values.contiguous())
    return torch.cat(parts)
