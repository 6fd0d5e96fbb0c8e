"""The study `margin`: siamese with other margins, on a short schedule, by its own val score.

Data, seed and net are those of the pipeline; only the schedule is shorter, with its cosine decay drawn together. What wins
on the short schedule need not win on the whole one by as much: `dvc repro` tells. Checkpoints go to a temporary folder, so
that no output of the pipeline is touched.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytorch_lightning as pl
from optuna.distributions import BaseDistribution

from croquis.catalog.table import Catalog
from croquis.evaluation.protocol import PROTOCOLS
from croquis.params import Params
from croquis.params.loader import parse_params
from croquis.params.write_back import place
from croquis.settings import SearchRange
from croquis.tracking.record import flatten
from croquis.tuning.search_values import distribution
from croquis.tuning.study import identity, this_worker
from croquis.tuning.task import Point, Space, Tried, TuneError, differing, folder_hash, significant, study_name
from lightning_modules.bases.retrieval_module import MONITOR
from lightning_modules.data.retrieval_data import RetrievalData
from lightning_modules.methods.siamese import METHOD, Siamese
from lightning_modules.training.callbacks import RecordHistory
from lightning_modules.training.fit import FitPlan, fit
from lightning_modules.training.numerics import prepare_torch
from lightning_modules.training.scratch import SCRATCH

STARTUP_TRIALS = 4  # before the median of others can end a trial
SHARE_OF_EPOCHS = 3  # a third of the params' schedule by default
LEARNING_RATE = "fit.learning_rate"
# What may be searched besides the margin, and its key in the block `siamese`, whose registry entry holds the ranges.
OPTIONS = {"learning_rate": LEARNING_RATE, "negatives": "negatives", "embedding_dim": "embedding_dim"}


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


class PrunedSiamese(Siamese):
    """Siamese that brings its pruning along, as `fit` takes no callbacks."""

    def __init__(self, params: Params, data: RetrievalData, pruning: Pruning) -> None:
        super().__init__(params.train_embedder, params.method("siamese"), data)
        self._pruning = pruning

    def configure_callbacks(self) -> list[pl.Callback]:
        return [self._pruning]


class MarginTask:
    """Searches `siamese.margin` and, on request, learning rate, negative strategy and embedding size.

    Args:
        epochs: length of a trial; None for a third of `siamese.fit.epochs`.
        also: names from `OPTIONS`.

    Raises:
        TuneError: without a catalogue, or on an unknown option.
    """

    def __init__(self, params: Params, root: Path, epochs: int | None = None, also: Sequence[str] = ()) -> None:
        unknown = [name for name in also if name not in OPTIONS]
        if unknown:
            raise TuneError(f"--also knows {', '.join(OPTIONS)}, not {', '.join(unknown)}")
        self._params, self._root = params, root
        self.epochs = epochs or max(1, params.method("siamese").fit.epochs // SHARE_OF_EPOCHS)
        self.metric = f"val/siamese/{MONITOR.removeprefix('val/')}"
        self.seed = params.base.seed
        self.space: Space = search_space(params, also)
        self.anchors: Sequence[Point] = [self._present()]
        self.anchor_names: Sequence[str] = ["params.yaml"]
        self.pruner: optuna.pruners.BasePruner | None = optuna.pruners.MedianPruner(
            n_startup_trials=STARTUP_TRIALS, n_warmup_steps=max(1, self.epochs // 3)
        )
        self.name = study_name("margin", self._decides(), self.space)
        self._data: RetrievalData | None = None

    def measure(self, trial: optuna.trial.BaseTrial) -> Tried:
        """The best val score of a training with the trial's params."""
        settings = self.settings(trial.params)
        params = short(self._params, settings, self.epochs)
        prepare_torch(params.base.seed, params.base.threads)
        pruning = Pruning(trial)
        module = PrunedSiamese(params, self._images(), pruning)
        module.data.use_sampler(module.sampler(params.base.seed))
        plan = FitPlan(f"trial {trial.number}", self.epochs, patience=self.epochs, monitor=MONITOR, mode="max")
        try:
            with scratch_folder(self._root) as scratch:
                fit(module, module.data, plan, params.base, scratch)
        except SystemExit as error:
            raise _as_interrupt(error) from error
        finally:  # a pruned trial has curves too
            trial.set_user_attr("curves", pruning.history)
            trial.set_user_attr("settings", settings)
        return Tried(max(value for _, value in pruning.history[MONITOR]), settings, pruning.history)

    def settings(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """`{"siamese.margin": 0.25}` and so on; numbers as they are trained with."""
        keys = {"margin": "margin", **OPTIONS}
        return {
            f"siamese.{keys[name]}": significant(value) if isinstance(value, float) else value
            for name, value in point.items()
        }

    def changes(self, point: Mapping[str, Any]) -> dict[str, Any]:
        return differing(self._params, self.settings(point))

    def _present(self) -> Point:
        method = self._params.method("siamese")
        values = {
            "margin": method.margin,
            "learning_rate": method.fit.learning_rate,
            "negatives": method.negatives,
            "embedding_dim": method.embedding_dim,
        }
        return {name: values[name] for name in self.space}

    def _decides(self) -> dict[str, Any]:
        values = self._params.model_dump()
        method = values["siamese"]
        for key in self.settings(self._present()):
            target, name = place(values, key)
            del target[name]
        for unused in ("epochs", "patience", "validate_every"):
            del method["fit"][unused]
        return {
            "catalog": folder_hash(self._root / "data/catalog"),
            "base": values["base"],
            "train_embedder": values["train_embedder"],
            "siamese": method,
            "epochs": self.epochs,
        }

    def _images(self) -> RetrievalData:
        """Decoded once for all trials of this process."""
        if self._data is None:
            catalog = Catalog.open(self._root / "data/catalog")
            domains: list[str] = list(self._params.train_embedder.domains)
            labels, base = self._params.train_embedder.labels, self._params.base
            self._data = RetrievalData.from_catalog(
                catalog, domains, base.image_size, labels, base.seed, PROTOCOLS[base.protocol]
            )
        return self._data


def _as_interrupt(error: SystemExit) -> BaseException:
    """Lightning turns Ctrl-C into an exit with code 1 and is deaf to a second one; both are undone."""
    if not isinstance(error.__context__, KeyboardInterrupt):
        return error
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return KeyboardInterrupt()


def search_space(params: Params, also: Sequence[str]) -> dict[str, BaseDistribution]:
    """Ranges of siamese's registry entry, widened to hold what params.yaml says now, or it could not be a trial."""
    method = params.method("siamese")
    present = flatten(method.model_dump())
    keys = {"margin": "margin", **{name: key for name, key in OPTIONS.items() if name in also}}
    return {name: distribution(holding(METHOD.space[key], present[key])) for name, key in keys.items()}


def holding(values: SearchRange | tuple[Any, ...], present: Any) -> SearchRange | tuple[Any, ...]:
    """A range, or a list of values, that `present` is in."""
    if isinstance(values, SearchRange):
        return replace(values, low=min(values.low, present), high=max(values.high, present))
    return values if present in values else tuple(sorted({*values, present}))


def short(params: Params, settings: Mapping[str, Any], epochs: int) -> Params:
    """The params with `settings`, checked, on a schedule of so many epochs without early stopping."""
    values = params.model_dump(by_alias=True)
    for key, value in settings.items():
        target, name = place(values, key)
        target[name] = value
    schedule = values["siamese"]["fit"]
    warmup = min(schedule["warmup_epochs"], epochs // SHARE_OF_EPOCHS)
    schedule |= {"epochs": epochs, "patience": epochs, "validate_every": 1, "warmup_epochs": warmup}
    return parse_params(values, "the trial", methods=True)


@contextmanager
def scratch_folder(root: Path) -> Iterator[Path]:
    """A temporary folder in .scratch/tune, named after this process; those of dead processes are removed."""
    parent = root / SCRATCH / "tune"
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.iterdir():
        pid, _, rest = left.name.partition("-")
        if pid.isdigit() and identity(int(pid)) != f"{pid}/{rest.partition('-')[0]}":
            shutil.rmtree(left, ignore_errors=True)
    mine = this_worker().partition("/")[2].replace("/", "-")
    with tempfile.TemporaryDirectory(prefix=f"{mine}-", dir=parent, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


STUDY = MarginTask
