"""The second floor of every table: siamese's architecture with its initial weights. It learns nothing."""

from __future__ import annotations

from croquis.params import Params
from lightning_modules.nets.retrieval_net import Embedder, max_pool_net


def fixed_net(params: Params) -> Embedder:
    return max_pool_net(params.train_embedder.backbone, params.untrained.embedding_dim, centre=False)
