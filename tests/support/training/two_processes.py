"""A short training that test_distributed.py does alone, and in two processes by torchrun.

usage: python tests/support/training/two_processes.py FOLDER

Each rank writes FOLDER/CASE.RANK.pt for every case: the loss of every step averaged over the ranks, the rows it saw, and its
weights at the end. What is written already is not trained again. The last is `KILLED`: on the first try the second process
kills itself in the second epoch.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torch.distributed as dist

from croquis.params import Params
from croquis.params.loader import parse_params, read_yaml
from lightning_modules.attributes.attribute_labels import Layout, exclusive_groups, read_labels
from lightning_modules.attributes.classifier_module import AttributeClassifierModule, ClassifierData
from lightning_modules.bases.retrieval_module import MONITOR
from lightning_modules.data.retrieval_data import ImageSet, RetrievalData
from lightning_modules.training.distributed import is_spread, world_size
from lightning_modules.training.fit import FitPlan, fit
from lightning_modules.training.numerics import prepare_torch

SIZE, ITEMS, PHOTOS = 16, 8, 4
WEIGHTS = {"reconstruction_weight": 0.1, "perceptual_weight": 0.1, "adversarial_weight": 0.01}
TERMS = tuple(f"triplet_gan.{name}={value}" for name, value in WEIGHTS.items())
CASES: dict[str, tuple[str, ...]] = {
    "image2vec": ("image2vec",),
    "siamese-batch_hard": ("siamese", 'siamese.negatives="batch_hard"'),
    "siamese-random": ("siamese", 'siamese.negatives="random"'),
    "siamese-nearest": ("siamese", 'siamese.negatives="nearest"'),
    "triplets": ("triplet_gan",),
    "triplet_gan": ("triplet_gan", *TERMS),
    "sgh": ("sgh",),
    "dhd": ("dhd",),
    "gpq": ("gpq",),
    "spq-views": ("spq", 'spq.positives="views"', 'spq.negatives="paper"'),
    "spq-items": ("spq", 'spq.positives="item"', 'spq.negatives="reference"'),
    "attributes": ("attributes",),
}
KILLED = "siamese-nearest, killed"
# Of pytorch-metric-learning: a loss with proxies, and one with a miner.
OF_PACKAGE: dict[str, tuple[str, ...]] = {
    "proxies": ("metric_learning", 'metric_learning.loss="ProxyAnchorLoss"', "metric_learning.miner=null"),
    "mined": ("metric_learning", 'metric_learning.loss="MultiSimilarityLoss"'),
}
HAS_PACKAGE = importlib.util.find_spec("pytorch_metric_learning") is not None
if HAS_PACKAGE:
    CASES |= OF_PACKAGE


class Watch:
    """What a module's steps cost, and the rows that they saw."""

    def __init__(self, module: pl.LightningModule, dies_in_epoch: int | None) -> None:
        self.losses: list[float] = []
        self.rows: list[list[int]] = []
        self._dies_in_epoch = dies_in_epoch
        self._module, self._step, self._log = module, module.training_step, module.log
        module.training_step, module.log = self.step, self.log

    def step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> Any:
        first_try, own = os.environ.get("TORCHELASTIC_RESTART_COUNT") == "0", os.environ.get("RANK") == "1"
        if first_try and own and self._module.current_epoch == self._dies_in_epoch:
            os.kill(os.getpid(), signal.SIGKILL)
        self.rows.append(batch["rows"].tolist())
        return self._step(batch, batch_idx)

    def log(self, name: str, value: Any, **options: Any) -> None:
        if name == "train/loss":
            loss = value.detach().clone()
            if is_spread():
                dist.all_reduce(loss)
            self.losses.append(float(loss) / world_size())
        self._log(name, value, **options)


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
    for block in ("train_embedder", "train_classifier"):
        values[block]["backbone"] |= {"width": 8, "freeze_bn": True}
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
    values["train_classifier"]["batch_size"] = 8
    values["metric_learning"] |= {"embedding_dim": 8, "centre": False, "items_per_batch": 4, "images_per_item": 2}
    values["metric_learning"] |= {"miner_args": {}, "loss_rate": 0.01}
    values["metric_learning"]["fit"] = {
        "epochs": 2, "learning_rate": 0.001, "warmup_epochs": 0, "backbone_rate": 1.0, "weight_decay": 0.0001,
        "optimiser": "adamw", "schedule": "cosine", "patience": 5, "validate_every": 1,
    }  # fmt: skip
    for method in ("image2vec", "siamese", "triplet_gan", "sgh", "dhd", "gpq", "spq", "train_classifier"):
        values[method]["fit"] |= {"epochs": 2, "learning_rate": 0.001, "warmup_epochs": 0}
    for change in changes:
        name, value = change.split("=")
        block, key = name.split(".")
        values[block][key] = json.loads(value)
    return parse_params(values, methods=True)


def build(method: str, params: Params) -> tuple[pl.LightningModule, pl.LightningDataModule]:
    images = image_set()
    if method == "attributes":
        return build_classifier(params, images)
    data = RetrievalData(images, images, images.domains == "consumer", categories=3)
    module = importlib.import_module(f"lightning_modules.methods.{method}").build(params, data)
    data.use_sampler(module.sampler(params.base.seed))
    return module, data


def build_classifier(params: Params, images: ImageSet) -> tuple[pl.LightningModule, pl.LightningDataModule]:
    """Two exclusive colours and a lone attribute, of which nothing is known for every fifth image."""
    names = ["colour:red", "colour:blue", "striped"]
    held = [[names[item % 2], *(["striped"] if item % 3 == 0 else [])] for item in images.items]
    unknown = [["striped"] if number % 5 == 0 else None for number in range(len(images))]
    labels, layout = read_labels(held, unknown, names), Layout.of(names, exclusive_groups(held, names))
    data = ClassifierData(
        images, images, (labels, labels), layout, params.train_classifier.batch_size, params.base.seed
    )
    return AttributeClassifierModule(params.train_classifier, data), data


def train(case: str, folder: Path) -> dict[str, Any]:
    method, *changes = CASES[case.partition(",")[0]]
    params = tiny_params(changes)
    prepare_torch(params.base.seed, 1)
    module, data = build(method, params)
    watch = Watch(module, dies_in_epoch=1 if case == KILLED else None)
    if case != "triplet_gan":
        module.double()  # in float32, Adam makes a whole step of a gradient that is 0 but for rounding
    if isinstance(module, AttributeClassifierModule):
        module.loss.float()  # its logits are float32
        module.outputs.float()
    history = fit(module, data, FitPlan(method, 2, 10, MONITOR, "max"), params.base, folder / "scratch" / case)
    weights = {name: value for name, value in module.state_dict().items() if name in dict(module.named_parameters())}
    return {"losses": watch.losses, "rows": watch.rows, "weights": weights, "history": history}


def main(folder: Path) -> None:
    for case in (*CASES, KILLED):
        kept = folder / f"{case}.{os.environ['RANK']}.pt"
        if not kept.exists():
            torch.save(train(case, folder), kept)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
