"""Image2Vec: a category classifier whose pooled features are the vector.

Source: Jo, Lee, Lee & Lim 2018 (Journal of Digital Convergence 16(12)); Electronics 2020, 9(3), 508. The paper trains a
CNN on product categories, drops the classifier and searches the features of its global average pooling layer by cosine.
The depth of its CNN is not stated; the backbone is a param here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from croquis.params import Params
from croquis.params.training_blocks import Image2vec as Image2vecParams
from croquis.params.training_blocks import TrainEmbedder
from lightning_modules.bases.retrieval_module import RetrievalModule
from lightning_modules.data.retrieval_data import Batch, RetrievalData
from lightning_modules.data.samplers import EpochSampler, ShuffledBatches
from lightning_modules.nets.retrieval_net import Embedder, average_pool_net


def build(params: Params, data: RetrievalData) -> Image2vec:
    return Image2vec(params.train_embedder, params.image2vec, data)


class Image2vec(RetrievalModule):
    """Backbone, global average pool; a linear category classifier during training only."""

    net: Embedder

    def __init__(self, shared: TrainEmbedder, method: Image2vecParams, data: RetrievalData) -> None:
        super().__init__(average_pool_net(shared.backbone), shared, method.fit, data)
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
