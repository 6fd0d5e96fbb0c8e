"""The second baseline of every table: siamese's architecture with its initial weights. It learns nothing."""

from __future__ import annotations

from pydantic import Field

from croquis.params import Params
from croquis.params.block import Block
from lightning_modules.methods import Method
from lightning_modules.nets.retrieval_net import Embedder, max_pool_net


class UntrainedParams(Block):
    """The second baseline: siamese's net with its initial weights."""

    embedding_dim: int = Field(ge=2, le=4096)


def fixed_net(params: Params) -> Embedder:
    """Siamese's net as it starts: backbone, pooled maps, and a fully connected layer with random weights."""
    dim = params.method("untrained").embedding_dim
    return max_pool_net(params.train_embedder.backbone, dim, centre=False, image_size=params.base.image_size)


METHOD = Method(params=UntrainedParams, fixed_net=fixed_net)
