"""Callbacks of every training: history that survives a kill, throughput, pictures, progress."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from PIL import Image
from pytorch_lightning.callbacks import Callback, EarlyStopping, TQDMProgressBar

History = dict[str, list[list[float]]]
LOGGER = logging.getLogger(__name__)
FIRST_COLUMNS = ("train/loss", "val/score")
BEFORE = "before_training/"


class RecordHistory(Callback):
    """Collects every logged figure by epoch; travels in the checkpoint, so a resumed training has the whole curve.

    The val figures of the net as it starts, `val/score` and so on, stand under `before_training/score`.
    """

    def __init__(self) -> None:
        self.history: History = {}

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._add(trainer, "val/", BEFORE if trainer.sanity_checking else "val/")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._add(trainer, "train/", "train/")

    def _add(self, trainer: pl.Trainer, prefix: str, recorded: str) -> None:
        for name, value in sorted(trainer.callback_metrics.items()):
            if name.startswith(prefix):
                points = self.history.setdefault(recorded + name.removeprefix(prefix), [])
                points.append([trainer.current_epoch, round(float(value), 6)])

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history = state_dict["history"]


class EpochAxis(Callback):
    """Makes Lightning log against the epoch, as the record does; its default, the optimiser step, counts a GAN twice."""

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pl_module.log("step", float(trainer.current_epoch))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pl_module.log("step", float(trainer.current_epoch))


class ResumableEarlyStopping(EarlyStopping):
    """Early stopping that stays stopped when the training is resumed after its last epoch."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.wait_count >= self.patience:
            trainer.should_stop = True


class KeepStart(Callback):
    """Saves the weights before training once val has been measured with them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_sanity_check_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.save_checkpoint(self._path, weights_only=True)


class Throughput(Callback):
    """Learning rate and images per second, which go to the tracker only: they differ from run to run."""

    def __init__(self) -> None:
        self._start = 0.0
        self._images = 0
        self.images_per_second = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start, self._images = time.perf_counter(), 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._images += len(batch["images"]) * trainer.world_size
        self._seconds = time.perf_counter() - self._start

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.images_per_second = self._images / max(self._seconds, 1e-9)
        figures = {"images_per_second": self.images_per_second, "epoch_seconds": self._seconds}
        rates = {f"learning_rate/{i}": o.param_groups[0]["lr"] for i, o in enumerate(trainer.optimizers)}
        for logger in trainer.loggers:
            logger.log_metrics({**figures, **rates}, step=trainer.current_epoch)


class ContactSheets(Callback):
    """Saves a picture every few epochs; `draw` makes it from the module as it is after a validation."""

    def __init__(self, folder: Path, every: int, draw: Callable[[], Image.Image]) -> None:
        self._folder = folder
        self._every = every
        self._draw = draw

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        epoch = trainer.current_epoch
        if trainer.sanity_checking or (epoch % self._every and epoch + 1 < (trainer.max_epochs or 0)):
            return
        if not trainer.is_global_zero:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        self._draw().save(self._folder / f"epoch-{epoch:03d}.png")


@dataclass(frozen=True)
class Sign:
    """A sign of collapse in a figure that triplet methods log.

    Attributes:
        figure: logged as `train/FIGURE`.
        words: what the figure is.
        limit: no collapse up to (`above`) or down to this mean of an epoch.
        remedy: what may help; `{name}` stands for the method.
    """

    figure: str
    words: str
    limit: float
    above: bool
    remedy: str

    def shows(self, value: float) -> bool:
        """Whether the mean of an epoch is beyond the limit."""
        return value > self.limit if self.above else value < self.limit

    def told(self, value: float) -> str:
        """The value and the limit, for a warning."""
        return f"{self.words} is {value:.3f} (warned {'above' if self.above else 'below'} {self.limit:g})"


GENTLER = "choose negatives that are less hard (semi_hard or random), or lower {name}.fit.learning_rate"
SIGNS = (
    Sign("mean_cosine", "the mean cosine between images", 0.98, True, "set {name}.centre to true, " + GENTLER),
    Sign("effective_rank", "the effective rank of a batch", 1.5, False, GENTLER),
    Sign("input_spread", "the share of the vectors that differs by image, before centring,", 0.01, False, GENTLER),
)


class CollapseWarning(Callback):
    """Warns once when the embeddings of a whole epoch no longer separate images.

    Reads what triplet methods log: the figures of `SIGNS`, and for the message `embedding_std` and `active_triplets`.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._warned = False

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        figures = {name.removeprefix("train/"): float(value) for name, value in trainer.callback_metrics.items()}
        shown = [sign for sign in SIGNS if sign.figure in figures and sign.shows(figures[sign.figure])]
        if self._warned or not shown or not trainer.is_global_zero:
            return
        self._warned = True
        LOGGER.warning(
            "%s: the embedding collapses: over epoch %d %s; the embedding std is %.4f, the share of active triplets %.2f. "
            "What may help: %s.",
            self._name, trainer.current_epoch + 1, ", ".join(sign.told(figures[sign.figure]) for sign in shown),
            figures.get("embedding_std", 0.0), figures.get("active_triplets", 0.0),
            shown[0].remedy.format(name=self._name),
        )  # fmt: skip


class EpochLines(Callback):
    """One line per epoch, for logs; a terminal gets a progress bar instead."""

    def __init__(self, name: str, throughput: Throughput) -> None:
        self._name = name
        self._throughput = throughput

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        figures = {
            name.split("/")[-1]: float(trainer.callback_metrics[name])
            for name in FIRST_COLUMNS
            if name in trainer.callback_metrics
        }
        shown = "  ".join(f"{name} {value:.4f}" for name, value in figures.items())
        speed = f"{self._throughput.images_per_second:.0f} images/s"
        sys.stderr.write(f"{self._name}: epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  {shown}  {speed}\n")


def progress(name: str, throughput: Throughput) -> Callback:
    """A bar where stderr is a terminal, else a line for each epoch."""
    return TQDMProgressBar() if sys.stderr.isatty() else EpochLines(name, throughput)
