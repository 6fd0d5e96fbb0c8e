"""Product quantisation inside a net: sub-vectors, soft and hard quantisers, the net that is exported, the methods' base.

A vector of M * d numbers is M sub-vectors of d; each has a codebook of K codewords. The code of a sub-vector is the number
of its nearest codeword in Euclidean distance, so an image takes M * log2(K) bits. A query stays as it is and is compared
with decoded codes: the squared distance is the sum over sub-vectors of the distances query to codeword, which a look-up
table holds (Jegou, Douze & Schmid 2011). During training a soft quantiser, a mean of all codewords weighted by nearness,
stands for the code, so that codebooks and net learn together.

With `init: whitened` the head is one layer that starts from the map in closed form of the pooled train photos, rotated so
that sub-vectors lose little when they are coded (optimised product quantisation, Ge et al., CVPR 2013), and codewords start
from k-means. Such a layer has a bias, which centres.
"""

from __future__ import annotations

from typing import Literal

import faiss
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from croquis.arrays import Vectors
from croquis.nets.linear_map import LinearMap
from lightning_modules.bases.retrieval_module import RetrievalModule
from lightning_modules.maps.closed_form import LabelledVectors
from lightning_modules.nets.backbones import Backbone
from lightning_modules.nets.pooling import Pool
from lightning_modules.nets.retrieval_net import RetrievalNet


def sub_vectors(vectors: Tensor, subspaces: int) -> Tensor:
    """(B, M * d) -> (B, M, d)."""
    return vectors.reshape(-1, subspaces, vectors.shape[1] // subspaces)


def intra_normalise(parts: Tensor) -> Tensor:
    """Every sub-vector at length 1; (..., d) -> (..., d)."""
    return F.normalize(parts, dim=-1)


def squared_distances(parts: Tensor, codebooks: Tensor) -> Tensor:
    """From each sub-vector to the codewords of its codebook; (B, M, d) and (M, K, d) -> (B, M, K)."""
    products = torch.einsum("bmd,mkd->bmk", parts, codebooks)
    return parts.square().sum(2, keepdim=True) + codebooks.square().sum(2) - 2 * products


def weighted_codewords(weights: Tensor, codebooks: Tensor) -> Tensor:
    """(B, M, K) weights of the codewords (M, K, d) -> (B, M, d)."""
    return torch.einsum("bmk,mkd->bmd", weights, codebooks)


def soft_quantise(parts: Tensor, codebooks: Tensor, sharpness: float) -> Tensor:
    """z_m = sum_k softmax_k(-sharpness * |x_m - c_mk|^2) c_mk; (B, M, d) and (M, K, d) -> (B, M, d)."""
    return weighted_codewords(torch.softmax(-sharpness * squared_distances(parts, codebooks), dim=2), codebooks)


def hard_codes(parts: Tensor, codebooks: Tensor) -> Tensor:
    """The number of the nearest codeword of each sub-vector, the lower one of two at one distance; (B, M) int64."""
    return squared_distances(parts, codebooks).argmin(dim=2)


def decode(codes: Tensor, codebooks: Tensor) -> Tensor:
    """The codewords that (B, M) codes name; (B, M, d)."""
    return codebooks[torch.arange(len(codebooks), device=codes.device), codes]


def rotation_for_codes(vectors: Vectors, subspaces: int) -> Vectors:
    """A rotation (d, d) of rows x R of float32 (N, d), after which sub-vectors of 16 codewords each lie nearer to them."""
    dim = vectors.shape[1]
    rotation, codes = faiss.OPQMatrix(dim, subspaces), faiss.ProductQuantizer(dim, subspaces, 4)
    rotation.pq = codes
    rotation.train(vectors)
    found: Vectors = faiss.vector_to_array(rotation.A).reshape(dim, dim).T
    return found


def k_means_codebooks(parts: Tensor, codewords: int) -> Tensor:
    """The means of `codewords` groups of each sub-vector; (N, M, d) -> (M, codewords, d).

    Raises:
        ValueError: when there are fewer images than codewords.
    """
    count, subspaces, dim = parts.shape
    if count < codewords:
        raise ValueError(
            f"init: whitened starts {codewords} codewords from k-means, but there are {count} train images: "
            "choose fewer codewords or init: random"
        )
    codes = faiss.ProductQuantizer(subspaces * dim, subspaces, codewords.bit_length() - 1)
    codes.cp.min_points_per_centroid = 1
    codes.train(parts.flatten(1).numpy())
    return torch.from_numpy(faiss.vector_to_array(codes.centroids).reshape(subspaces, codewords, dim))


def xavier(matrix: Tensor, gain: float, uniform: bool) -> Tensor:
    """Fills a matrix (Glorot & Bengio 2010), with normal or uniform numbers of one variance."""
    return nn.init.xavier_uniform_(matrix, gain) if uniform else nn.init.xavier_normal_(matrix, gain)


def xavier_codebooks(
    subspaces: int, codewords: int, subspace_dim: int, gain: float = 1.0, uniform: bool = False
) -> nn.Parameter:
    """(M, K, d) float32, drawn as one Xavier matrix of K rows and M * d columns.

    The official codes of SPQ (since 2021-12-12) and GPQ draw that matrix uniformly; GPQ here draws it normally.
    """
    matrix = xavier(torch.empty(codewords, subspaces * subspace_dim), gain, uniform)
    return nn.Parameter(sub_vectors(matrix, subspaces).transpose(0, 1).contiguous())


class PqNet(RetrievalNet):
    """Backbone, pooled maps and a head; `forward` gives real features, the index keeps codes of them.

    Args:
        head: (B, pool.dim) -> (B, subspaces * subspace_dim).
    """

    kind: Literal["dense", "binary", "pq"] = "pq"
    metric: Literal["cosine", "hamming", "l2"] = "l2"

    def __init__(self, backbone: Backbone, pool: Pool, head: nn.Sequential, subspaces: int, subspace_dim: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.pool = pool
        self.head = head
        self.subspaces = subspaces
        self.dim = subspaces * subspace_dim

    @property
    def projection(self) -> nn.Linear | None:
        first = self.head[0]
        return first if isinstance(first, nn.Linear) else None

    def start_from(self, matrix: Vectors, train: LabelledVectors, seen: Vectors) -> None:
        """As `RetrievalNet.start_from`, rotated, and scaled to sub-vectors of a mean squared length of 1."""
        rotated = matrix @ rotation_for_codes(LinearMap(matrix).apply(seen), self.subspaces)
        lengths = np.square(seen @ rotated[:-1] + rotated[-1]).sum(axis=1)
        super().start_from(rotated * np.sqrt(self.subspaces / lengths.mean()), train, seen)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [0, 1] -> (B, subspaces * subspace_dim)."""
        features: Tensor = self.head(self.features(images))
        return features


class PqModule(RetrievalModule):
    """Base of the quantising methods: validation compares real queries with decoded codes, as the index does."""

    net: PqNet

    def parts(self, features: Tensor) -> Tensor:
        """(B, M * d) -> (B, M, d)."""
        return sub_vectors(features, self.net.subspaces)

    def stored(self, embeddings: Tensor) -> Tensor:
        codebooks = self.net.codebooks.detach().to(embeddings)
        return decode(hard_codes(self.parts(embeddings), codebooks), codebooks).flatten(1)


def code_figures(parts: Tensor, codebooks: Tensor) -> dict[str, Tensor]:
    """What tells codes that waste bits or lie far from what they stand for.

    Args:
        parts: (B, M, d).
        codebooks: (M, K, d).

    Returns:
        `used_codewords`, the share of all codewords that the batch uses, and `quantisation_error`, the squared distance
        to the nearest codewords as a share of the squared length.
    """
    with torch.no_grad():
        codes = hard_codes(parts, codebooks)
        used = F.one_hot(codes, codebooks.shape[1]).amax(dim=0).float().mean()
        error = (parts - decode(codes, codebooks)).square().sum() / parts.square().sum().clamp_min(1e-12)
        return {"used_codewords": used, "quantisation_error": error}
