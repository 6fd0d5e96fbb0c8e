"""Training of pix2pix on (sketch, photo) pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from PIL import Image
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchmetrics.functional.image import structural_similarity_index_measure

from croquis.arrays import Uint8Image
from croquis.catalog.prepared_photos import WHOLE, Preparation, open_photos
from croquis.catalog.table import Catalog
from croquis.figures.training_sheet import grid
from croquis.params.training_blocks import TrainGan
from lightning_modules.data.photo_rows import Images, PhotoRows
from lightning_modules.data.retrieval_data import Batch, batches, to_float
from lightning_modules.data.samplers import ShuffledBatches
from lightning_modules.nets.perceptual import perceptual_net
from lightning_modules.nets.pix2pix import build_networks
from lightning_modules.sketch_gan.embedding_distance import embedding_distance
from lightning_modules.sketch_gan.garment_colours import PairColours, beside, some_left_out
from lightning_modules.sketch_gan.pair_rows import pair_rows
from lightning_modules.sketch_gan.val_retrieval import ValRetrieval
from lightning_modules.training.distributed import is_spread

MONITOR = "val/l1"
MONITORS: dict[str, tuple[str, Literal["min", "max"]]] = {"l1": (MONITOR, "min"), "retrieval": ("val/retrieval", "max")}
SHEET_ROWS = 8
AT_A_TIME = 32


class SketchPairs(Dataset[Batch]):
    """Sketches and the photos that they show, uint8, (N, 3, S, S) each; with the colours of the garments, or None."""

    def __init__(self, sketches: Images, photos: Images, colours: PairColours | None = None) -> None:
        self.sketches, self.photos, self.colours = sketches, photos, colours

    def __len__(self) -> int:
        return len(self.sketches)

    def __getitems__(self, rows: list[int]) -> Batch:
        index = torch.as_tensor(rows)
        colours = {} if self.colours is None else {"colours": self.colours.rows[index]}
        return {"images": self.photos[index], "sketches": self.sketches[index], **colours}

    def photo_pictures(self) -> Iterator[Uint8Image]:
        """Each photo once, however many sketches it has."""
        seen: set[bytes] = set()
        for photo, digest in self._digests():
            if digest not in seen:
                seen.add(digest)
                yield photo

    def shown(self) -> npt.NDArray[np.int64]:
        """(N,) which of `photo_pictures` each sketch shows."""
        place: dict[bytes, int] = {}
        return np.asarray([place.setdefault(digest, len(place)) for _, digest in self._digests()], dtype=np.int64)

    def _digests(self) -> Iterator[tuple[Uint8Image, bytes]]:
        for start in range(0, len(self), AT_A_TIME):
            for photo in self.photos[start : start + AT_A_TIME].permute(0, 2, 3, 1).numpy():
                yield photo, hashlib.sha256(photo.tobytes()).digest()

    def sketch_batches(self, size: int = AT_A_TIME) -> Iterator[npt.NDArray[np.float32]]:
        """All sketches as a generator takes them, float32 (B, 3, S, S) in [0, 1]."""
        for start in range(0, len(self), size):
            yield to_float(self.sketches[start : start + size]).numpy()


class PairData(pl.LightningDataModule):
    """Pairs of the train split, and of the val split for the choice of the epoch."""

    def __init__(
        self, train: SketchPairs, val: SketchPairs, batch_size: int, seed: int, how: Preparation = WHOLE
    ) -> None:
        super().__init__()
        self.train, self.val = train, val
        self._how = how
        self._batch_size = batch_size
        self._sampler = ShuffledBatches(len(train), batch_size, seed)

    def train_dataloader(self) -> DataLoader[Batch]:
        return batches(self.train, self._sampler, self._how)

    def val_dataloader(self) -> DataLoader[Batch]:
        return batches(self.val, self._batch_size, self._how)


def load_pairs(
    sketches: Catalog, catalog: Catalog, split: str, size: int, how: Preparation = WHOLE, *, coloured: bool = False
) -> SketchPairs:
    """The sketches of one split whose id names a photo of the catalogue, with that photo; both inside their boxes.

    Args:
        coloured: whether the colours of the garments are worked out.

    Raises:
        PairError: when there are none, or a sketch names a photo that the catalogue lacks or that is of another split.
    """
    rows, photo_rows = pair_rows(sketches, catalog, split)
    drawn, photos = open_photos(sketches, size, "ink", how), open_photos(catalog, size, how=how)
    colours = PairColours.of(photos, photo_rows, catalog.column("attributes")) if coloured else None
    return SketchPairs(PhotoRows.of(drawn, rows), PhotoRows.of(photos, photo_rows), colours)


def scale(images: Tensor) -> Tensor:
    """uint8 -> float in [-1, 1]."""
    return images.float().div_(127.5).sub_(1)


def pictures(made: Tensor) -> list[Uint8Image]:
    """Images in [-1, 1], (B, 3, S, S), as pictures (S, S, 3)."""
    return list(((made.detach().float().cpu() + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy())


def jittered(sketches: Tensor, photos: Tensor, load_scale: float) -> tuple[Tensor, Tensor]:
    """Pairs enlarged `load_scale` times (bicubic) and cut back to their size, each pair at a random place of its own.

    The random jitter of Isola et al. 2017, which enlarges from 256 to 286 pixels. Both (B, 3, S, S) in [-1, 1].
    """
    size = photos.shape[-1]
    side = round(size * load_scale)
    if side == size:
        return sketches, photos
    both = F.interpolate(torch.cat([sketches, photos], dim=1), size=(side, side), mode="bicubic", align_corners=False)
    starts = torch.randint(side - size + 1, (len(both), 2)).tolist()
    cut = [pair[:, top : top + size, left : left + size] for pair, (top, left) in zip(both, starts, strict=True)]
    found = torch.stack(cut).clamp(-1, 1)
    return found[:, :3], found[:, 3:]


def rate_factor(epoch: int, constant: int, epochs: int) -> float:
    """Learning rate of an epoch, from 0, as a share of its peak: 1 for `constant` epochs, then a line that would reach 0 in
    the epoch after the last, as in pix2pix's official code."""
    return 1 - max(0, epoch + 1 - constant) / (epochs - constant + 1)


def ssim(made: Tensor, photos: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004) of images in [-1, 1], at most 1, mean over the batch."""
    return cast(Tensor, structural_similarity_index_measure(made, photos, data_range=(-1.0, 1.0)))


class SketchGan(pl.LightningModule):
    """Alternates one step of the discriminator and one of the generator (manual optimisation, two Adam optimisers).

    Args:
        judge: of what is made of val, beside L1 and SSIM; None for none.
        image_size: side of the photos that the encoder of the embedding term sees, pixels; None for that of the generator.
    """

    def __init__(
        self, params: TrainGan, data: PairData, judge: ValRetrieval | None = None, image_size: int | None = None
    ) -> None:
        super().__init__()
        self._judge_of_val = judge
        self._made: list[Uint8Image] = []
        self.automatic_optimization = False
        self.generator, self.discriminator = build_networks(params)
        self._frozen = (
            perceptual_net(params.perceptual_net, params.perceptual_weights, "train_gan")
            if params.perceptual_weight
            else None
        )
        self._encoder = embedding_distance(params, image_size or params.size) if params.embedding_weight else None
        self._params = params
        self._data = data

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        sketches, photos = scale(batch["sketches"]), scale(batch["images"])
        sketches, photos = jittered(sketches, photos, self._params.load_scale)
        if torch.rand(()) < 0.5:
            sketches, photos = sketches.flip(3), photos.flip(3)
        if self._params.colour:
            sketches = beside(sketches, some_left_out(batch["colours"], self._params.no_colour_share))
        for_generator, for_discriminator = cast(list[LightningOptimizer], self.optimizers())
        made = self.generator(sketches)
        real_loss = self._judge(sketches, photos, real=True)
        made_loss = self._judge(sketches, made.detach(), real=False)
        self._step(for_discriminator, (real_loss + made_loss) / 2)
        self.toggle_optimizer(for_generator)  # spares the discriminator's gradients
        fooled = self._judge(sketches, made, real=True)
        own = self._params
        terms = {"adversarial": (own.adversarial_weight, fooled), "l1": (own.l1_weight, F.l1_loss(made, photos))}
        if self._frozen is not None:
            terms["perceptual"] = (own.perceptual_weight, self._frozen((photos + 1) / 2, (made + 1) / 2))
        if self._encoder is not None:
            terms["embedding"] = (own.embedding_weight, self._encoder((photos + 1) / 2, (made + 1) / 2))
        loss = torch.stack([weight * term for weight, term in terms.values()]).sum()
        self._step(for_generator, loss)
        self.untoggle_optimizer(for_generator)
        figures = {"discriminator_real": real_loss, "discriminator_made": made_loss, "loss": loss}
        for name, value in (figures | {name: term for name, (_, term) in terms.items()}).items():
            self.log(
                f"train/{name}", value, on_step=False, on_epoch=True, batch_size=len(photos), sync_dist=is_spread()
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
        if self._params.colour:
            coloured = self.generator(beside(sketches, batch["colours"]))
            self.log(f"{MONITOR}_coloured", F.l1_loss(coloured, photos), batch_size=len(photos))
            sketches = beside(sketches)  # what has no colour is judged, as an evaluation's drawings have none
        made = self.generator(sketches)
        self.log(MONITOR, F.l1_loss(made, photos), batch_size=len(photos), prog_bar=True)
        self.log("val/ssim", ssim(made, photos), batch_size=len(photos))
        if self._judge_of_val is not None:
            self._made.extend(pictures(made))

    def on_validation_epoch_start(self) -> None:
        self._made = []

    def on_validation_epoch_end(self) -> None:
        if self._judge_of_val is not None and len(self._made) == len(self._data.val):
            for name, value in self._judge_of_val.figures(self._made).items():
                self.log(f"val/{name}", value)

    def on_train_epoch_end(self) -> None:
        for schedule in cast(list[torch.optim.lr_scheduler.LambdaLR], self.lr_schedulers()):
            schedule.step()

    def configure_optimizers(self) -> Any:
        betas = (self._params.beta1, 0.999)
        rate = self._params.learning_rate
        nets = (self.generator, self.discriminator)
        optimisers = [torch.optim.Adam(net.parameters(), lr=rate, betas=betas) for net in nets]
        own = self._params
        constant = round(own.constant_share * own.epochs)

        def factor(epoch: int) -> float:
            return rate_factor(epoch, constant, own.epochs)

        return optimisers, [torch.optim.lr_scheduler.LambdaLR(each, factor) for each in optimisers]

    def draw(self) -> Image.Image:
        """Sketch, generated photo and true photo of a few val pairs, one pair per row; where the generator takes a colour,
        what it makes with that of the photo too."""
        val = self._data.val
        chosen = torch.linspace(0, len(val) - 1, min(SHEET_ROWS, len(val))).long()
        sketches, photos = val.sketches[chosen], val.photos[chosen]
        given = {"generated": scale(sketches.to(self.device))}
        if val.colours is not None:
            bare, colours = given["generated"], val.colours.rows[chosen].to(self.device)
            given = {"generated": beside(bare), "generated in its colour": beside(bare, colours)}
        training = self.generator.training
        self.generator.eval()
        with torch.no_grad():
            made = [pictures(self.generator(each)) for each in given.values()]
        self.generator.train(training)
        shown = [sketches.permute(0, 2, 3, 1).numpy(), *made, photos.permute(0, 2, 3, 1).numpy()]
        return grid(list(zip(*shown, strict=True)), labels=["sketch", *given, "photo"])
