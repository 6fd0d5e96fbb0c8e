"""A short training that test_distributed.py starts alone, and with a second process by torchrun.

usage: python tests/lightning_modules/two_processes.py FOLDER

Each rank writes FOLDER/RANK.pt: for every case the loss of every step averaged over the ranks, the rows it saw, and its
weights at the end.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torch.distributed as dist

from lightning_modules.data import ImageSet, RetrievalData
from lightning_modules.determinism import prepare_torch
from lightning_modules.distributed import is_spread, world_size
from lightning_modules.retrieval_module import MONITOR
from lightning_modules.training import Plan, fit
from params import Params
from params.loader import parse_params, read_yaml

SIZE, ITEMS, PHOTOS = 16, 8, 4
WITHOUT_GAN = tuple(f"triplet_gan.{term}_weight=0" for term in ("reconstruction", "perceptual", "adversarial"))
CASES: dict[str, tuple[str, ...]] = {
    "image2vec": ("image2vec",),
    "siamese-batch_hard": ("siamese", 'siamese.negatives="batch_hard"'),
    "siamese-random": ("siamese", 'siamese.negatives="random"'),
    "siamese-nearest": ("siamese", 'siamese.negatives="nearest"'),
    "triplets": ("triplet_gan", *WITHOUT_GAN),
    "triplet_gan": ("triplet_gan",),
    "sgh": ("sgh",),
    "dhd": ("dhd",),
    "gpq": ("gpq",),
    "spq-views": ("spq", 'spq.positives="views"', 'spq.negatives="paper"'),
    "spq-items": ("spq", 'spq.positives="item"', 'spq.negatives="reference"'),
}


class Watch:
    """What a module's steps cost, and the rows that they saw."""

    def __init__(self, module: pl.LightningModule) -> None:
        self.losses: list[float] = []
        self.rows: list[list[int]] = []
        self._step, self._log = module.training_step, module.log_figures
        module.training_step, module.log_figures = self.step, self.log

    def step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> Any:
        self.rows.append(batch["rows"].tolist())
        return self._step(batch, batch_idx)

    def log(self, figures: dict[str, torch.Tensor], size: int) -> None:
        loss = figures["loss"].detach().clone()
        if is_spread():
            dist.all_reduce(loss)
        self.losses.append(float(loss) / world_size())
        self._log(figures, size)


def image_set() -> ImageSet:
    generator, count = np.random.default_rng(0), ITEMS * PHOTOS
    items = np.repeat(np.arange(ITEMS), PHOTOS)
    colours = generator.integers(0, 255, (ITEMS, 3, 1, 1))[items]
    images = np.clip(colours + generator.integers(-40, 40, (count, 3, SIZE, SIZE)), 0, 255).astype(np.uint8)
    names = np.array([f"image-{i}" for i in range(count)], dtype=object)
    domains = np.array(["shop", "consumer"] * (count // 2), dtype=object)
    attributes = np.array([[] for _ in range(count)] + [None], dtype=object)[:-1]
    return ImageSet(torch.from_numpy(images), items, items % 3, domains, names, items.astype(str), attributes)


def tiny_params(changes: Sequence[str]) -> Params:
    """Frozen batch norm everywhere: a plain one would see its own rank's part of the batch only."""
    values = read_yaml("params.yaml")
    values["base"] |= {"image_size": SIZE, "threads": 1, "accelerator": "cpu", "precision": "32-true"}
    values["train_embedder"]["backbone"] |= {"width": 8, "freeze_bn": True}
    values["image2vec"]["batch_size"] = 8
    for method in ("siamese", "triplet_gan"):
        values[method] |= {"embedding_dim": 8, "centre": False, "items_per_batch": 4, "images_per_item": 2}
    values["siamese"]["nearest_pool"] = 3
    values["triplet_gan"]["discriminator_layers"] = 2
    values["sgh"] |= {"bits": 16, "centre": False, "items_per_batch": 4, "images_per_item": 2}
    values["dhd"] |= {"bits": 16, "centre": False, "batch_size": 8}
    values["gpq"] |= {"subspaces": 4, "centre": False, "items_per_batch": 4, "images_per_item": 2}
    values["gpq"]["unlabelled_per_batch"] = 6
    values["spq"] |= {"subspaces": 4, "centre": False, "batch_size": 8}
    for method in ("image2vec", "siamese", "triplet_gan", "sgh", "dhd", "gpq", "spq"):
        values[method]["fit"] |= {"epochs": 2, "learning_rate": 0.001, "warmup_epochs": 0}
    for change in changes:
        name, value = change.split("=")
        block, key = name.split(".")
        values[block][key] = json.loads(value)
    return parse_params(values)


def train(case: str, folder: Path) -> dict[str, Any]:
    method, *changes = CASES[case]
    params, images = tiny_params(changes), image_set()
    prepare_torch(params.base.seed, 1)
    data = RetrievalData(images, images, images.domains == "consumer", categories=3)
    module = importlib.import_module(f"lightning_modules.{method}").build(params, data)
    data.use_sampler(module.sampler(params.base.seed))
    watch = Watch(module)
    if case != "triplet_gan":
        module.double()  # in float32, Adam makes a whole step of a gradient that is 0 but for rounding
    history = fit(module, data, Plan(method, 2, 10, MONITOR, "max"), params.base, folder / "scratch" / case)
    weights = {name: value for name, value in module.state_dict().items() if name in dict(module.named_parameters())}
    return {"losses": watch.losses, "rows": watch.rows, "weights": weights, "history": history}


def main(folder: Path) -> None:
    torch.save({case: train(case, folder) for case in CASES}, folder / f"{os.environ.get('RANK', '0')}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
