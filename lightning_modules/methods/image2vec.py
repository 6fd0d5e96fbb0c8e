"""Image2Vec: a category classifier whose pooled features are the vector.

Source: Jo, Lee, Lee & Lim 2018 (Journal of Digital Convergence 16(12)); Electronics 2020, 9(3), 508. The paper trains a
CNN on product categories, drops the classifier and searches the features of its global average pooling layer by cosine.
The depth of its CNN and its training are not stated: the backbone is a param here, and the default label smoothing of 0.1 is
ours.
"""

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
from lightning_modules.nets.retrieval_net import Embedder, average_pool_net


class Image2vecParams(Block):
    """Training by categories; the block has no size of the vector, which is that of the backbone's last maps."""

    batch_size: int = Field(ge=2, le=4096)
    label_smoothing: float = Field(ge=0.0, lt=1.0)
    fit: Fit


def build(params: Params, data: RetrievalData) -> Image2vec:
    """The module by the block `image2vec`."""
    return Image2vec(params.train_embedder, params.method("image2vec"), data)


class Image2vec(RetrievalModule):
    """Backbone, global average pool; a linear category classifier during training only."""

    net: Embedder

    def __init__(self, shared: TrainEmbedder, method: Image2vecParams, data: RetrievalData) -> None:
        super().__init__(average_pool_net(shared.backbone, data.train.image_size), shared, method.fit, data)
        self.classify = nn.Linear(self.net.dim, data.categories)
        self._method = method

    def sampler(self, seed: int) -> EpochSampler:
        return ShuffledBatches(len(self.data.train), self._method.batch_size, seed)

    def loss(self, images: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        logits = self.classify(self.net.pooled(images))
        loss = F.cross_entropy(logits, batch["categories"], label_smoothing=self._method.label_smoothing)
        with torch.no_grad():
            accuracy = (logits.argmax(1) == batch["categories"]).float().mean()
        return loss, {"accuracy": accuracy}


METHOD = Method(params=Image2vecParams, build=build)
