"""A classifier of items by the cosine with one weight vector each; the net is that of image2vec."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from croquis.params import Params
from croquis.params.block import Block
from croquis.params.training_blocks import Fit, TrainEmbedder
from lightning_modules.bases.retrieval_module import RetrievalModule
from lightning_modules.data.retrieval_data import Batch, RetrievalData
from lightning_modules.data.samplers import EpochSampler, ShuffledBatches
from lightning_modules.methods import Method
from lightning_modules.nets.retrieval_net import average_pool_net


class CosineItemsParams(Block):
    scale: float = Field(gt=0.0, le=100.0)
    batch_size: int = Field(ge=2, le=1024)
    fit: Fit


class CosineItems(RetrievalModule):
    def __init__(self, shared: TrainEmbedder, method: CosineItemsParams, data: RetrievalData) -> None:
        net = average_pool_net(shared.backbone, data.train.image_size)
        super().__init__(net, shared, method.fit, data)
        self.weights = nn.Parameter(torch.randn(int(data.train.items.max()) + 1, net.dim))
        self._method = method

    def sampler(self, seed: int) -> EpochSampler:
        return ShuffledBatches(len(self.data.train), self._method.batch_size, seed)

    def loss(self, images: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        logits = self._method.scale * self(images) @ F.normalize(self.weights, dim=1).T
        return F.cross_entropy(logits, batch["items"]), {}


def build(params: Params, data: RetrievalData) -> CosineItems:
    return CosineItems(params.train_embedder, params.method(__name__), data)


METHOD = Method(params=CosineItemsParams, build=build)
