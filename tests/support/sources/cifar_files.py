"""Writes CIFAR-10 batches of any size for tests."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from torchvision.datasets import CIFAR10

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
BATCHES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]


def write_cifar10(
    root: Path, pixels: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], patch: pytest.MonkeyPatch
) -> Path:
    """Five train batches and a test batch of equal size below `root`; torchvision is told that they are the official ones.

    Args:
        pixels: (6 * N, 3072), red, green and blue planes of 32 x 32.
        labels: (6 * N,) classes from 0 to 9.
    """
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)

    def write(name: str, content: dict[str, Any]) -> list[str]:
        data = pickle.dumps(content)
        (folder / name).write_bytes(data)
        return [name, hashlib.md5(data).hexdigest()]

    parts = zip(BATCHES, np.split(pixels, 6), np.split(labels, 6), strict=True)
    files = [write(name, {"data": own, "labels": classes.tolist()}) for name, own, classes in parts]
    name, digest = write("batches.meta", {"label_names": CLASSES})
    patch.setattr(CIFAR10, "train_list", files[:5])
    patch.setattr(CIFAR10, "test_list", files[5:])
    patch.setattr(CIFAR10, "meta", {"filename": name, "key": "label_names", "md5": digest})
    return root
