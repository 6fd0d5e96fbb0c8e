"""Data sets that torchvision reads, both parts at once."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from croquis.formats.class_sets.class_rows import LabelledImages
from croquis.formats.errors import SourceError


@dataclass(frozen=True)
class TrainAndTest:
    """The official parts of a set and the names of its classes, in the order of the labels."""

    train: LabelledImages
    test: LabelledImages
    classes: Sequence[str]


def open_set(kind: Any, root: str, download: bool, remedy: str) -> TrainAndTest:
    """Opens a class of `torchvision.datasets` that takes `root`, `train` and `download`.

    Raises:
        SourceError: when the files are absent, damaged or cannot be fetched; `remedy` says what to put where.
    """
    try:
        parts = [kind(root=root, train=train, download=download) for train in (True, False)]
        train, test = (_labelled(name, part) for name, part in zip(("train", "test"), parts, strict=True))
    except (OSError, EOFError, KeyError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise SourceError(f"{kind.__name__} cannot be read from {root!r} ({error}); {remedy}") from error
    return TrainAndTest(train, test, list(parts[0].classes))


def _labelled(name: str, part: Any) -> LabelledImages:
    labels = np.asarray(part.targets, dtype=np.int64)
    if len(labels) != len(part.data):
        raise ValueError(f"{name} has {len(part.data)} images and {len(labels)} labels")
    return LabelledImages(name, labels, np.asarray(part.data))
