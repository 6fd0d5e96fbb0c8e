"""Deep Hash Distillation: hash proxies, self-distillation between two views, and quantisation by binary cross-entropy.

Source: Jang, Gu, Ko, Kang & Cho, "Deep Hash Distillation for Image Retrieval" (ECCV 2022, arXiv 2112.08816) and its
official code.

Net: backbone -> global average pool -> linear without bias -> LayerNorm -> tanh, h in (-1, 1)^bits.
Views: the teacher's h_T from a weakly, the student's h_S from a strongly changed view of one image, by the same net; the
weak view multiplies the probabilities of all changes by s_T (`teacher_share`).

L_HP = -log softmax_c(cos(h_T, P) / tau) at the image's class c, proxies P (classes, bits), Xavier with the gain of tanh
L_SD = 1 - cos(h_S, stopgrad(h_T))
L_Q  = BCE(g+(h_T), b) + BCE(g-(h_T), 1 - b), g±(h) = exp(-((h ∓ 1) / sigma)^2 / 2), b = (sign h + 1) / 2, sigma 0.5
L    = L_HP + 0.1 L_SD + 0.1 L_Q

Deviations: one class per image (the paper's label vectors may name several); one warm-up and one cosine, where the official
schedule steps once per epoch over a period counted in batches and so goes up and down; AdamW unless `fit.optimiser` is
adam; views are drawn at the net's size, where the source crops to 256 and then cuts 224 out of the middle, in training and
in tests; the backbone learns as fast as the head unless it is pretrained (`fit.backbone_rate`, 0.05 in the paper); the last
short batch is spread over the others instead of dropped. By default further: weaker changes by our own recipe
(`views.recipe: kornia` is the source's), since colour distinguishes garments; a lower tau (0.2 in the paper) for
more classes; and `centre`, a batch normalisation before the LayerNorm, which the paper's nets do not have.
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
from lightning_modules.data.samplers import EpochSampler, ShuffledBatches
from lightning_modules.data.strong_views import strong_view
from lightning_modules.methods import Method


class DhdParams(Block):
    """Deep Hash Distillation."""

    bits: Bits
    labels: ClassLabels
    centre: bool = Field(description="batch-normalise before the LayerNorm; ours")
    temperature: float = Field(gt=0.0, le=10.0, description="of the hash proxies")
    distillation_weight: float = Field(ge=0.0, le=100.0)
    quantisation_weight: float = Field(ge=0.0, le=100.0)
    quantisation_sigma: float = Field(gt=0.0, le=10.0, description="width of the Gaussian estimators")
    teacher_share: float = Field(ge=0.0, le=1.0, description="factor on all probabilities of the teacher's view (s_T)")
    batch_size: int = Field(ge=2, le=4096)
    views: StrongAugment
    fit: Fit


def build(params: Params, data: RetrievalData) -> Dhd:
    """The module by the block `dhd`."""
    return Dhd(params.train_embedder, params.method("dhd"), data)


class Dhd(HashModule):
    """Attributes: proxies, (classes, bits), one learned code per class; training only."""

    def __init__(self, shared: TrainEmbedder, method: DhdParams, data: RetrievalData) -> None:
        net = hash_net(shared.backbone, method.bits, method.centre, data.train.image_size, shared.init == "whitened")
        super().__init__(net, shared, method.fit, data, method.labels)
        self.proxies = nn.Parameter(torch.empty(self.classes, method.bits))
        nn.init.xavier_uniform_(self.proxies, gain=nn.init.calculate_gain("tanh"))
        self._method = method

    def sampler(self, seed: int) -> EpochSampler:
        return ShuffledBatches(len(self.data.train), self._method.batch_size, seed)

    def view(self, images: Tensor) -> Tensor:
        """The teacher's weak view of uint8 images."""
        return self._view(images, self._method.teacher_share)

    def _view(self, images: Tensor, share: float) -> Tensor:
        return self.laid_out(strong_view(to_float(images), self._method.views, share))

    def loss(self, images: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        teacher = self(images)
        student = self(self._view(batch["images"], 1.0))
        student, _ = self.across_ranks(student, batch)
        teacher, batch = self.across_ranks(teacher, batch)
        method = self._method
        proxy = hash_proxy_loss(teacher, self.proxies, self.labels(batch), method.temperature)
        distillation = similarity_loss(student, teacher.detach())
        quantisation = bce_quantisation_loss(teacher, method.quantisation_sigma)
        loss = proxy + method.distillation_weight * distillation + method.quantisation_weight * quantisation
        figures = {"proxy": proxy, "distillation": distillation, "quantisation": quantisation}
        return loss, {**{name: value.detach() for name, value in figures.items()}, **code_figures(teacher)}


def hash_proxy_loss(codes: Tensor, proxies: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """L_HP: cross-entropy of the cosines between codes and proxies over `temperature`, mean over the batch.

    Args:
        codes: (B, bits).
        proxies: (classes, bits).
        labels: (B,) class numbers.
    """
    cosines = F.normalize(codes, dim=1) @ F.normalize(proxies, dim=1).T
    return F.cross_entropy(cosines / temperature, labels)


def bce_quantisation_loss(codes: Tensor, sigma: float) -> Tensor:
    """L_Q, mean over batch and bits.

    With b the sign of h, BCE(g+, b) + BCE(g-, 1 - b) is -log g of the near corner - log(1 - g) of the far one: with n =
    |h| - 1 and f = |h| + 1 it is (n / sigma)^2 / 2 - log(1 - exp(-(f / sigma)^2 / 2)). In this form no logarithm meets 0.
    """
    near, far = codes.abs() - 1, codes.abs() + 1
    missed = torch.exp(-0.5 * (far / sigma).square())
    return (0.5 * (near / sigma).square() - torch.log1p(-missed)).mean()


METHOD = Method(params=DhdParams, build=build, needs=("codes",))
