"""Similarity Guided Hashing, a RECONSTRUCTION: of the paper only the abstract could be read, and no code was published.

Source: Jang & Cho, "Similarity Guided Deep Face Image Retrieval" (arXiv 2107.05025). Stated there: the method is
supervised; training by classification alone does not show complex similarities between images to the codes; SGH "gently
considers self and pairwise-similarity simultaneously" and uses several augmentations against difficulties within and between
identities. Everything below is ours, put together from the author's other work; no figure of the paper may be compared.

Net: backbone -> global average pool -> DHD's hash layer (linear, LayerNorm, tanh).
Views: two random views a, b of every image, drawn alike; h = hash code in (-1, 1)^bits, 2B of them per batch.

L_self = mean_i (1 - cos(h_i^a, h_i^b)): self-similarity, as DHD's self-distillation but with gradients to both views
L_pair = -mean_i sum_j q_ij log p_ij over images j != i, p_ij = softmax_j(cos(h_i^a, h_j^b) / tau), q_ij = 1 / (number of
         other images of i's identity) for those and 0 for the rest; images without a partner are left out. This is the
         N-pair loss of the author's GPQ (row-normalised label matrix against cosines), across views; also with a and b
         swapped, mean of both
L_id   = cross-entropy of a linear classifier on the codes, both views (DCBH: hash -> identity)
L_q    = mean | |h| - 1 |, the form of DCBH, whose target is 0.5
L      = L_id + self_weight L_self + pair_weight L_pair + quantisation_weight L_q

DCBH (Jang, Jeong, Lee & Cho, ACCV 2018) is the author's predecessor. Of it the block hashing (six numbers per bit), the
second classifier on the features and the centre loss are left out; block hashing learned far more slowly on a handful of
items. With item labels a batch holds P items x K images, so that pairs exist; with category labels it is drawn at random.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from croquis.params import Params
from croquis.params.block import Block
from croquis.params.code_blocks import Bits, ClassLabels
from croquis.params.training_blocks import Fit, StrongAugment, TrainEmbedder
from lightning_modules.bases.hash_module import HashModule, code_figures, hash_net, similarity_loss
from lightning_modules.data.retrieval_data import Batch, RetrievalData, to_float
from lightning_modules.data.samplers import EpochSampler, ItemBatches, ShuffledBatches
from lightning_modules.data.strong_views import strong_view
from lightning_modules.methods import Method


class SghParams(Block):
    """Similarity Guided Hashing, a reconstruction."""

    bits: Bits
    labels: ClassLabels
    centre: bool = Field(description="batch-normalise before the LayerNorm; ours")
    temperature: float = Field(gt=0.0, le=10.0, description="of the pairwise term")
    self_weight: float = Field(ge=0.0, le=100.0)
    pair_weight: float = Field(ge=0.0, le=100.0)
    quantisation_weight: float = Field(ge=0.0, le=100.0)
    items_per_batch: int = Field(ge=2, le=1024)
    images_per_item: int = Field(ge=2, le=64)
    views: StrongAugment
    fit: Fit


def build(params: Params, data: RetrievalData) -> Sgh:
    """The module by the block `sgh`."""
    return Sgh(params.train_embedder, params.method("sgh"), data)


class Sgh(HashModule):
    """Similarity guided hashing: codes in (-1, 1)^bits of two views, L_id + L_self + L_pair + L_q as above."""

    def __init__(self, shared: TrainEmbedder, method: SghParams, data: RetrievalData) -> None:
        net = hash_net(shared.backbone, method.bits, method.centre, data.train.image_size, shared.init == "whitened")
        super().__init__(net, shared, method.fit, data, method.labels)
        self.classify = nn.Linear(method.bits, self.classes)
        self._method = method

    def sampler(self, seed: int) -> EpochSampler:
        items, images = self._method.items_per_batch, self._method.images_per_item
        if self._method.labels == "item":
            return ItemBatches(self.data.train.items, items, images, seed)
        return ShuffledBatches(len(self.data.train), items * images, seed)

    def view(self, images: Tensor) -> Tensor:
        return self.laid_out(strong_view(to_float(images), self._method.views))

    def loss(self, images: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        first, second = self(images), self(self.view(batch["images"]))
        second, _ = self.across_ranks(second, batch)
        first, batch = self.across_ranks(first, batch)
        labels, codes, method = self.labels(batch), torch.cat([first, second]), self._method
        identity = F.cross_entropy(self.classify(codes), labels.repeat(2))
        alike = similarity_loss(first, second)
        pairs = (pairwise_loss(first, second, labels, method.temperature)
                 + pairwise_loss(second, first, labels, method.temperature)) / 2  # fmt: skip
        quantisation = (codes.abs() - 1).abs().mean()
        loss = identity + method.self_weight * alike + method.pair_weight * pairs
        loss = loss + method.quantisation_weight * quantisation
        figures = {"identity": identity, "self": alike, "pair": pairs, "quantisation": quantisation}
        return loss, {**{name: value.detach() for name, value in figures.items()}, **code_figures(codes)}


def pairwise_loss(codes: Tensor, others: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """L_pair: cross-entropy between who shares an identity and the softmax of the cosines, over different images.

    Args:
        codes: (B, bits), one view of each image.
        others: (B, bits), another view of each image, in the same order.
        labels: (B,) identities.

    Returns:
        The mean over images that share their identity with another image of the batch; 0 where none does.
    """
    cosines = F.normalize(codes, dim=1) @ F.normalize(others, dim=1).T
    itself = torch.eye(len(codes), dtype=torch.bool, device=codes.device)
    partners = (labels.unsqueeze(0) == labels.unsqueeze(1)) & ~itself
    log_p = F.log_softmax((cosines / temperature).masked_fill(itself, -torch.inf), dim=1).masked_fill(itself, 0.0)
    counts = partners.sum(dim=1)
    losses = -(log_p * partners).sum(dim=1) / counts.clamp_min(1)
    return losses.sum() / (counts > 0).sum().clamp_min(1)


METHOD = Method(params=SghParams, build=build, needs=("codes",))
