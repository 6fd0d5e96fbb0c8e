"""What makes a training repeatable to the bit, also when it is resumed, and the precision of `auto`.

Measured on torch 2.14.1 and Lightning 2.6.6: fixed threads, no loader workers, samplers that depend on (seed, epoch) and a
seed per batch are all needed; a seed per epoch is not enough.
"""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

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


CPU_BF16 = ("avx512_bf16", "amx_bf16", "bf16")  # names in torch.cpu.get_capabilities, x86 and Arm


def resolve_precision(precision: str, accelerator: str, module: nn.Module) -> Any:
    """Lightning's name of a precision; `auto` is bf16-mixed where the device computes in bfloat16 by itself, else 32-true.

    Where bfloat16 is emulated it is slower than float32. On a CPU a module with depthwise convolutions, its frozen nets
    included, is 32-true as well: for small images bfloat16 is slower there, too, though not for large ones.
    benchmarks/leaderboards/precision.py measures what it saves.
    """
    if precision != "auto":
        return precision
    return "bf16-mixed" if _pays(accelerator, module) else "32-true"


def _pays(accelerator: str, module: nn.Module) -> bool:
    if accelerator != "cpu" and torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if accelerator != "cpu" and torch.backends.mps.is_available():
        return False
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in CPU_BF16) and not has_depthwise(module)


def has_depthwise(module: nn.Module) -> bool:
    """Whether a convolution looks at one channel at a time, as MobileNets' do."""
    return any(isinstance(part, nn.Conv2d) and 1 < part.groups == part.in_channels for part in module.modules())
