"""What makes a training repeatable to the bit, and a resumed one equal to one that was never killed.

Measured on torch 2.14.1 and Lightning 2.6.6: fixed threads, no loader workers, samplers that depend on (seed, epoch) and a
seed per batch are all needed; a seed per epoch is not enough.
"""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch

BATCHES_PER_EPOCH_LIMIT = 1_000_003  # a prime, so that (epoch, batch) pairs do not meet


def prepare_torch(seed: int, threads: int) -> None:
    """Seeds every generator, fixes the number of threads and asks for deterministic kernels."""
    torch.set_num_threads(threads)
    pl.seed_everything(seed, workers=True, verbose=False)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling fresh memory costs a step of siamese 10 % on a CPU, and only helps code that reads what it never wrote.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


class SeedEveryBatch(pl.Callback):
    """Seeds torch from (seed, epoch, batch), so that no random state has to survive a kill."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        torch.manual_seed(
            (self._seed * BATCHES_PER_EPOCH_LIMIT + trainer.current_epoch) * BATCHES_PER_EPOCH_LIMIT + batch_idx
        )
