"""Training of pix2pix on (sketch, photo) pairs."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from figures.training import grid
from lightning_modules.data import Batch, batches
from lightning_modules.pix2pix import build_networks
from lightning_modules.samplers import ShuffledBatches
from params.training import TrainGan
from retrieval.catalog import Catalog, Rows
from retrieval.images import decode_image, prepare_image

MONITOR = "val/l1"
SHEET_ROWS = 8


class PairError(ValueError):
    """The sketches do not pair with the photos of the catalogue."""


class Pairs(Dataset[Batch]):
    """Sketches and the photos that they show, uint8, (N, 3, S, S) each."""

    def __init__(self, sketches: Tensor, photos: Tensor) -> None:
        self.sketches, self.photos = sketches, photos

    def __len__(self) -> int:
        return len(self.sketches)

    def __getitems__(self, rows: list[int]) -> Batch:
        index = torch.as_tensor(rows)
        return {"images": self.photos[index], "sketches": self.sketches[index]}


class PairData(pl.LightningDataModule):
    """Pairs of the train split, and of the val split for the choice of the epoch."""

    def __init__(self, train: Pairs, val: Pairs, batch_size: int, seed: int) -> None:
        super().__init__()
        self.train, self.val = train, val
        self._batch_size = batch_size
        self._sampler = ShuffledBatches(len(train), batch_size, seed)

    def train_dataloader(self) -> DataLoader[Batch]:
        return batches(self.train, self._sampler)

    def val_dataloader(self) -> DataLoader[Batch]:
        return batches(self.val, self._batch_size)


def load_pairs(sketches: Catalog, catalog: Catalog, split: str, size: int, prefix: str = "sketch-of/") -> Pairs:
    """The sketches of one split whose id names a photo of the catalogue, with that photo.

    Raises:
        PairError: when there are none, or a sketch names a photo that the catalogue lacks or that is of another split.
    """
    rows = sketches.select(split=split)
    ids = sketches.column("image_id")[rows]
    chosen = np.asarray([i for i, name in enumerate(ids) if name.startswith(prefix)], dtype=np.int64)
    if not len(chosen):
        raise PairError(f"{sketches.folder} has no {split} sketches of photos; run the sketch stage")
    row_of = {name: row for row, name in enumerate(catalog.column("image_id"))}
    photo_ids = [name.removeprefix(prefix) for name in ids[chosen]]
    missing = [name for name in photo_ids if name not in row_of]
    if missing:
        raise PairError(f"{catalog.folder} lacks the photos {missing[:3]} that sketches were made of; run `dvc repro`")
    photo_rows = np.asarray([row_of[name] for name in photo_ids], dtype=np.int64)
    wrong = catalog.column("split")[photo_rows] != split
    if wrong.any():
        raise PairError(
            f"sketches of the split {split} show photos of another split: {np.asarray(photo_ids)[wrong][:3]}"
        )
    return Pairs(_load(sketches, rows[chosen], size, boxes=False), _load(catalog, photo_rows, size, boxes=True))


def _load(catalog: Catalog, rows: Rows, size: int, boxes: bool) -> Tensor:
    bbox = catalog.column("bbox")
    images = [
        prepare_image(decode_image(data), size, bbox[row] if boxes else None)
        for row, data in zip(rows, catalog.images(rows), strict=True)
    ]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()


def scale(images: Tensor) -> Tensor:
    """uint8 -> float in [-1, 1]."""
    return images.float().div_(127.5).sub_(1)


class SketchGan(pl.LightningModule):
    """Alternates one step of the discriminator and one of the generator (manual optimisation, two Adam optimisers)."""

    def __init__(self, params: TrainGan, data: PairData) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.discriminator = build_networks(params)
        self._params = params
        self._data = data

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        sketches, photos = scale(batch["sketches"]), scale(batch["images"])
        if torch.rand(()) < 0.5:
            sketches, photos = sketches.flip(3), photos.flip(3)
        for_generator, for_discriminator = cast(list[LightningOptimizer], self.optimizers())
        made = self.generator(sketches)
        real_loss = self._judge(sketches, photos, real=True)
        made_loss = self._judge(sketches, made.detach(), real=False)
        self._step(for_discriminator, (real_loss + made_loss) / 2)
        fooled = self._judge(sketches, made, real=True)
        l1 = F.l1_loss(made, photos)
        self._step(for_generator, self._params.adversarial_weight * fooled + self._params.l1_weight * l1)
        figures = {"discriminator_real": real_loss, "discriminator_made": made_loss, "adversarial": fooled, "l1": l1}
        for name, value in figures.items():
            self.log(f"train/{name}", value, on_step=False, on_epoch=True, batch_size=len(photos))
        self.log(
            "train/loss", l1 * self._params.l1_weight + fooled, on_step=False, on_epoch=True, batch_size=len(photos)
        )

    def _judge(self, sketches: Tensor, photos: Tensor, real: bool) -> Tensor:
        logits = self.discriminator(torch.cat([sketches, photos], dim=1))
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))

    def _step(self, optimiser: Any, loss: Tensor) -> None:
        optimiser.zero_grad()
        self.manual_backward(loss)
        optimiser.step()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        sketches, photos = scale(batch["sketches"]), scale(batch["images"])
        l1 = F.l1_loss(self.generator(sketches), photos)
        self.log(MONITOR, l1, batch_size=len(photos), prog_bar=True)

    def configure_optimizers(self) -> Any:
        betas = (self._params.beta1, 0.999)
        rate = self._params.learning_rate
        nets = (self.generator, self.discriminator)
        return [torch.optim.Adam(net.parameters(), lr=rate, betas=betas) for net in nets], []

    def draw(self) -> Image.Image:
        """Sketch, generated photo and true photo of a few val pairs; one pair per row."""
        val = self._data.val
        chosen = torch.linspace(0, len(val) - 1, min(SHEET_ROWS, len(val))).long()
        sketches, photos = val.sketches[chosen], val.photos[chosen]
        training = self.generator.training
        self.generator.eval()
        with torch.no_grad():
            made = (self.generator(scale(sketches.to(self.device))).cpu() + 1) * 127.5
        self.generator.train(training)
        columns = [part.permute(0, 2, 3, 1).numpy() for part in (sketches, made.round().to(torch.uint8), photos)]
        return grid(list(zip(*columns, strict=True)), labels=["sketch", "generated", "photo"])
