"""Generalized Product Quantization: semi-supervised codes from class sub-prototypes and an entropy mini-max.

Source: Jang & Cho, "Generalized Product Quantization Network for Semi-supervised Image Retrieval" (CVPR 2020, arXiv
2002.11281) and its official code.

Net: backbone -> global average pool -> linear -> every sub-vector at length 1, x in M sub-vectors of d.
Class sub-prototypes c (M, classes, d) are learned and put to length 1. The table of codewords is made of them: with learned
raw words w (M, K, d), y_mk = norm(sum_c softmax_c(-alpha (1 - <w_mk, c_mc>)) c_mc).
Soft assignment: q_m = norm(sum_k softmax_k(-alpha (1 - <x_m, y_mk>)) y_mk), alpha = 20.

L_NPQ = N-pair product quantisation loss: cross-entropy between the rows of the label matrix (1 where two images share a
        class), divided by their sums, and softmax_j(sum_m <x_im, q_jm>)
L_cls = cross-entropy of the logits (1 / M) sum_m <beta x_m, beta c_mc>, beta = 4
L_SEM = mean over unlabelled images of sum_c p_c log p_c, p the softmax of the same logits; the gradient into their features
        is reversed, so that prototypes raise the entropy and features lower it
L     = L_NPQ + 0.1 L_SEM + 0.1 L_cls

Search: squared distance to the codewords y, nearest one as code; for vectors of length 1 that is the largest inner product.

Deviations: by default the backbone's last map alone is pooled (the source joins block 3 of its VGG); `centre`, a batch
normalisation before the sub-vectors' norm, which the source's pretrained net did not need; warm-up and cosine, where the
source multiplies its rate by 0.95 every 100 steps, and Adam's beta1 of 0.9, where it has 0.5; AdamW unless `fit.optimiser`
is adam; words and prototypes are drawn normally, the source's uniformly with the same variance; the source's penalty on the
lengths of x and q is left out, as it is constant for sub-vectors of length 1, and so is its 1e-5 inside the logarithm. q is
put to length 1, as the official functions have it since 2020-11-17 (commit 2b3f4f5). The table that is searched is made of
the prototypes and queries are of length 1, as in the paper's figure; the official demonstration searches with raw words and
queries that are not normalised. With item labels a batch holds P items x K images, so that pairs exist; with category
labels it is drawn at random.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from croquis.arrays import Vectors
from croquis.params import Params
from croquis.params.code_blocks import ClassLabels, ProductCodes
from croquis.params.training_blocks import Fit, TrainEmbedder
from lightning_modules.bases.pq_module import (
    PqModule,
    PqNet,
    code_figures,
    intra_normalise,
    k_means_codebooks,
    sub_vectors,
    weighted_codewords,
    xavier_codebooks,
)
from lightning_modules.data.retrieval_data import Batch, RetrievalData
from lightning_modules.data.samplers import EpochSampler, ItemBatches, ShuffledBatches, rows_in_turn
from lightning_modules.maps.closed_form import LabelledVectors
from lightning_modules.methods import Method
from lightning_modules.nets.backbones import build_backbone
from lightning_modules.nets.pooling import Pool
from lightning_modules.training.distributed import own_part, world_size


class GpqParams(ProductCodes):
    """Generalized Product Quantization, semi-supervised."""

    labels: ClassLabels
    centre: bool = Field(description="batch-normalise before the sub-vectors' norm; ours")
    assignment_sharpness: float = Field(gt=0.0, le=1000.0, description="alpha of the soft assignment")
    classifier_scale: float = Field(gt=0.0, le=100.0, description="beta of the classifier's logits")
    classification_weight: float = Field(ge=0.0, le=100.0)
    entropy_weight: float = Field(ge=0.0, le=100.0, description="0 leaves unlabelled images out")
    items_per_batch: int = Field(ge=2, le=1024)
    images_per_item: int = Field(ge=2, le=1024)
    unlabelled_per_batch: int = Field(ge=2, le=4096)
    fit: Fit


def build(params: Params, data: RetrievalData) -> Gpq:
    """The module by the block `gpq`."""
    return Gpq(params.train_embedder, params.method("gpq"), data, params.base.seed)


class GpqNet(PqNet):
    """Attributes: words, raw (M, K, d); prototypes, raw (M, classes, d)."""

    def __init__(self, shared: TrainEmbedder, method: GpqParams, classes: int, image_size: int | None = None) -> None:
        net, dim = build_backbone(shared.backbone, image_size), method.subspaces * method.subspace_dim
        pool = Pool(shared.backbone.pooling, net.level_channels, "average")
        project = nn.Linear(pool.dim, dim)
        nn.init.xavier_normal_(project.weight)
        nn.init.zeros_(project.bias)
        centred = method.centre and shared.init == "random"
        centre = nn.BatchNorm1d(dim, affine=False) if centred else nn.Identity()
        super().__init__(net, pool, nn.Sequential(project, centre), method.subspaces, method.subspace_dim)
        self.words = xavier_codebooks(method.subspaces, method.codewords, method.subspace_dim)
        self.prototypes = xavier_codebooks(method.subspaces, classes, method.subspace_dim)
        self._sharpness = method.assignment_sharpness
        self._by_item = method.labels == "item"

    def start_from(self, matrix: Vectors, train: LabelledVectors, seen: Vectors) -> None:
        """Words start from k-means; prototypes, where a class is an item, from the means of its sub-vectors."""
        super().start_from(matrix, train, seen)
        with torch.no_grad():
            self.words.copy_(k_means_codebooks(self._parts(seen), self.words.shape[1]))
            if self._by_item:
                parts = self._parts(train.vectors)
                sums = parts.new_zeros(self.prototypes.shape[1], *parts.shape[1:])
                sums.index_add_(0, torch.from_numpy(train.items), parts)
                self.prototypes.copy_(sums.transpose(0, 1))

    def _parts(self, features: Vectors) -> Tensor:
        return intra_normalise(sub_vectors(self.head(torch.from_numpy(features)), self.subspaces))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [0, 1] -> (B, M * d), sub-vectors of length 1."""
        return intra_normalise(sub_vectors(super().forward(images), self.subspaces)).flatten(1)

    @property
    def codebooks(self) -> Tensor:
        """The table y, (M, K, d) of length 1, made of the prototypes."""
        table = soft_assign(self.words.transpose(0, 1), intra_normalise(self.prototypes), self._sharpness)
        return table.transpose(0, 1)


class Gpq(PqModule):
    """Attributes: classes, the number of classes in training."""

    net: GpqNet

    def __init__(self, shared: TrainEmbedder, method: GpqParams, data: RetrievalData, seed: int) -> None:
        classes = int(data.train.items.max()) + 1 if method.labels == "item" else data.categories
        net = GpqNet(shared, method, classes, data.train.image_size)
        super().__init__(net, shared, method.fit, data)
        self.classes = classes
        self._label = "items" if method.labels == "item" else "categories"
        self._method = method
        self._seed = seed
        self._turn = 0

    def sampler(self, seed: int) -> EpochSampler:
        items, images = self._method.items_per_batch, self._method.images_per_item
        if self._method.labels == "item":
            return ItemBatches(self.data.train.items, items, images, seed)
        return ShuffledBatches(len(self.data.train), items * images, seed)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self._turn = self.current_epoch * int(self.trainer.num_training_batches) + batch_idx
        return super().training_step(batch, batch_idx)

    def loss(self, images: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        method, table = self._method, self.net.codebooks
        features, batch = self.across_ranks(self(images), batch)
        parts, labels = self.parts(features), batch[self._label]
        terms = {
            "n_pair": n_pair_loss(parts, soft_assign(parts, table, method.assignment_sharpness), labels),
            "classification": F.cross_entropy(self.logits(parts), labels),
            "entropy": self._entropy_loss(),
        }
        loss = (
            terms["n_pair"]
            + method.classification_weight * terms["classification"]
            + method.entropy_weight * terms["entropy"]
        )
        return loss, {**{name: term.detach() for name, term in terms.items()}, **code_figures(parts, table)}

    def logits(self, parts: Tensor) -> Tensor:
        """(B, M, d) -> (B, classes)."""
        return prototype_logits(parts, self.net.prototypes, self._method.classifier_scale)

    def _entropy_loss(self) -> Tensor:
        """L_SEM of the unlabelled images whose turn it is; where it weighs nothing, 0 without asking the net."""
        if self._method.entropy_weight == 0:
            return torch.zeros((), device=self.device)
        features = self(self.view(self.unlabelled(self._turn).to(self.device)))
        return entropy_loss(self.logits(reverse_gradient(self.parts(features))))

    def unlabelled(self, turn: int) -> Tensor:
        """This process's part of the `turn`-th batch of unlabelled images; uint8 (U, 3, S, S)."""
        ranks = world_size()
        count = -(-self._method.unlabelled_per_batch // ranks) * ranks
        rows = rows_in_turn(len(self.data.unlabelled), count, turn, self._seed)
        return self.data.unlabelled[own_part(torch.from_numpy(rows))]


def soft_assign(parts: Tensor, codebooks: Tensor, sharpness: float) -> Tensor:
    """norm(sum_k softmax_k(-sharpness (1 - <x_m, y_mk>)) y_mk); (B, M, d) and (M, K, d) -> (B, M, d) of length 1."""
    products = torch.einsum("bmd,mkd->bmk", parts, codebooks)
    return intra_normalise(weighted_codewords(torch.softmax(-sharpness * (1 - products), dim=2), codebooks))


def n_pair_loss(parts: Tensor, quantised: Tensor, labels: Tensor) -> Tensor:
    """L_NPQ of features x and soft assignments q, (B, M, d) each, with (B,) class numbers."""
    same = (labels.unsqueeze(0) == labels.unsqueeze(1)).to(parts)
    return F.cross_entropy(parts.flatten(1) @ quantised.flatten(1).T, same / same.sum(dim=1, keepdim=True))


def prototype_logits(parts: Tensor, prototypes: Tensor, scale: float) -> Tensor:
    """(1 / M) sum_m <scale x_m, scale c_mc>; (B, M, d) and raw (M, classes, d) -> (B, classes)."""
    products = torch.einsum("bmd,mcd->bc", parts, intra_normalise(prototypes))
    return scale**2 / parts.shape[1] * products


def entropy_loss(logits: Tensor) -> Tensor:
    """L_SEM, the mean of sum_c p_c log p_c, in [-log classes, 0]: minus the entropy of the softmax of (U, classes)."""
    logs = F.log_softmax(logits, dim=1)
    return (logs.exp() * logs).sum(dim=1).mean()


def reverse_gradient(values: Tensor) -> Tensor:
    """The values themselves, whose gradient changes its sign on the way back (Ganin & Lempitsky 2015)."""
    return 2 * values.detach() - values


METHOD = Method(params=GpqParams, build=build, needs=("codes",))
