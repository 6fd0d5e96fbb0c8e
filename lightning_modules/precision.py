"""Which precision `base.precision: auto` stands for on this machine."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

CPU_BF16 = ("avx512_bf16", "amx_bf16", "bf16")  # names in torch.cpu.get_capabilities, x86 and Arm


def resolve_precision(precision: str, accelerator: str, module: nn.Module) -> Any:
    """Lightning's name of a precision; `auto` is bf16-mixed where the device computes in bfloat16 by itself, else 32-true.

    Where bfloat16 is emulated it is slower than float32. On a CPU a module with depthwise convolutions, its frozen nets
    included, is 32-true as well: for small images bfloat16 is slower there, too, though not for large ones.
    benchmarks/precision.py measures what it saves.
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
