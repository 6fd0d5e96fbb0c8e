"""Any keys that the training of one method reads, on a short schedule, by its own val score.

Data and seed are those of the pipeline, unless the keys say otherwise; only the schedule is shorter, with its decay drawn
together. What wins on the short schedule need not win on the whole one by as much: `dvc repro` tells. Checkpoints go to a
temporary folder, so that no output of the pipeline is touched.
"""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytorch_lightning as pl

from croquis.catalog.table import Catalog
from croquis.evaluation.protocol import PROTOCOLS
from croquis.params import Params
from croquis.params.accelerators import check_accelerator
from croquis.params.loader import ParamsError, parse_params
from croquis.plugins import METHODS
from croquis.settings import SearchSpace
from croquis.tuning.search_values import holding
from croquis.tuning.task import (
    CURVES,
    Point,
    TuneError,
    differing,
    folder_hash,
    rounded,
    said,
    scratch_of,
    study_name,
    with_settings,
    without,
)
from lightning_modules.bases.retrieval_module import MONITOR
from lightning_modules.data.retrieval_data import RetrievalData
from lightning_modules.methods import Method
from lightning_modules.training.callbacks import RecordHistory
from lightning_modules.training.fit import FitPlan, fit
from lightning_modules.training.numerics import prepare_torch
from lightning_modules.training.schedule import told_rates
from lightning_modules.training.whitened_start import start_of

STARTUP_TRIALS = 4  # before the median of others can end a trial
SHARE_OF_EPOCHS = 3  # a third of the params' schedule by default
SHARED = ("base", "train_embedder", "trainer")
SCHEDULE = ("epochs", "patience", "validate_every")
USUAL = "siamese"


class Pruning(RecordHistory):
    """Reports each validation to the trial and ends the training when Optuna says so; keeps the curves either way."""

    def __init__(self, trial: optuna.trial.BaseTrial) -> None:
        super().__init__()
        self._trial = trial

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_validation_end(trainer, pl_module)
        if trainer.sanity_checking:
            return
        self._trial.report(self.history[MONITOR][-1][1], trainer.current_epoch)
        if self._trial.should_prune():
            raise optuna.TrialPruned

    def state_dict(self) -> dict[str, Any]:
        return {}  # a trial is never resumed from a checkpoint


class TrainingTask:
    """Searches keys of `base`, `train_embedder`, `trainer` and of the block of the method that is trained.

    Args:
        space: dotted key of params.yaml -> what is searched; widened to hold what params.yaml says.
        method: what is trained; None for the method whose block the space names, or siamese.
        epochs: length of a trial; None for a third of the method's `fit.epochs`.
        kind: the study's name begins with it; None for the method's name.

    Raises:
        TuneError: without a catalogue, or on a key that such a training does not read.
    """

    def __init__(
        self,
        params: Params,
        root: Path,
        space: SearchSpace,
        method: str | None = None,
        epochs: int | None = None,
        kind: str | None = None,
    ) -> None:
        self.method = trained_method(space, method)
        self._entry: Method = METHODS.entry(self.method)
        if self._entry.build is None:
            raise TuneError(f"{self.method} learns nothing: name another --method")
        check_accelerator(params.base.accelerator)
        self._build = self._entry.build
        self._params, self._root = params, root
        self.epochs = epochs or max(1, params.method(self.method).fit.epochs // SHARE_OF_EPOCHS)
        self.metric = f"val/{self.method}/{MONITOR.removeprefix('val/')}"
        self.seed = params.base.seed
        present = said(params, space)
        self.space: SearchSpace = holding(space, present)
        self.anchors: Sequence[Point] = [present]
        self.anchor_names: Sequence[str] = ["params.yaml"]
        self.pruner: optuna.pruners.BasePruner | None = optuna.pruners.MedianPruner(
            n_startup_trials=STARTUP_TRIALS, n_warmup_steps=max(1, self.epochs // 3)
        )
        self.name = study_name(kind or self.method, self._decides(), self.space)
        self._data: dict[str, RetrievalData] = {}

    def measure(self, trial: optuna.trial.BaseTrial) -> float:
        """The best val score of a training with the trial's params."""
        params = self._checked(trial)
        own, base = params.method(self.method), params.base
        prepare_torch(base.seed, base.threads)
        module = self._build(params, self._images(params))
        module.data.use_sampler(module.sampler(base.seed))
        tuning = params.train_embedder.fine_tuning if module.started() else None
        pruning = Pruning(trial)
        plan = FitPlan(
            f"trial {trial.number}",
            self.epochs,
            patience=self.epochs,
            monitor=MONITOR,
            mode="max",
            rates=told_rates(self.method, own.fit, module.net.backbone.pretrained, tuning),
            accumulate=getattr(own, "accumulate", 1),
            trainer=params.trainer,
            callbacks=[pruning],
            begin=start_of(module, params),
        )
        scratch = scratch_of(self._root, self.name)
        scratch.mkdir(parents=True, exist_ok=True)
        try:
            with tempfile.TemporaryDirectory(dir=scratch, ignore_cleanup_errors=True) as folder:
                fit(module, module.data, plan, base, Path(folder))
        except SystemExit as error:
            raise _as_interrupt(error) from error
        finally:  # a pruned trial has curves too
            trial.set_user_attr(CURVES, pruning.history)
        return max(value for _, value in pruning.history[MONITOR])

    def settings(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """`{"siamese.margin": 0.25}` and so on; numbers as they are trained with."""
        return rounded(point)

    def changes(self, point: Mapping[str, Any]) -> dict[str, Any]:
        return differing(self._params, self.settings(point))

    def _checked(self, trial: optuna.trial.BaseTrial) -> Params:
        """The trial's params; values that fit the schema one by one, but not together, end the trial."""
        try:
            return short(self._params, self.settings(trial.params), self.method, self.epochs)
        except ParamsError as error:
            trial.set_user_attr("error", str(error))
            raise optuna.TrialPruned from error

    def _decides(self) -> dict[str, Any]:
        keys = [*self.anchors[0], *(f"{self.method}.fit.{name}" for name in SCHEDULE)]
        read = {block: without(self._params, block, keys) for block in (*SHARED, self.method)}
        drawn = {"sketches": folder_hash(self._root / "data/sketches")} if self._entry.add_drawings else {}
        return {"catalog": folder_hash(self._root / "data/catalog"), **drawn, "epochs": self.epochs, **read}

    def _images(self, params: Params) -> RetrievalData:
        """Read once for all trials of this process that want the same."""
        shared, base = params.train_embedder, params.base
        wanted = repr((shared.domains, shared.labels, base.image_size, base.seed))
        if wanted not in self._data:
            data = RetrievalData.from_catalog(
                Catalog.open(self._root / "data/catalog"),
                list(shared.domains),
                base.image_size,
                shared.labels,
                base.seed,
                PROTOCOLS[base.protocol],
                params.preparation,
            )
            if self._entry.add_drawings is not None:
                data = self._entry.add_drawings(data, Catalog.open(self._root / "data/sketches"), base.image_size)
            self._data = {wanted: data}
        return self._data[wanted]


def trained_method(space: SearchSpace, asked: str | None = None) -> str:
    """Whose training reads all keys of a space.

    Raises:
        TuneError: naming a key that it does not read.
    """
    if asked is not None and not METHODS.knows(asked):
        raise TuneError(METHODS.unknown(asked))
    blocks = {key: key.partition(".")[0] for key in space}
    method = asked or next((block for block in blocks.values() if block not in SHARED and METHODS.knows(block)), USUAL)
    fixed = ("base.protocol", "base.processes", *(f"{method}.fit.{name}" for name in (*SCHEDULE, "warmup_epochs")))
    for key, block in blocks.items():
        if block not in (*SHARED, method):
            read = f"{', '.join(SHARED)} and {method}"
            raise TuneError(f"{key}: the training of {method} does not read it, only {read}: take it out of the space")
        if key in fixed:
            raise TuneError(
                f"{key}: it is the same in all trials, whose length --epochs sets: take it out of the space"
            )
    return method


def short(params: Params, settings: Mapping[str, Any], method: str, epochs: int) -> Params:
    """The params with `settings`, checked, on a schedule of so many epochs without early stopping."""
    values = with_settings(params, settings)
    schedule = values[method]["fit"]
    warmup = min(schedule["warmup_epochs"], epochs // SHARE_OF_EPOCHS)
    schedule |= {"epochs": epochs, "patience": epochs, "validate_every": 1, "warmup_epochs": warmup}
    return parse_params(values, "the trial", methods=True)


def _as_interrupt(error: SystemExit) -> BaseException:
    """Lightning turns Ctrl-C into an exit with code 1 and is deaf to a second one; both are undone."""
    if not isinstance(error.__context__, KeyboardInterrupt):
        return error
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return KeyboardInterrupt()


STUDY = TrainingTask
