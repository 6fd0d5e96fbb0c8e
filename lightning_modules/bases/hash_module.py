"""Hash codes: the layer that makes them, the net that is exported, the base of the methods, and losses they share.

A code is the sign of each number that the net gives; the index keeps one bit per number and compares by Hamming distance.
Backbone features are averaged over the map before the hash layer, unless `backbone.pooling` says otherwise: the official DHD
code takes ResNet-50 up to and with its average pool, and so does DCBH, the predecessor of SGH.

With `init: whitened` the layer starts from the map in closed form of the pooled train photos, rotated so that signs keep
most of it (iterative quantisation, Gong & Lazebnik, CVPR 2011). Such a layer has a bias, which centres.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from croquis.arrays import Vectors
from croquis.nets.linear_map import LinearMap
from croquis.params.code_blocks import ClassLabels
from croquis.params.training_blocks import Fit, PooledBackbone, TrainEmbedder
from lightning_modules.bases.retrieval_module import RetrievalModule
from lightning_modules.data.retrieval_data import Batch, RetrievalData
from lightning_modules.maps.closed_form import LabelledVectors, Matrix
from lightning_modules.nets.backbones import Backbone, build_backbone
from lightning_modules.nets.pooling import Pool
from lightning_modules.nets.retrieval_net import RetrievalNet


class HashLayer(nn.Module):
    """Linear without bias -> LayerNorm -> tanh (DHD); (B, channels) -> (B, bits) in (-1, 1).

    Args:
        whitened: whether it will start from a map: then it has a bias, and `centre` is left out.
        centre: batch-normalise the linear layer's output without scale or shift, before the LayerNorm. Averaged ReLU
            features are all positive, so that the codes of a net without pretrained weights share most of their bits.
    """

    def __init__(self, channels: int, bits: int, centre: bool, whitened: bool = False) -> None:
        super().__init__()
        self.project = nn.Linear(channels, bits, bias=whitened)
        self.centre = nn.BatchNorm1d(bits, affine=False) if centre and not whitened else nn.Identity()
        self.norm = nn.LayerNorm(bits)

    def forward(self, features: Tensor) -> Tensor:
        return torch.tanh(self.norm(self.centre(self.project(features))))


class HashNet(RetrievalNet):
    """Backbone, pooled maps and a hash layer."""

    kind: Literal["dense", "binary", "pq"] = "binary"
    metric: Literal["cosine", "hamming", "l2"] = "hamming"

    def __init__(self, backbone: Backbone, pool: Pool, layer: HashLayer, bits: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.pool = pool
        self.layer = layer
        self.dim = bits

    @property
    def projection(self) -> nn.Linear:
        return self.layer.project

    def start_from(self, matrix: Vectors, train: LabelledVectors, seen: Vectors) -> None:
        rotation = iterative_quantisation(LinearMap(matrix).apply(seen))
        super().start_from(np.asarray(matrix @ rotation, dtype=np.float32), train, seen)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [0, 1] -> (B, bits) in (-1, 1); the code is the sign."""
        codes: Tensor = self.layer(self.features(images))
        return codes


def hash_net(
    params: PooledBackbone, bits: int, centre: bool, image_size: int | None = None, whitened: bool = False
) -> HashNet:
    """`image_size` as `build_backbone` has it; the others as `HashLayer`."""
    backbone = build_backbone(params, image_size)
    pool = Pool(params.pooling, backbone.level_channels, "average")
    return HashNet(backbone, pool, HashLayer(pool.dim, bits, centre, whitened), bits)


def iterative_quantisation(vectors: Vectors | Matrix, seed: int = 0, iterations: int = 50) -> Matrix:
    """The rotation R (d, d) of rows x R of (N, d) that makes ||sign(V R) - V R|| small: signs and the orthogonal Procrustes
    problem in turns, from a random rotation (Gong & Lazebnik, CVPR 2011, section 2.2, with its 50 iterations).

    FAISS's `ITQMatrix` leaves an error like that of a random rotation (seen with 1.15.1).
    """
    numbers = np.asarray(vectors, dtype=np.float64)
    rotation: Matrix = np.linalg.qr(np.random.default_rng(seed).standard_normal((numbers.shape[1],) * 2))[0]
    for _ in range(iterations):
        codes = np.where(numbers @ rotation > 0, 1.0, -1.0)
        left, _, right = np.linalg.svd(numbers.T @ codes)
        rotation = left @ right
    return rotation


def signs(codes: Tensor) -> Tensor:
    """The bits of real codes as -1 and 1; 0 counts as -1."""
    return torch.where(codes > 0, 1.0, -1.0)


class HashModule(RetrievalModule):
    """Base of the hashing methods: validation compares signs, as the index does, and labels are items or categories.

    Attributes:
        classes: number of classes in training.
    """

    def __init__(self, net: HashNet, shared: TrainEmbedder, fit: Fit, data: RetrievalData, labels: ClassLabels) -> None:
        super().__init__(net, shared, fit, data)
        self.classes = int(data.train.items.max()) + 1 if labels == "item" else data.categories
        self._label = "items" if labels == "item" else "categories"

    def labels(self, batch: Batch) -> Tensor:
        """(B,) class numbers."""
        return batch[self._label]

    def stored(self, embeddings: Tensor) -> Tensor:
        return signs(embeddings)

    def asked(self, embeddings: Tensor) -> Tensor:
        return signs(embeddings)


def similarity_loss(codes: Tensor, others: Tensor) -> Tensor:
    """Mean of 1 - cos(h, h') over pairs of rows, in [0, 2]; (B, bits) twice.

    DHD's self-distillation is this with the teacher's codes detached.
    """
    return (1 - F.cosine_similarity(codes, others, dim=1)).mean()


def code_figures(codes: Tensor) -> dict[str, Tensor]:
    """What tells a code that wastes bits.

    Returns:
        `dead_bits`, the share of bits that are the same in the whole batch, and `mean_magnitude` of the real codes.
    """
    with torch.no_grad():
        balance = signs(codes).mean(dim=0).abs()
        return {"dead_bits": (balance == 1).float().mean(), "mean_magnitude": codes.abs().mean()}
