"""Siamese network with triplet loss for instance retrieval within and across domains.

Sources: Gajic & Baldrich, "Cross-domain fashion image retrieval" (CVPRW 2018) for the three weight-shared streams and the
25 nearest negatives; Lim & Nang, "Attribute-aware re-ranking" for the same net with random negatives; Hermans et al. 2017
for batch-hard, Schroff et al. 2015 for semi-hard negatives.

Net: backbone -> global max pool -> fully connected -> L2 norm.
Loss: L(a, p, n) = max(0, m + d(a, p) - d(a, n)), d Euclidean.

Positives cross the domains (consumer <-> shop) where the item has both in the batch. Deviations from the sources: AdamW in
place of SGD; all anchor-positive pairs of a P x K batch make triplets (as Schroff et al. do) rather than one per item,
because a batch of nine triplets learns little on a CPU; and `centre` batch-normalises the vectors before the L2 norm,
which the papers' pretrained nets did not need.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lightning_modules import triplet
from lightning_modules.data import Batch, RetrievalData
from lightning_modules.embedder import max_pool_net
from lightning_modules.negatives import adjacent_pool, nearest_pool
from lightning_modules.retrieval_module import RetrievalModule
from lightning_modules.samplers import EpochSampler, ItemBatches
from params import Params
from params.training import Siamese as SiameseParams
from params.training import TrainEmbedder


def build(params: Params, data: RetrievalData) -> Siamese:
    return Siamese(params.train_embedder, params.siamese, data)


class Siamese(RetrievalModule):
    def __init__(self, shared: TrainEmbedder, method: SiameseParams, data: RetrievalData) -> None:
        super().__init__(max_pool_net(shared.backbone, method.embedding_dim, method.centre), shared, method.fit, data)
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

    def loss(self, images: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        embeddings, batch = self.across_ranks(self(images), batch)
        distances = triplet.pairwise_distances(embeddings, embeddings)
        same = batch["items"].unsqueeze(0) == batch["items"].unsqueeze(1)
        crossing = batch["shop"].unsqueeze(0) != batch["shop"].unsqueeze(1)
        positives = triplet.allowed_positives(same, crossing)
        if self._method.negatives == "batch_hard":
            positives = triplet.hardest_positives(distances, positives)
        anchors, others = positives.nonzero(as_tuple=True)
        positive = distances[anchors, others]
        negative = self._negatives(embeddings, distances[anchors], ~same[anchors], positive, anchors, batch)
        losses = triplet.triplet_losses(positive, negative, self._method.margin)
        return losses.mean(), _collapse_figures(embeddings, losses)

    def _negatives(
        self, embeddings: Tensor, distances: Tensor, other: Tensor, positive: Tensor, anchors: Tensor, batch: Batch
    ) -> Tensor:
        """Distance to the negative of each anchor-positive pair; (pairs,).

        Args:
            distances: (pairs, B) from each pair's anchor to the batch.
            other: (pairs, B) which images show another item.
            positive: (pairs,) distance to the positive.
            anchors: (pairs,) row of the anchor in the batch.
        """
        match self._method.negatives:
            case "batch_hard":
                return triplet.batch_hard_negatives(distances, other)
            case "semi_hard":
                return triplet.semi_hard_negatives(distances, other, positive)
            case "random":
                return triplet.random_negatives(distances, other)
            case _:
                return self._third_stream(embeddings, batch["rows"])[anchors]

    def _third_stream(self, embeddings: Tensor, rows: Tensor) -> Tensor:
        """One image of each anchor's pool, drawn at random, through the same net."""
        pool = torch.from_numpy(self._pool)[rows.cpu()]
        chosen = pool.gather(1, torch.randint(pool.shape[1], (len(pool), 1))).squeeze(1)
        negatives: Tensor = self(self.view(self.data.train.images[chosen].to(embeddings.device)))
        distances: Tensor = (embeddings - negatives).square().sum(1).clamp_min(1e-12).sqrt()
        return distances


def _collapse_figures(embeddings: Tensor, losses: Tensor) -> dict[str, Tensor]:
    """Mean cosine of the batch near 1, a small spread or no active triplets tell a collapsed embedding."""
    with torch.no_grad():
        count = len(embeddings)
        cosine = ((embeddings @ embeddings.T).sum() - count) / (count * (count - 1))
        return {
            "mean_cosine": cosine,
            "embedding_std": embeddings.std(dim=0).mean(),
            "active_triplets": (losses > 0).float().mean(),
        }
