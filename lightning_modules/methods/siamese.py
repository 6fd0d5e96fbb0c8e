"""Siamese network with triplet loss for instance retrieval within and across domains.

Sources: Gajic & Baldrich, "Cross-domain fashion image retrieval" (CVPRW 2018) for the three weight-shared streams and the
25 nearest negatives; Lim & Nang, "Attribute-aware re-ranking" for the same net with random negatives; Hermans et al. 2017
for batch-hard, Schroff et al. 2015 for semi-hard negatives.

Net: backbone -> global max pool (unless `backbone.pooling` says otherwise) -> fully connected -> L2 norm.
Loss: L(a, p, n) = max(0, m + d(a, p) - d(a, n)), d Euclidean.

Positives cross the domains (consumer <-> shop) where the item has both in the batch, or are all pairs of an item
(`siamese.positives`). Deviations from the sources: AdamW in
place of SGD; all anchor-positive pairs of a P x K batch make triplets (as Schroff et al. do) rather than one per item,
because a batch of nine triplets learns little on a CPU; and `centre` batch-normalises the vectors before the L2 norm,
which the papers' pretrained nets did not need.
"""

from __future__ import annotations

from croquis.params import Params
from croquis.params.training_blocks import TripletBlock
from croquis.settings import SearchRange
from lightning_modules.bases.triplet_training import TripletTraining
from lightning_modules.data.retrieval_data import RetrievalData
from lightning_modules.methods import Method


class SiameseParams(TripletBlock):
    """Settings of the triplet training on photos."""


def build(params: Params, data: RetrievalData) -> Siamese:
    """The module by the block `siamese`."""
    return Siamese(params.train_embedder, params.method("siamese"), data)


class Siamese(TripletTraining):
    """The shared training on photos, with the settings of the block `siamese`."""


METHOD = Method(
    params=SiameseParams,
    build=build,
    space={
        "margin": SearchRange(0.02, 1.0, log=True),
        "fit.learning_rate": SearchRange(2e-4, 2e-2, log=True),
        "negatives": ("random", "adjacent", "nearest", "batch_hard", "semi_hard"),
        "embedding_dim": (32, 64, 128, 256),
    },
)
