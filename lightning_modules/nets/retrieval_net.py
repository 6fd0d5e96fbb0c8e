"""The net that is exported, indexed and searched: a backbone and a head."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from croquis.params.training_blocks import Backbone as BackboneParams
from lightning_modules.nets.backbones import Backbone, build_backbone


class GlobalAveragePool(nn.Module):
    """(B, C, h, w) -> (B, C), the mean over the map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dim = channels

    def forward(self, features: Tensor) -> Tensor:
        return features.mean(dim=(2, 3))


class MaxPoolProject(nn.Module):
    """Global max pool, then a fully connected layer, centred on request; (B, C, h, w) -> (B, dim).

    Args:
        centre: batch-normalise the output without scale or shift. Max-pooled features are all positive, so that the
            vectors of a net without pretrained weights share one large direction, and triplet training collapses.
    """

    def __init__(self, channels: int, dim: int, centre: bool) -> None:
        super().__init__()
        self.dim = dim
        self.project = nn.Linear(channels, dim)
        self.centre = nn.BatchNorm1d(dim, affine=False) if centre else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        projected: Tensor = self.centre(self.project(features.amax(dim=(2, 3))))
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
    """A net that is exported, indexed and searched: a backbone and what stands on it.

    Attributes:
        backbone: gives the feature maps.
        dim: numbers that `forward` gives per image.
        kind: what the index keeps of them: the numbers themselves (`dense`), their signs (`binary`), or the nearest
            codewords of their sub-vectors (`pq`; such a net has `codebooks`).
        metric: `cosine`, `hamming` or `l2`, what the index compares by.
    """

    backbone: Backbone
    dim: int
    kind: Literal["dense", "binary", "pq"] = "dense"
    metric: Literal["cosine", "hamming", "l2"] = "cosine"

    @property
    def codebooks(self) -> Tensor:
        """(M, K, dim / M), exactly what the index holds; a net of another kind than `pq` raises TypeError."""
        raise TypeError(f"a {self.kind} net has no codebooks")


class Embedder(RetrievalNet):
    """Backbone, head and L2 norm; `dim` is the length of the embedding."""

    def __init__(self, backbone: Backbone, head: GlobalAveragePool | MaxPoolProject) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.dim = head.dim

    def figures(self) -> dict[str, Tensor]:
        """What the head tells of its own health; see `MaxPoolProject.figures`."""
        return self.head.figures() if isinstance(self.head, MaxPoolProject) else {}

    def pooled(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [0, 1] -> (B, dim), not normalised."""
        pooled: Tensor = self.head(self.backbone(images))
        return pooled

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [0, 1] -> (B, dim) of length 1."""
        return F.normalize(self.pooled(images), dim=1)


def average_pool_net(params: BackboneParams, image_size: int | None = None) -> Embedder:
    """Backbone and global average pool: the net of image2vec; `image_size` as `build_backbone` has it."""
    backbone = build_backbone(params, image_size)
    return Embedder(backbone, GlobalAveragePool(backbone.channels))


def max_pool_net(params: BackboneParams, dim: int, centre: bool, image_size: int | None = None) -> Embedder:
    """Backbone, global max pool and a fully connected layer: the net of siamese, and of the `untrained` baseline."""
    backbone = build_backbone(params, image_size)
    return Embedder(backbone, MaxPoolProject(backbone.channels, dim, centre))
