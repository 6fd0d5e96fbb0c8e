"""What every learned retriever shares: augmented training batches, retrieval validation, one optimiser."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from croquis.params.training_blocks import Fit, TrainEmbedder
from lightning_modules.data.augment import augment
from lightning_modules.data.retrieval_data import Batch, RetrievalData, to_float
from lightning_modules.data.samplers import EpochSampler
from lightning_modules.nets.retrieval_net import RetrievalNet
from lightning_modules.training.distributed import gather, gather_with_gradient, is_spread
from lightning_modules.training.fine_tuning import fine_tuning_callbacks
from lightning_modules.training.schedule import optimiser_with_schedule, start_rate
from lightning_modules.training.val_scores import decisive_score, retrieval_scores

MONITOR = "val/score"
HALF = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


class RetrievalModule(pl.LightningModule):
    """Base of the methods; a method gives its net and adds its loss and its sampler.

    Under a mixed `base.precision` the backbone alone computes in half precision. Heads, distances and losses stay in
    float32: squared distances of near embeddings and softmax over many classes lose their meaning in 8 or 11 bits.

    Attributes:
        net: what is exported.
        data: what it trains and is validated on.
        val_embeddings: (len(data.val), D) of the newest validation, as the index keeps them.
        val_queries: the same images as they ask.
    """

    def __init__(self, net: RetrievalNet, shared: TrainEmbedder, fit: Fit, data: RetrievalData) -> None:
        super().__init__()
        self.net = net
        self.val_embeddings = self.val_queries = np.zeros((0, 0), dtype=np.float32)
        self._shared = shared
        self._fit = fit
        self.data = data
        self._collected: list[Tensor] = []

    def configure_callbacks(self) -> list[pl.Callback]:
        return fine_tuning_callbacks(self._shared.fine_tuning)

    def on_fit_start(self) -> None:
        self.net.backbone.compute_dtype = HALF.get(str(self.trainer.precision))

    def on_fit_end(self) -> None:
        self.net.backbone.compute_dtype = None  # what is exported is float32

    def full_precision(self) -> torch.autocast:
        """Takes Lightning's autocast back from everything but the backbone."""
        return torch.autocast(self.device.type, enabled=False)

    def half_precision(self) -> torch.autocast:
        """What the backbone computes in, for other convolutions of a method; float32 without a mixed precision."""
        half = self.net.backbone.compute_dtype
        return torch.autocast(self.device.type, dtype=half, enabled=half is not None)

    @abstractmethod
    def loss(self, images: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The training loss of augmented `images` (B, 3, S, S) in [0, 1], and figures to log beside it."""

    @abstractmethod
    def sampler(self, seed: int) -> EpochSampler:
        """The order in which this method sees the training images."""

    def heads(self) -> list[nn.Parameter]:
        """Parameters outside the backbone."""
        inside = {id(parameter) for parameter in self.net.backbone.parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in inside]

    def started(self) -> list[nn.Parameter]:
        """Those of the heads that start from a map (`init: whitened`)."""
        layer = self.net.projection
        return [] if layer is None or self._shared.init == "random" else list(layer.parameters())

    def stored(self, embeddings: Tensor) -> Tensor:
        """What the index keeps of (B, D) embeddings, as vectors to compare with: all of them, unless a method codes."""
        return embeddings

    def asked(self, embeddings: Tensor) -> Tensor:
        """What a query is compared as, (B, D); by default the embedding itself."""
        return embeddings

    def generated(self, images: Tensor) -> Tensor | None:
        """What the method makes of uint8 images (B, 3, S, S), to be shown beside them; None where it makes nothing."""
        return None

    def across_ranks(self, embeddings: Tensor, batch: Batch) -> tuple[Tensor, Batch]:
        """Embeddings (with gradient) and labels of the batches of all ranks, in rank order; `images` stay out.

        A loss that compares images within a batch sees the global batch by it. On one process nothing changes.
        """
        labels = {name: gather(value) for name, value in batch.items() if name != "images"}
        return gather_with_gradient(embeddings), labels

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [0, 1] -> (B, D)."""
        embeddings: Tensor = self.net(images)
        return embeddings

    def view(self, images: Tensor) -> Tensor:
        """An augmented float view of uint8 images."""
        return self.laid_out(augment(to_float(images), self._shared.augment))

    def views(self, batch: Batch) -> Tensor:
        """What a training step looks at: a view of each image of the batch."""
        return self.view(batch["images"])

    def laid_out(self, view: Tensor) -> Tensor:
        """The same images in the memory layout that the params ask for."""
        return view.contiguous(memory_format=torch.channels_last) if self._shared.backbone.channels_last else view

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        with self.full_precision():
            loss, figures = self.loss(self.views(batch), batch)
        self.log_figures({"loss": loss, **figures}, len(batch["images"]))
        return loss

    def log_figures(self, figures: dict[str, Tensor], size: int) -> None:
        """Logs figures of a batch of `size` images; the record shows their mean over the epoch, and over all ranks."""
        for name, value in figures.items():
            self.log(
                f"train/{name}", value, on_step=False, on_epoch=True, batch_size=size, sync_dist=is_spread(),
                prog_bar=name == "loss",
            )  # fmt: skip

    def on_validation_epoch_start(self) -> None:
        self._collected = []

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        with self.full_precision():
            self._collected.append(self(to_float(batch["images"])).float().cpu())

    def on_validation_epoch_end(self) -> None:
        embeddings = torch.cat(self._collected)
        self.val_queries, self.val_embeddings = self.asked(embeddings).numpy(), self.stored(embeddings).numpy()
        if len(self.val_embeddings) < len(self.data.val):  # Lightning's sanity check runs a few batches only
            return
        scores = retrieval_scores(self.val_queries, self.val_embeddings, self.data)
        for name, value in scores.items():
            self.log(f"val/{name}", value)
        self.log(MONITOR, self.decisive(scores), prog_bar=True)

    def decisive(self, scores: dict[str, float]) -> float:
        """By what the best epoch is picked, from the scores of the val split's pairs."""
        return scores[decisive_score(self.data)]

    def steps_per_epoch(self) -> int:
        """Steps of the optimiser in an epoch, at least 1; a training may have fewer epochs than its schedule."""
        return max(1, int(self.trainer.estimated_stepping_batches) // (self.trainer.max_epochs or self._fit.epochs))

    def configure_optimizers(self) -> Any:
        tuning, fit = self._shared.fine_tuning, self._fit
        return optimiser_with_schedule(
            self.net.backbone, self.heads(), fit, self.steps_per_epoch(), tuning.layer_decay,
            self.started(), start_rate(tuning, fit),
        )  # fmt: skip
