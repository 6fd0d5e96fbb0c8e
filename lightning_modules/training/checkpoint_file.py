"""Checkpoints that are whole or absent, wherever the system keeps its temporary files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning_fabric.utilities.types import _PATH
from pytorch_lightning.plugins.io import TorchCheckpointIO

from croquis.files import fresh_file


class WholeCheckpoints(TorchCheckpointIO):
    """Lightning's way to save, with the temporary file beside the checkpoint.

    Lightning's own lies in the system's folder for temporary files. Where that is another file system, its last step is a
    copy, and a kill during it leaves half a checkpoint.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: _PATH, storage_options: Any | None = None) -> None:
        """Writes the checkpoint under a temporary name in the folder of `path` and renames it.

        Raises:
            OSError: when the disk is full; an earlier checkpoint of this name is then still there.
        """
        with fresh_file(Path(path)) as partial:
            torch.save(checkpoint, partial)
