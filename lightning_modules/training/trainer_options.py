"""The block `trainer` of params.yaml: arguments of Lightning's Trainer; callbacks, loggers and plugins by import path.

    trainer:
      gradient_clip_val: 1.0
      limit_train_batches: 20
      profiler: simple
      callbacks: [{class_path: pytorch_lightning.callbacks.LearningRateMonitor, init_args: {logging_interval: epoch}}]
      logger: [{class_path: pytorch_lightning.loggers.CSVLogger, init_args: {save_dir: .scratch/csv}}]

`class_path` and `init_args` are those of LightningCLI; a plain string is a class without arguments.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import pytorch_lightning as pl

from croquis.refusals import hint_of

OBJECTS = ("callbacks", "logger", "plugins")
# What `fit` sets, and where it is chosen: a resumable, deterministic training depends on it.
SET_ELSEWHERE = {
    "accelerator": "base.accelerator",
    "devices": "base.processes",
    "num_nodes": "torchrun",
    "strategy": "base.processes",
    "precision": "base.precision",
    "max_epochs": "fit.epochs of the method",
    "accumulate_grad_batches": "accumulate of the method",
    "check_val_every_n_epoch": "fit.validate_every of the method",
    "deterministic": "base.seed",
    "use_distributed_sampler": "base.processes",
    "default_root_dir": "the stage",
}


class TrainerError(ValueError):
    """The block `trainer` of params.yaml cannot be used; the message names the key and the fix."""


def trainer_options(block: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments for `pl.Trainer`, with `callbacks`, `logger` and `plugins` as lists of objects.

    Raises:
        TrainerError: on a key that the Trainer does not have or `fit` sets itself, or a class that cannot be made.
    """
    known = set(inspect.signature(pl.Trainer.__init__).parameters) - {"self"}
    for key in block:
        if key in SET_ELSEWHERE:
            raise TrainerError(f"trainer.{key} is set by {SET_ELSEWHERE[key]}: remove it from the block trainer")
        if key not in known:
            raise TrainerError(f"trainer.{key} is no argument of Lightning's Trainer{hint_of(key, known)}")
    made = {key: [_made(key, each) for each in _listed(block.get(key))] for key in OBJECTS}
    return {**block, **made}


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def _made(key: str, value: Any) -> Any:
    given: Any = {"class_path": value} if isinstance(value, str) else value
    if not isinstance(given, Mapping) or set(given) - {"class_path", "init_args"} or "class_path" not in given:
        raise TrainerError(f"trainer.{key} has {value!r}, must be a class path, or class_path with init_args")
    path = str(given["class_path"])
    module, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module), name)(**(given.get("init_args") or {}))
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise TrainerError(f"trainer.{key}: {path} cannot be made: {error}") from error
