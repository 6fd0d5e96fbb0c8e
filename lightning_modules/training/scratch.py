"""Scratch folders: where an unfinished training keeps its checkpoints, and from where it resumes after a kill.

A folder is keyed by the stage key (command, dependencies and params), so that a training with other params never resumes
from it; it is ignored by git and DVC, and deleted on success.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SCRATCH = ".scratch"


class ScratchBusyError(RuntimeError):
    """Another process is training into the same folder."""


def params_key(params: Mapping[str, Any]) -> str:
    """The key of a training outside DVC: a hash of its params."""
    return "params-" + hashlib.sha256(json.dumps(params, sort_keys=True, default=str).encode()).hexdigest()[:32]


def scratch_folder(root: Path, name: str, key: str) -> Path:
    """Where `open_scratch` puts a training; for processes that train along with the one that opened it."""
    return root / SCRATCH / name / key


@contextmanager
def open_scratch(root: Path, name: str, key: str) -> Iterator[Path]:
    """The folder of one training, locked while the block runs; deleted when the block ends without an error.

    A kill leaves the folder and frees the lock, which the kernel holds for the process.

    Raises:
        ScratchBusyError: when another live process (say, an orphan of a killed `dvc repro`) holds the lock.
    """
    folder = scratch_folder(root, name, key)
    parent = folder.parent
    parent.mkdir(parents=True, exist_ok=True)
    with (parent / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ScratchBusyError(f"another process is training {name}; end it before starting a second one") from None
        for other in parent.iterdir():
            if other.is_dir() and other.name != key:
                shutil.rmtree(other)
        folder.mkdir(exist_ok=True)
        yield folder
        shutil.rmtree(folder)
