"""A random net with a projection of a chosen length, as it is."""

from __future__ import annotations

from pydantic import Field

from croquis.params import Params
from croquis.params.block import Block
from lightning_modules.methods import Method
from lightning_modules.nets.retrieval_net import Embedder, max_pool_net


class ProjectionParams(Block):
    dim: int = Field(ge=2, le=1024)


def fixed_net(params: Params) -> Embedder:
    dim, size = params.method(__name__).dim, params.base.image_size
    return max_pool_net(params.train_embedder.backbone, dim, centre=False, image_size=size)


METHOD = Method(params=ProjectionParams, fixed_net=fixed_net)
