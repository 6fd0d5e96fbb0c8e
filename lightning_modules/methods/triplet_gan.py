"""CBIR-GAN: a triplet GAN whose bottleneck is searched. **A reconstruction**: the implementation was never published.

Source: Norouzi et al., SSRN 4057354, of which the abstract and a figure are public: three generators that learn a
similarity measure by a triplet loss, a perceptual loss on a CNN that keeps structure in intermediate layers, a
discriminator, triplets as the only input. No formula, layer, weight or number is. Ours, for a generator G = Dec(Enc(x)):

  z = Enc(x), y = Dec(z)
  L_tri  = max(0, m + |z_a - z_p|^2 - |z_a - z_n|^2)
  L_rec  = |x - y|_1
  L_perc = relative squared difference of a frozen net's feature maps of x and y (lightning_modules/nets/perceptual.py)
  L_adv  : a discriminator tells x from y (lightning_modules/losses/adversarial.py)
  L_G    = w_tri L_tri + w_rec L_rec + w_perc L_perc + w_adv L_adv

Decisions where the source is silent: the three generators share their weights (all images of a P x K batch are anchors,
positives and negatives of each other); each reconstructs its own, augmented input; one PatchGAN discriminator judges single
images; the bottleneck is the embedding, and the encoder is siamese's net, so that with the triplet term alone the method
is siamese on squared distances. L_rec is not in the source. "Semi-supervised" is read as: images without labels
(`data.unlabelled`) join the three terms that need none. The discriminator takes a step before each of the generator's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self, cast

import torch
from pydantic import Field, model_validator
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.nn import functional as F

from croquis.params import Params
from croquis.params.block import Block
from croquis.params.training_blocks import (
    AdversarialLoss,
    Fit,
    InBatchNegatives,
    Positives,
    TorchvisionName,
    TrainEmbedder,
    Weights,
)
from lightning_modules.bases.retrieval_module import RetrievalModule
from lightning_modules.data.retrieval_data import Batch, RetrievalData, to_float
from lightning_modules.data.samplers import EpochSampler, ItemBatches
from lightning_modules.losses import triplet
from lightning_modules.losses.adversarial import DiscriminatorLoss, fooling_loss, judge
from lightning_modules.methods import Method
from lightning_modules.nets.decoder import ImageDecoder
from lightning_modules.nets.perceptual import PerceptualNet, perceptual_net
from lightning_modules.nets.pix2pix import PatchDiscriminator, initialise
from lightning_modules.nets.retrieval_net import Embedder, projection_net
from lightning_modules.training.distributed import own_part, world_size
from lightning_modules.training.schedule import rate_factor


class TripletGanParams(Block):
    """CBIR-GAN, a reconstruction; a term of weight 0 is left out, with the nets that only it needs."""

    embedding_dim: int = Field(ge=2, le=4096)
    centre: bool = Field(description="batch-normalise the vector before its L2 norm; needed without pretrained weights")
    normalise: bool = Field(description="whether triplet loss and decoder see vectors of length 1, as search does")
    margin: float = Field(gt=0.0, le=100.0, description="between squared distances; those of unit vectors reach 4")
    positives: Positives
    negatives: InBatchNegatives
    items_per_batch: int = Field(ge=2, le=1024)
    images_per_item: int = Field(ge=2, le=64)
    unlabelled_per_batch: int = Field(
        ge=0, le=65_536, description="images without labels that join a batch for reconstruction and adversary"
    )
    triplet_weight: float = Field(ge=0.0, le=10_000.0)
    reconstruction_weight: float = Field(ge=0.0, le=10_000.0)
    perceptual_weight: float = Field(ge=0.0, le=10_000.0)
    adversarial_weight: float = Field(ge=0.0, le=10_000.0)
    adversarial_loss: AdversarialLoss
    perceptual_net: TorchvisionName = Field(
        description="frozen net of the perceptual loss, unless its weights are none"
    )
    perceptual_weights: Weights = Field(
        description="`none` (a frozen random net), `pretrained` (a download), `hub:OWNER/NAME`, or a path to a state dict"
    )
    decoder_channels: int = Field(ge=4, le=256)
    discriminator_channels: int = Field(ge=4, le=256)
    discriminator_layers: int = Field(ge=1, le=5)
    discriminator_rate: float = Field(gt=0.0, le=1.0, description="learning rate of the discriminator (Adam)")
    discriminator_beta1: float = Field(ge=0.0, lt=1.0)
    fit: Fit

    @model_validator(mode="after")
    def something_to_learn(self) -> Self:
        weights = (
            self.triplet_weight,
            self.reconstruction_weight,
            self.perceptual_weight,
            self.adversarial_weight,
        )
        if not any(weights):
            raise ValueError("all four weights are 0: nothing would be learnt; raise one of them")
        return self


def build(params: Params, data: RetrievalData) -> TripletGan:
    """The module by the block `triplet_gan`."""
    return TripletGan(params.train_embedder, params.method("triplet_gan"), data)


@dataclass(frozen=True)
class Pass:
    """One pass through the generator.

    Attributes:
        images: (B + U, 3, S, S) in [0, 1], the labelled ones first.
        embeddings: (B + U, D), the bottleneck.
        made: (B + U, 3, S, S), the reconstructions; None where no term needs them.
    """

    images: Tensor
    embeddings: Tensor
    made: Tensor | None


class TripletGan(RetrievalModule):
    """Encoder (`net`, the part that is exported), decoder, discriminator and frozen net; each only where a term needs it."""

    net: Embedder

    def __init__(self, shared: TrainEmbedder, method: TripletGanParams, data: RetrievalData) -> None:
        # The encoder comes first, so that an ablation starts from the same weights.
        net = projection_net(shared, method.embedding_dim, method.centre, data.train.image_size)
        super().__init__(net, shared, method.fit, data)
        self.automatic_optimization = False
        self._method = method
        self.decoder: ImageDecoder | None = None
        self.perceptual: PerceptualNet | None = None
        self.discriminator: PatchDiscriminator | None = None
        if method.reconstruction_weight or method.perceptual_weight or method.adversarial_weight:
            self.decoder = ImageDecoder(method.embedding_dim, method.decoder_channels, data.train.image_size)
        if method.perceptual_weight:
            self.perceptual = perceptual_net(method.perceptual_net, method.perceptual_weights)
        if method.adversarial_weight:
            self.discriminator = PatchDiscriminator(
                method.discriminator_channels, method.discriminator_layers, inputs=3
            )
            self.discriminator.apply(initialise)
        if shared.backbone.channels_last:
            self.to(memory_format=torch.channels_last)

    def sampler(self, seed: int) -> EpochSampler:
        return ItemBatches(self.data.train.items, self._method.items_per_batch, self._method.images_per_item, seed)

    def heads(self) -> list[nn.Parameter]:
        """The generator's parameters outside the backbone; the discriminator has an optimiser of its own."""
        return [
            *(self.net.head.parameters() if self.net.head else ()),
            *(self.decoder.parameters() if self.decoder else ()),
        ]

    def bottleneck(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [0, 1] -> (B, D), of length 1 unless `normalise` is off."""
        pooled = self.net.pooled(images)
        return F.normalize(pooled, dim=1) if self._method.normalise else pooled

    def passed(self, images: Tensor) -> Pass:
        """Augmented labelled images, and unlabelled ones that are drawn here, through the generator."""
        if self.decoder is None:
            return Pass(images, self.bottleneck(images), None)
        images = torch.cat([images, *self._unlabelled(images.device)])
        embeddings = self.bottleneck(images)
        with self.half_precision():
            return Pass(images, embeddings, self.decoder(embeddings).to(images.dtype))

    def _unlabelled(self, device: torch.device) -> list[Tensor]:
        """Random views of `unlabelled_per_batch` images; none where all images are labelled, for the batches hold those."""
        pool, wanted = self.data.unlabelled, self._method.unlabelled_per_batch
        if not wanted or pool is self.data.train.images:
            return []
        chosen = own_part(torch.randint(len(pool), (wanted * world_size(),)))
        return [self.view(pool[chosen].to(device))]

    def loss(self, images: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """L_G and its terms, without their weights."""
        return self.generator_loss(self.passed(images), batch)

    def generator_loss(self, passed: Pass, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of the terms whose weights are not 0, and figures to log by name.

        Args:
            passed: what the nets made of the batch.
            batch: B images with their items.
        """
        method = self._method
        terms: dict[str, Tensor] = {}
        figures: dict[str, Tensor] = {}
        if method.triplet_weight:
            terms["triplet"], figures = self._triplet_loss(passed.embeddings[: len(batch["items"])], batch)
        if passed.made is not None and method.reconstruction_weight:
            terms["reconstruction"] = F.l1_loss(passed.made, passed.images)
        if passed.made is not None and self.perceptual is not None:
            with self.half_precision():
                terms["perceptual"] = self.perceptual(passed.images, passed.made)
        if passed.made is not None and self.discriminator is not None:
            terms["adversarial"] = fooling_loss(self._logits(passed.made), method.adversarial_loss)
        weighted = [getattr(method, f"{name}_weight") * term for name, term in terms.items()]
        return torch.stack(weighted).sum(), {**terms, **figures}

    def _triplet_loss(self, embeddings: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        embeddings, batch = self.across_ranks(embeddings, batch)
        items, method = batch["items"], self._method
        distances = triplet.squared_distances(embeddings, embeddings)
        anchors, others = triplet.anchors_and_positives(
            distances, items, batch["shop"], method.positives, method.negatives
        )
        positive, other_item = distances[anchors, others], items[anchors, None] != items
        negative = triplet.in_batch_negatives(method.negatives, distances[anchors], other_item, positive)
        losses = triplet.triplet_losses(positive, negative, method.margin)
        return losses.mean(), {**triplet.collapse_figures(embeddings, losses), **self.net.figures()}

    def verdict(self, passed: Pass) -> DiscriminatorLoss:
        """The discriminator's losses on real images and on their reconstructions, as they are."""
        if passed.made is None:
            raise ValueError("nothing was made: only the triplet term has a weight")
        made = self._logits(passed.made.detach())
        return judge(self._logits(passed.images), made, self._method.adversarial_loss)

    def _logits(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [0, 1] -> (B, 1, h, w), what the discriminator makes of patches."""
        if self.discriminator is None:
            raise ValueError("there is no discriminator: triplet_gan.adversarial_weight is 0")
        with self.half_precision():
            logits: Tensor = self.discriminator(images * 2 - 1).to(images.dtype)
        return logits

    def training_step(self, batch: Batch, batch_idx: int) -> None:  # type: ignore[override]
        found = self.optimizers()
        for_generator, *others = cast(list[LightningOptimizer], found if isinstance(found, list) else [found])
        with self.full_precision():
            passed = self.passed(self.view(batch["images"]))
            figures = {}
            for for_discriminator in others:
                verdict = self.verdict(passed)
                self._step(for_discriminator, verdict.loss)
                figures = {f"discriminator_{name}": value for name, value in verdict._asdict().items()}
            self.toggle_optimizer(for_generator)  # spares the discriminator's gradients
            loss, terms = self.generator_loss(passed, batch)
            self._step(for_generator, loss)
            self.untoggle_optimizer(for_generator)
        self.log_figures({"loss": loss, **terms, **figures}, len(batch["images"]))
        self._follow_schedules()

    def _step(self, optimiser: Any, loss: Tensor) -> None:
        optimiser.zero_grad()
        self.manual_backward(loss)
        optimiser.step()

    def _follow_schedules(self) -> None:
        schedules = self.lr_schedulers()
        for schedule in schedules if isinstance(schedules, list) else [schedules]:
            cast(torch.optim.lr_scheduler.LambdaLR, schedule).step()

    def configure_optimizers(self) -> Any:
        """AdamW for the generator, Adam for the discriminator; both follow the schedule of `fit`."""
        generator = super().configure_optimizers()
        if self.discriminator is None:
            return generator
        method, fit = self._method, self._method.fit
        steps = self.steps_per_epoch()
        optimiser = torch.optim.Adam(
            self.discriminator.parameters(), lr=method.discriminator_rate, betas=(method.discriminator_beta1, 0.999)
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: rate_factor(step, fit.warmup_epochs * steps, fit.epochs * steps)
        )
        return [generator, {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}]

    def generated(self, images: Tensor) -> Tensor | None:
        """Reconstructions of uint8 images, uint8."""
        if self.decoder is None:
            return None
        training = self.training
        self.eval()
        with torch.no_grad():
            made = self.decoder(self.bottleneck(to_float(images.to(self.device))))
        self.train(training)
        pictures: Tensor = made.mul(255).round().to(torch.uint8).cpu()
        return pictures


def check(params: Params) -> None:
    """Refuses a discriminator that is too deep for the images."""
    own = params.method("triplet_gan")
    if own.adversarial_weight and 3 * 2**own.discriminator_layers > params.base.image_size:
        raise ValueError(
            f"triplet_gan.discriminator_layers is {own.discriminator_layers}: too many for images of "
            f"base.image_size {params.base.image_size}, which must be at least 3 * 2**layers"
        )


METHOD = Method(params=TripletGanParams, build=build, check=check, needs=("gan",))
