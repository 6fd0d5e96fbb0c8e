"""The net that is exported, indexed and searched: a backbone and a head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from croquis.arrays import Vectors
from croquis.params.training_blocks import PooledBackbone, TrainEmbedder
from lightning_modules.nets.backbones import Backbone, build_backbone
from lightning_modules.nets.pooling import Pool

if TYPE_CHECKING:
    from lightning_modules.maps.closed_form import LabelledVectors


class Projection(nn.Module):
    """A fully connected layer on pooled features, centred on request; (B, pooled) -> (B, dim).

    Args:
        centre: batch-normalise the output without scale or shift. Max-pooled features are all positive, so that the
            vectors of a net without pretrained weights share one large direction, and triplet training collapses.
    """

    def __init__(self, pooled: int, dim: int, centre: bool) -> None:
        super().__init__()
        self.dim = dim
        self.project = nn.Linear(pooled, dim)
        self.centre = nn.BatchNorm1d(dim, affine=False) if centre else nn.Identity()

    def forward(self, pooled: Tensor) -> Tensor:
        projected: Tensor = self.centre(self.project(pooled))
        return projected

    def figures(self) -> dict[str, Tensor]:
        """`input_spread` in [0, 1]: the share of the vectors' length, before they are centred, that differs by image.

        It is the root of var / (var + mean^2) by the running statistics. Near 0 all images give one vector, and what
        centring makes of that is rounding noise, which looks healthy. Nothing without `centre`.
        """
        if not isinstance(self.centre, nn.BatchNorm1d):
            return {}
        mean, variance = self.centre.running_mean, self.centre.running_var
        if mean is None or variance is None:
            raise TypeError("centre keeps no running statistics")
        return {"input_spread": (variance.sum() / (variance + mean.square()).sum()).sqrt()}


class RetrievalNet(nn.Module):
    """A net that is exported, indexed and searched: a backbone, its pooled maps and what stands on them.

    Attributes:
        backbone: gives the feature maps.
        pool: makes one vector per image of them.
        dim: numbers that `forward` gives per image.
        kind: what the index keeps of them: the numbers themselves (`dense`), their signs (`binary`), or the nearest
            codewords of their sub-vectors (`pq`; such a net has `codebooks`).
        metric: `cosine`, `hamming` or `l2`, what the index compares by.
    """

    backbone: Backbone
    pool: Pool
    dim: int
    kind: Literal["dense", "binary", "pq"] = "dense"
    metric: Literal["cosine", "hamming", "l2"] = "cosine"

    @property
    def codebooks(self) -> Tensor:
        """(M, K, dim / M), exactly what the index holds; a net of another kind than `pq` raises TypeError."""
        raise TypeError(f"a {self.kind} net has no codebooks")

    @property
    def projection(self) -> nn.Linear | None:
        """What makes the vector of the pooled features; None where they are it."""
        return None

    @property
    def colours(self) -> int:
        """How many of the last numbers of the vector are a colour histogram: none behind a layer."""
        return self.pool.colours if self.projection is None else 0

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [0, 1] -> (B, pool.dim)."""
        pooled: Tensor = self.pool(images, self.backbone)
        return pooled

    def start_from(self, matrix: Vectors, train: LabelledVectors, seen: Vectors) -> None:
        """Gives the layer the weights of a map, fitted on the features of the train split.

        Args:
            matrix: (pool.dim + 1, dim), the bias as the last row; see `croquis.nets.linear_map`.
            train: the features that it was fitted on.
            seen: (N, pool.dim), these and those of images without labels: what codes are fitted on.

        Raises:
            TypeError: when the net has no layer, or one without a bias.
        """
        if self.projection is None or self.projection.bias is None:
            raise TypeError("this net has no layer with a bias to start from a map")
        with torch.no_grad():
            self.projection.weight.copy_(torch.from_numpy(matrix[:-1].T))
            self.projection.bias.copy_(torch.from_numpy(matrix[-1]))


class Embedder(RetrievalNet):
    """Backbone, pooled maps, a projection or none, L2 norm; `dim` is the length of the embedding."""

    def __init__(self, backbone: Backbone, pool: Pool, head: Projection | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.pool = pool
        self.head = head
        self.dim = pool.dim if head is None else head.dim

    @property
    def projection(self) -> nn.Linear | None:
        return None if self.head is None else self.head.project

    def figures(self) -> dict[str, Tensor]:
        """What the head tells of its own health; see `Projection.figures`."""
        return {} if self.head is None else self.head.figures()

    def pooled(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [0, 1] -> (B, dim), not normalised."""
        features = self.features(images)
        pooled: Tensor = features if self.head is None else self.head(features)
        return pooled

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [0, 1] -> (B, dim) of length 1."""
        return F.normalize(self.pooled(images), dim=1)


def average_pool_net(params: PooledBackbone, image_size: int | None = None) -> Embedder:
    """Backbone and pooled maps, averaged unless `pooling` says otherwise: the net of image2vec and of pretrained.

    Args:
        image_size: as `build_backbone` has it.
    """
    backbone = build_backbone(params, image_size)
    return Embedder(backbone, Pool(params.pooling, backbone.level_channels, "average"))


def projection_net(shared: TrainEmbedder, dim: int, centre: bool, image_size: int) -> Embedder:
    """`max_pool_net` as `init` wants it: a layer that starts from a map centres by its bias, without batch norm."""
    return max_pool_net(shared.backbone, dim, centre and shared.init == "random", image_size)


def max_pool_net(params: PooledBackbone, dim: int, centre: bool, image_size: int | None = None) -> Embedder:
    """Backbone, pooled maps, their maximum unless `pooling` says otherwise, and a fully connected layer.

    The net of siamese, and of the `untrained` baseline; `image_size` as `build_backbone` has it.
    """
    backbone = build_backbone(params, image_size)
    pool = Pool(params.pooling, backbone.level_channels, "max")
    return Embedder(backbone, pool, Projection(pool.dim, dim, centre))
