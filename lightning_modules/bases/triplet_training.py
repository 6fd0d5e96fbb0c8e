"""Triplet training of one net in P x K batches: what `siamese` and `joint` share.

Net: backbone -> global max pool (unless `backbone.pooling` says otherwise) -> fully connected -> L2 norm.
Loss: L(a, p, n) = max(0, m + d(a, p) - d(a, n)), d Euclidean, of all anchor-positive pairs of the batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from croquis.params.training_blocks import TrainEmbedder, TripletBlock
from lightning_modules.bases.retrieval_module import RetrievalModule
from lightning_modules.data.negative_pools import adjacent_pool, nearest_pool
from lightning_modules.data.retrieval_data import Batch, RetrievalData
from lightning_modules.data.samplers import EpochSampler, ItemBatches
from lightning_modules.losses import triplet
from lightning_modules.nets.retrieval_net import Embedder, projection_net
from lightning_modules.training.distributed import gather_with_gradient, own_part

POOL = "negatives_pool"


class TripletTraining(RetrievalModule):
    """One net, trained by L(a, p, n) in P x K batches, as above.

    Args:
        shared: backbone and training that all methods share.
        method: the method's own block.
        data: train and val.
    """

    net: Embedder

    def __init__(self, shared: TrainEmbedder, method: TripletBlock, data: RetrievalData) -> None:
        net = projection_net(shared, method.embedding_dim, method.centre, data.train.image_size)
        super().__init__(net, shared, method.fit, data)
        self._method = method
        self._pool = np.zeros((0, 0), dtype=np.int64)

    def sampler(self, seed: int) -> EpochSampler:
        return ItemBatches(self.data.train.items, self._method.items_per_batch, self._method.images_per_item, seed)

    def on_train_epoch_start(self) -> None:
        """Refreshes the pools of explicit negatives as the model moves."""
        strategy, epoch = self._method.negatives, self.current_epoch
        if strategy == "adjacent" and not len(self._pool):
            self._pool = adjacent_pool(self.data.train)
        elif strategy == "nearest" and (not len(self._pool) or epoch % self._method.refresh_every == 0):
            self._pool = nearest_pool(
                self, self.data.train, self._method.nearest_pool, self._method.nearest_same_category
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """A pool that outlives its epoch travels along: a resumed training must not draw from a newer one."""
        if self._method.negatives == "nearest":
            checkpoint[POOL] = torch.from_numpy(self._pool)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if POOL in checkpoint:
            self._pool = checkpoint[POOL].numpy()

    def loss(self, images: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        embeddings, batch = self.across_ranks(self(images), batch)
        items, method = batch["items"], self._method
        distances = triplet.pairwise_distances(embeddings, embeddings)
        anchors, others = triplet.anchors_and_positives(
            distances, items, batch["shop"], method.positives, method.negatives
        )
        positive = distances[anchors, others]
        if method.negatives == "adjacent" or method.negatives == "nearest":
            negative = self._third_stream(embeddings, batch["rows"])[anchors]
        else:
            allowed = self.allowed_negatives(anchors, others, batch)
            negative = triplet.in_batch_negatives(method.negatives, distances[anchors], allowed, positive)
        losses = triplet.triplet_losses(positive, negative, method.margin)
        further, total = self.further_terms(distances, batch), losses.mean()
        for term in further.values():
            total = total + term
        return total, {**triplet.collapse_figures(embeddings, losses), **self.net.figures(), **further}

    def further_terms(self, distances: Tensor, batch: Batch) -> dict[str, Tensor]:
        """What a method adds to the loss of the triplets: name -> term, its weight included.

        `distances`, (B, B), and `batch` are those of the images of all processes.
        """
        return {}

    def allowed_negatives(self, anchors: Tensor, others: Tensor, batch: Batch) -> Tensor:
        """Which images of the batch may be the negative of each pair of anchor and positive; (pairs, B) bool."""
        return batch["items"][anchors, None] != batch["items"]

    def _third_stream(self, embeddings: Tensor, rows: Tensor) -> Tensor:
        """Distance of each anchor to one image of its pool, drawn at random, through the same net; (B,).

        With several processes the draw is for the global batch, and each embeds its own part.
        """
        pool = torch.from_numpy(self._pool)[rows.cpu()]
        chosen = own_part(pool.gather(1, torch.randint(pool.shape[1], (len(pool), 1))).squeeze(1))
        negatives = gather_with_gradient(self(self.view(self.data.train.images[chosen].to(embeddings.device))))
        distances: Tensor = (embeddings - negatives).square().sum(1).clamp_min(1e-12).sqrt()
        return distances
