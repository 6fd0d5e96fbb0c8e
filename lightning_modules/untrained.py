"""The second floor of every table: siamese's architecture with its initial weights. It learns nothing."""

from __future__ import annotations

from lightning_modules.embedder import Embedder, max_pool_net
from params import Params


def fixed_net(params: Params) -> Embedder:
    return max_pool_net(params.train_embedder.backbone, params.untrained.embedding_dim, centre=False)
