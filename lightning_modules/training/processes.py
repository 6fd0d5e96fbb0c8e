"""Trainings that are spread over several processes: `base.processes` on one machine, `torchrun` by hand on several.

A stage of a training begins with

    if spread.over(params.base.processes, "stages.train_embedder", [method], root):
        return              # other processes have done it
    if spread.following():
        spread.train_along(...)     # records, files and export are left to the first process
        return
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from croquis.params.loader import Base
from croquis.tracking.record import folder_name
from croquis.tracking.stage_key import stage_key

if TYPE_CHECKING:
    import pytorch_lightning as pl

    from lightning_modules.training.fit import FitPlan

RESTARTS = 3  # of all processes together, from the last epoch's checkpoint, when one of them dies
PROJECT = Path(__file__).resolve().parents[2]


class SpreadError(RuntimeError):
    """Processes that train together ended with an error; what they said stands above it."""


def following() -> bool:
    """Whether this is a process of a `torchrun`, and not its first."""
    return os.environ.get("RANK", "0") != "0"


def over(processes: int, stage: str, arguments: Sequence[str], root: Path) -> bool:
    """Runs `python -m STAGE ARGUMENTS` on so many processes of this machine, in `root`, and waits for them.

    When one of them dies, all are started again and resume, at most three times.

    Returns:
        False, with nothing done, when one process is asked for, or this is one of several already.

    Raises:
        SpreadError: when they end with an error.
    """
    if processes == 1 or "RANK" in os.environ:
        return False
    command = [*launcher(processes), "-m", stage, *arguments]
    ended = subprocess.run(command, cwd=root, env=environment(), check=False)
    if ended.returncode:
        raise SpreadError(f"{stage} on {processes} processes ended with status {ended.returncode}")
    return True


def launcher(processes: int) -> list[str]:
    """`torchrun` on this machine; what follows is a script, or -m and a module."""
    options = ["--standalone", "--nproc-per-node", str(processes), "--max-restarts", str(RESTARTS)]
    return [sys.executable, "-m", "torch.distributed.run", *options]


def environment() -> dict[str, str]:
    """This process's own, so that the others find the project and each other.

    One OpenMP thread is what torchrun would set with a warning; `base.threads` decides. Gloo keeps to the loopback. Without
    a store of their own, processes that are started again may call the dead ones, whose addresses stand in the first one's
    (torch 2.14.1, DynamicRendezvousHandler.next_rendezvous).
    """
    paths = [str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])]
    defaults = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    return {**defaults, **os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def train_along(
    name: str,
    settings: Mapping[str, Any],
    base: Base,
    root: Path,
    module: pl.LightningModule,
    data: pl.LightningDataModule,
    plan: FitPlan,
) -> None:
    """Fits beside the first process, from the same checkpoints.

    Args:
        name: DVC's name of the stage, e.g. `train_embedder@siamese`.
        settings: the params that decide on the training, as the first process reports them.
    """
    from lightning_modules.training.fit import fit
    from lightning_modules.training.scratch import params_key, scratch_folder

    key = stage_key(name, root) or params_key(settings)
    fit(module, data, plan, base, scratch_folder(root, folder_name(name), key))
