"""Self-supervised Product Quantization: codebooks and net learn from views of images, without any label.

Source: Jang & Cho, "Self-supervised Product Quantization for Deep Unsupervised Image Retrieval" (ICCV 2021, arXiv
2109.02244) and its official code.

Net: backbone -> global average pool -> linear, ReLU -> linear, x in M sub-vectors of d. Codebooks (M, K, d) are learned. No
normalisation of sub-vectors. Where `centre` is false, `start` says how the last linear layer and the codebooks begin:
  `current`       the official code since 2021-12-12 (commit a0c7414): a bias, both by xavier_uniform_ of gain 1
  `first_upload`  the first upload of 2021-09-22 (commit 4e487f1): no bias, both by xavier_normal_ of gain 0.1.
                  Soft-quantised vectors then all begin alike, and few codewords are ever used
Views: two strong views a, b of every image; z = soft quantisation of x, weights softmax_k(-tau_q |x_m - c_mk|^2), tau_q = 5.

L = cross-quantised contrastive loss, s the cosine of whole vectors, tau = 0.5:
  `negatives: reference` (the official code): with U = [X_a; Z_b], V = [X_b; Z_a] of 2B rows, rows i and i ± B being pairs,
      L = l(U) + l(V), l(U) = mean_i -log(exp(s(U_i, U_p(i)) / tau) / sum_{j != i} exp(s(U_i, U_j) / tau))
  `negatives: paper` (the paper's figure): x of one view meets only the quantised vectors of the other,
      L = mean over x_a against Z_b and over x_b against Z_a of -log(exp(s(x_i, z_i) / tau) / sum_j exp(s(x_i, z_j) / tau))

Ours by default: `centre`, a batch normalisation of x to sub-vectors of mean squared length 1, with a linear layer without
bias and codewords drawn at that scale; tau = 0.2; weaker views of our own recipe, as colour distinguishes garments. What
comes nearest to the official code is the preset cifar10_c: `centre: false`, `start: current`, `positives: views`,
`temperature: 0.5`, `fit.optimiser: adam`, and views by the recipe `kornia`.

Deviations, those of the preset too:
  search by the squared distance from the query's x to the codewords, summed over sub-vectors; the official code sums
      distances that are not squared
  one warm-up and one cosine, where the official schedule is cyclic by mistake: it goes down and up again in 390 epochs.
      AdamW by default; the official code has Adam (`fit.optimiser: adam`), which adds 1e-5 * w to the gradient, while the
      same 1e-5 of AdamW shrinks all weights by less than 0.1 % over 3,000 epochs
  the last short batch is spread over the others instead of dropped
  batch norms do not freeze by themselves, as those of the official code do after its first evaluation
  images are normalised by ImageNet's mean and deviation; the official code does not normalise

With `init: whitened` the head is one layer with a bias that starts from a map in closed form: no hidden layer, no `centre`.

`positives: views` is the paper's method. `positives: item` is OURS and no longer unsupervised: the second view is a view of
another photo of the same item, of the other domain where the item has one.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from croquis.arrays import Vectors
from croquis.params import Params
from croquis.params.code_blocks import ProductCodes
from croquis.params.training_blocks import Fit, StrongAugment, TrainEmbedder
from lightning_modules.bases.pq_module import (
    PqModule,
    PqNet,
    code_figures,
    k_means_codebooks,
    soft_quantise,
    sub_vectors,
    xavier,
    xavier_codebooks,
)
from lightning_modules.data.augment import uniform
from lightning_modules.data.photo_rows import joined
from lightning_modules.data.retrieval_data import Batch, ImageSet, RetrievalData, to_float
from lightning_modules.data.samplers import EpochSampler, ItemBatches, ShuffledBatches, rows_by_label
from lightning_modules.data.strong_views import strong_view
from lightning_modules.maps.closed_form import LabelledVectors
from lightning_modules.methods import Method
from lightning_modules.nets.backbones import build_backbone
from lightning_modules.nets.pooling import Pool


class SpqParams(ProductCodes):
    """Self-supervised Product Quantization."""

    centre: bool = Field(description="batch-normalise the features, and start codewords at their length")
    start: Literal["current", "first_upload"] = Field(
        description="without `centre`, how last layer and codewords begin: as in the official code, or its first upload"
    )
    quantiser_sharpness: float = Field(gt=0.0, le=1000.0, description="tau_q, factor on squared distances")
    temperature: float = Field(gt=0.0, le=10.0)
    negatives: Literal["paper", "reference"] = Field(
        description="quantised vectors of the other view only, or all rows as the official code has it"
    )
    positives: Literal["views", "item"] = Field(
        description="two views of one image, or (ours, not unsupervised) of two photos of one item"
    )
    batch_size: int = Field(ge=2, le=4096)
    views: StrongAugment
    fit: Fit


class Start(NamedTuple):
    """How the last linear layer and the codebooks begin."""

    bias: bool
    uniform: bool
    gain: float


STARTS = {
    "current": Start(bias=True, uniform=True, gain=1.0),
    "first_upload": Start(bias=False, uniform=False, gain=0.1),
}
CENTRED = STARTS["first_upload"]  # a batch norm follows, which takes bias and gain away


def build(params: Params, data: RetrievalData) -> Spq:
    """The module by the block `spq`; with `positives: views` labels are taken away first."""
    if params.method("spq").positives == "views":
        data = unlabelled_data(data)
    return Spq(params.train_embedder, params.method("spq"), data)


class Centre(nn.Module):
    """Batch normalisation without scale or shift, then one factor, so that sub-vectors have a mean squared length of 1."""

    def __init__(self, subspaces: int, subspace_dim: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(subspaces * subspace_dim, affine=False)
        self._factor = subspace_dim**-0.5

    def forward(self, features: Tensor) -> Tensor:
        centred: Tensor = self.norm(features) * self._factor
        return centred


class SpqNet(PqNet):
    """Attributes: words, the codebooks, (M, K, d)."""

    def __init__(self, shared: TrainEmbedder, method: SpqParams, image_size: int | None = None) -> None:
        net, dim = build_backbone(shared.backbone, image_size), method.subspaces * method.subspace_dim
        pool = Pool(shared.backbone.pooling, net.level_channels, "average")
        start = CENTRED if method.centre else STARTS[method.start]
        if shared.init == "whitened":
            head = nn.Sequential(nn.Linear(pool.dim, dim))
        else:
            project = nn.Linear(pool.dim, dim, bias=start.bias)
            xavier(project.weight, start.gain, start.uniform)
            centre = Centre(method.subspaces, method.subspace_dim) if method.centre else nn.Identity()
            head = nn.Sequential(nn.Linear(pool.dim, pool.dim), nn.ReLU(), project, centre)
        super().__init__(net, pool, head, method.subspaces, method.subspace_dim)
        self.words = xavier_codebooks(
            method.subspaces, method.codewords, method.subspace_dim, start.gain, start.uniform
        )
        if method.centre:
            nn.init.normal_(self.words, std=method.subspace_dim**-0.5)

    @property
    def codebooks(self) -> Tensor:
        return self.words

    def start_from(self, matrix: Vectors, train: LabelledVectors, seen: Vectors) -> None:
        super().start_from(matrix, train, seen)
        with torch.no_grad():
            parts = sub_vectors(self.head(torch.from_numpy(seen)), self.subspaces)
            self.words.copy_(k_means_codebooks(parts, self.words.shape[1]))


class Spq(PqModule):
    """Product quantisation by the cross-quantised contrastive loss of two views, as above."""

    def __init__(self, shared: TrainEmbedder, method: SpqParams, data: RetrievalData) -> None:
        super().__init__(SpqNet(shared, method, data.train.image_size), shared, method.fit, data)
        self._method = method
        self._partners = partners(data.train) if method.positives == "item" else None

    def sampler(self, seed: int) -> EpochSampler:
        """With `positives: item` few batches hold two photos of one item, which are each other's negatives."""
        if self._partners is None:
            return ShuffledBatches(len(self.data.train), self._method.batch_size, seed)
        return ItemBatches(self.data.train.items, self._method.batch_size, 1, seed)

    def view(self, images: Tensor) -> Tensor:
        return self.laid_out(strong_view(to_float(images), self._method.views))

    def loss(self, images: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        method, codebooks = self._method, self.net.codebooks
        first, _ = self.across_ranks(self(images), batch)
        second, _ = self.across_ranks(self(self.view(self._second_images(batch))), batch)
        x_a, x_b = self.parts(first), self.parts(second)
        z_a, z_b = (soft_quantise(x, codebooks, method.quantiser_sharpness).flatten(1) for x in (x_a, x_b))
        contrast = paper_loss if method.negatives == "paper" else reference_loss
        return contrast(first, second, z_a, z_b, method.temperature), code_figures(x_a, codebooks)

    def _second_images(self, batch: Batch) -> Tensor:
        """What the second view is a view of: the same images, or a photo drawn from each one's partners."""
        if self._partners is None:
            return batch["images"]
        rows = batch["rows"].tolist()
        draws = uniform(batch["rows"], 0, 1).tolist()
        pools = [self._partners[row] for row in rows]
        chosen = torch.as_tensor([int(pool[int(draw * len(pool))]) for pool, draw in zip(pools, draws, strict=True)])
        return self.data.train.images[chosen].to(batch["images"].device)


def reference_loss(x_a: Tensor, x_b: Tensor, z_a: Tensor, z_b: Tensor, temperature: float) -> Tensor:
    """The official code's loss; features x and quantised vectors z of views a and b, (B, D) each."""
    return _contrast([x_a, z_b], temperature) + _contrast([x_b, z_a], temperature)


def _contrast(halves: list[Tensor], temperature: float) -> Tensor:
    """Cross-entropy of every row against all other rows, with the row of the other half as the right one."""
    rows = F.normalize(torch.cat(halves), dim=1)
    count = len(rows)
    logits = (rows @ rows.T / temperature).masked_fill(
        torch.eye(count, dtype=torch.bool, device=rows.device), -torch.inf
    )
    pairs = torch.arange(count, device=rows.device).roll(count // 2)
    return F.cross_entropy(logits, pairs)


def paper_loss(x_a: Tensor, x_b: Tensor, z_a: Tensor, z_b: Tensor, temperature: float) -> Tensor:
    """The paper's loss: only quantised vectors of the other view are compared with; (B, D) each."""
    right = torch.arange(len(x_a), device=x_a.device)
    pairs = ((x_a, z_b), (x_b, z_a))
    losses = [F.cross_entropy(F.normalize(x, dim=1) @ F.normalize(z, dim=1).T / temperature, right) for x, z in pairs]
    return torch.stack(losses).mean()


def unlabelled_data(data: RetrievalData) -> RetrievalData:
    """The same data with no label to learn from: training and unlabelled images together, each an item of its own."""
    own, more = data.train.images, data.unlabelled
    images = own if more is own else joined(own, more)
    none = np.full(len(images), "", dtype=object)
    train = ImageSet(images, np.arange(len(images)), np.zeros(len(images), np.int64), none, none, none, none)
    return RetrievalData(train, data.val, data.val_is_query, data.categories, protocol=data.protocol, how=data.how)


def partners(images: ImageSet) -> list[npt.NDArray[np.int64]]:
    """For each image the rows of its item's other photos, only those of the other domain where there are any.

    An item's only photo is its own partner.
    """
    rows_of = rows_by_label(images.items)
    return [_partners_of(row, rows_of[item], images) for row, item in enumerate(images.items.tolist())]


def _partners_of(row: int, same: npt.NDArray[np.int64], images: ImageSet) -> npt.NDArray[np.int64]:
    others = same[same != row]
    across = others[images.domains[others] != images.domains[row]]
    return next((rows for rows in (across, others) if len(rows)), same)


METHOD = Method(params=SpqParams, build=build, needs=("codes",))
