"""One way to train: deterministic, resumable after a kill, early-stopped on a val figure, best weights kept."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from PIL import Image
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import MLFlowLogger
from pytorch_lightning.strategies import DDPStrategy

from croquis.params.loader import Base
from croquis.tracking.record import WARNING
from lightning_modules.training.callbacks import (
    BEFORE,
    CollapseWarning,
    ContactSheets,
    EpochAxis,
    History,
    KeepStart,
    RecordHistory,
    ResumableEarlyStopping,
    Throughput,
    progress,
)
from lightning_modules.training.checkpoint_file import WholeCheckpoints
from lightning_modules.training.distributed import is_spread
from lightning_modules.training.numerics import SeedEveryBatch, resolve_precision
from lightning_modules.training.trainer_options import trainer_options

RESUME = "resume"
START = "start.ckpt"
SHEETS = "contact_sheets"
QUIET = {"enable_model_summary": False, "log_every_n_steps": 1}
WITHOUT_VAL = {"limit_val_batches": 0, "num_sanity_val_steps": 0}
LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class FitPlan:
    """How a module is fitted.

    Attributes:
        name: shown in progress lines.
        epochs: largest number of epochs.
        patience: validations without a better `monitor` before training stops.
        monitor: the val figure that picks the best epoch.
        mode: whether `monitor` is to be large or small.
        validate_every: epochs between validations.
        rates: key of params.yaml -> the learning rate, and what else decides on it, for a warning.
        accumulate: batches per optimiser step.
        sheets_every: epochs between contact sheets.
        draw: makes a contact sheet from the module's present state; None for none.
        trainer: the block `trainer` of params.yaml, see `lightning_modules.training.trainer_options`.
        callbacks: further ones.
        begin: called before a training that is not resumed, to give the module the weights that it starts from.
        by_val: whether val picks the best epoch and ends the training; else val plays no part, all `epochs` are trained, and
            the last weights stay. `patience`, `monitor`, `mode` and `draw` then mean nothing.
    """

    name: str
    epochs: int
    patience: int
    monitor: str
    mode: Literal["min", "max"]
    validate_every: int = 1
    rates: Mapping[str, float | str] = field(default_factory=dict)
    accumulate: int = 1
    sheets_every: int = 1
    draw: Callable[[], Image.Image] | None = None
    trainer: Mapping[str, Any] = field(default_factory=dict)
    callbacks: Sequence[pl.Callback] = ()
    begin: Callable[[], None] | None = None
    by_val: bool = True


def fit(
    module: pl.LightningModule,
    data: pl.LightningDataModule,
    plan: FitPlan,
    base: Base,
    scratch: Path,
    logger: Mapping[str, Any] | None = None,
) -> History:
    """Trains `module`, resuming from `scratch` where an earlier try was killed, and leaves its best weights in it.

    Val is measured before training, too, by Lightning's sanity check over the whole of it. Where every epoch is below, the
    weights before training are the best, and a warning says so. A plan that is not `by_val` does neither.

    Args:
        scratch: folder of this training's checkpoints; contact sheets are left in `scratch/contact_sheets`.
        logger: arguments of Lightning's MLFlowLogger; None to log nowhere.

    Returns:
        Every logged figure by name as [epoch, value] pairs.
    """
    _hush()
    history, best, options = RecordHistory(), _best_checkpoint(plan, scratch), trainer_options(plan.trainer)
    callbacks, loggers, plugins = options.pop("callbacks"), options.pop("logger"), options.pop("plugins")
    if logger:
        loggers.insert(0, MLFlowLogger(**logger))
    last = scratch / f"{RESUME}.ckpt"
    if plan.begin is not None and not last.is_file():
        plan.begin()
    trainer = pl.Trainer(
        max_epochs=plan.epochs,
        accelerator=base.accelerator,
        precision=resolve_precision(base.precision, base.accelerator, module),
        accumulate_grad_batches=plan.accumulate,
        check_val_every_n_epoch=plan.validate_every,
        deterministic="warn",
        callbacks=[
            SeedEveryBatch(base.seed),
            EpochAxis(),
            history,
            *_monitoring(plan, scratch),
            *callbacks,
            *plan.callbacks,
            *([KeepStart(scratch / START), best] if plan.by_val else []),
            _resume_checkpoint(scratch),
        ],
        plugins=[WholeCheckpoints(), *plugins],
        logger=loggers or False,
        default_root_dir=str(scratch),
        **{
            **QUIET,
            "num_sanity_val_steps": 0 if last.is_file() else -1,
            "enable_progress_bar": sys.stderr.isatty(),
            **options,
            **({} if plan.by_val else WITHOUT_VAL),
        },
        **_processes(),
    )
    trainer.fit(module, datamodule=data, ckpt_path=str(last) if last.is_file() else None, weights_only=True)
    if not plan.by_val:
        return history.history
    warning = below_start(history.history, plan)
    kept = scratch / START if warning else best.best_model_path
    if kept:
        module.load_state_dict(torch.load(kept, map_location="cpu", weights_only=True)["state_dict"])
    if is_spread():
        dist.barrier()  # the first process deletes the checkpoints once it has what it needs
    if warning and trainer.is_global_zero:
        LOGGER.warning(warning)
    return history.history


def below_start(history: History, plan: FitPlan) -> str | None:
    """That the best epoch is worse than the net before training; None where it is not."""
    before = history.get(BEFORE + plan.monitor.removeprefix("val/"))
    if not before or plan.monitor not in history:
        return None
    best = (max if plan.mode == "max" else min)(value for _, value in history[plan.monitor])
    start = before[0][1]
    if not (best < start if plan.mode == "max" else best > start):
        return None
    rates = ", ".join(f"{key} {value}" for key, value in plan.rates.items())
    return (
        f"{plan.name}: training made the net worse: {plan.monitor} is {best:.4f} at best, {start:.4f} before training; "
        f"the weights before training are kept: lower its rates ({rates}), or train longer"
    )


def _processes() -> dict[str, Any]:
    """The Trainer's arguments for the processes that `torchrun` started together; one process without it.

    Our samplers cut each global batch into the ranks' parts themselves, so Lightning must not wrap them. Every rank scores
    the whole of val, so that all agree on when to stop.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return {"devices": 1}
    local = int(os.environ.get("LOCAL_WORLD_SIZE", world))
    # A GAN's step reaches the parameters of one of its two nets only.
    strategy = DDPStrategy(find_unused_parameters=True)
    return {"devices": local, "num_nodes": world // local, "strategy": strategy, "use_distributed_sampler": False}


class MetricRecorder(Protocol):
    """Where the curves and pictures of a training go; a stage's run is one.

    `history` keeps a curve of (step, value), `tag` a word about the run. `logger_arguments` gives the arguments of
    Lightning's MLFlowLogger, None without a tracker.
    """

    artifacts: Path

    def history(self, name: str, points: Iterable[tuple[int, float]]) -> None: ...

    def tag(self, name: str, value: str) -> None: ...

    def logger_arguments(self) -> dict[str, Any] | None: ...


def fit_and_record(
    module: pl.LightningModule,
    data: pl.LightningDataModule,
    plan: FitPlan,
    base: Base,
    scratch: Path,
    run: MetricRecorder,
) -> None:
    """`fit`, with the curves, a warning and the contact sheets handed to `run`."""
    history = fit(module, data, plan, base, scratch, run.logger_arguments())
    for name, points in history.items():
        run.history(name, [(int(step), value) for step, value in points])
    warning = below_start(history, plan)
    if warning:
        run.tag(WARNING, warning)
    if (scratch / SHEETS).is_dir():
        shutil.copytree(scratch / SHEETS, run.artifacts / SHEETS, dirs_exist_ok=True)


def _monitoring(plan: FitPlan, scratch: Path) -> list[pl.Callback]:
    throughput = Throughput()
    callbacks: list[pl.Callback] = [throughput, progress(plan.name, throughput), CollapseWarning(plan.name)]
    if not plan.by_val:
        return callbacks
    callbacks.append(
        ResumableEarlyStopping(plan.monitor, patience=plan.patience, mode=plan.mode, check_on_train_epoch_end=False)
    )
    if plan.draw is not None:
        callbacks.append(ContactSheets(scratch / SHEETS, plan.sheets_every, plan.draw))
    return callbacks


def _best_checkpoint(plan: FitPlan, scratch: Path) -> ModelCheckpoint:
    return ModelCheckpoint(
        scratch, filename="best", monitor=plan.monitor, mode=plan.mode, save_weights_only=True,
        save_on_train_epoch_end=False, enable_version_counter=False,
    )  # fmt: skip


def _resume_checkpoint(scratch: Path) -> ModelCheckpoint:
    """Everything that a resumed training needs, overwritten after each epoch."""
    return ModelCheckpoint(scratch, filename=RESUME, save_on_train_epoch_end=True, enable_version_counter=False)


def _hush() -> None:
    """Lightning's tips and hints say nothing about this project; its errors still come through."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*`isinstance\\(treespec, LeafSpec\\)`.*")
    warnings.filterwarnings("ignore", message=".*exists and is not empty.*")
    warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")  # frozen parts are
