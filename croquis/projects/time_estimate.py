"""How long a project's pipeline takes on this machine: an estimate, by a short probe of decoding and of a training step."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from croquis.catalog.image_errors import ImageError
from croquis.catalog.images import prepare_file
from croquis.params import Params
from croquis.plugins import METHODS
from croquis.projects.shape import CatalogueShape

DECODED, STEPS, BATCH = 24, 2, 16
STAGE_SECONDS = 12.0  # of a stage beside its work: Python, torch and MLflow are imported
LOOKS = 3  # at each photo: validation, preparation, thumbnails


def estimated_minutes(params: Params, shape: CatalogueShape, photos: list[Path]) -> float:
    """Minutes of `croquis repro`, within a factor of two or so; generator and classifier count as one training each.

    Args:
        photos: some of the catalogue's files.
    """
    size = params.base.image_size
    decoding = LOOKS * shape.photos * _seconds_of_a_photo(photos[:DECODED], size)
    step = _seconds_of_a_step(params) / BATCH
    epochs = [params.method(name).fit.epochs for name in params.retrievers if METHODS.entry(name).learns]
    parts = params.parts
    epochs += [params.train_classifier.fit.epochs] if parts.attributes else []
    epochs += [params.train_gan.epochs * params.sketch.drawings_per_photo] if parts.gan else []
    training = sum(epochs) * shape.train * step
    stages = 8 + 3 * len(params.retrievers)
    return float(stages * STAGE_SECONDS + decoding + training) / 60


def _seconds_of_a_photo(photos: list[Path], size: int) -> float:
    start, done = time.perf_counter(), 0
    for path in photos:
        try:
            prepare_file(path.read_bytes(), size, None)
        except ImageError:
            continue
        done += 1
    return (time.perf_counter() - start) / max(1, done)


def _seconds_of_a_step(params: Params) -> float:
    """Of one batch, forwards and backwards, through the net of the retrievers."""
    import torch

    net, size = METHODS.entry("untrained").fixed_net(params), params.base.image_size
    batch = torch.from_numpy(np.random.default_rng(0).random((BATCH, 3, size, size), dtype=np.float32))
    seconds = []
    for _ in range(STEPS):
        start = time.perf_counter()
        net(batch).square().sum().backward()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
