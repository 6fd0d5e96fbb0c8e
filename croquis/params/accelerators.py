"""Whether this machine has what `base.accelerator` asks for; torch is imported only where it asks for something."""

from __future__ import annotations

from croquis.refusals import RefusedError


class AcceleratorError(RefusedError):
    """There is no such device."""


def check_accelerator(asked: str) -> None:
    """Refuses a device that torch does not find, before any work is done for it.

    Args:
        asked: `base.accelerator`.

    Raises:
        AcceleratorError: with the values that would work here.
    """
    if asked in ("auto", "cpu"):
        return
    import torch

    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    present = {"gpu": cuda or mps, "mps": mps}
    if present.get(asked, True):
        return
    usable = ["auto", "cpu", *(name for name, there in present.items() if there)]
    built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
    raise AcceleratorError(
        f"base.accelerator is {asked}, and torch {torch.__version__}, built {built}, finds no such device here; set it to "
        f"{' or '.join(usable)}"
    )
