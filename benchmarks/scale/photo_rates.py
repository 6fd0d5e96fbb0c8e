"""What the pipeline costs beside its bare work: a bundle's gallery, and the step of a training; by CPU time, one thread.

    python -m benchmarks.scale.photo_rates --method siamese

In a project that has been trained. `bare` reads, decodes and scales all photos, and runs encoder and classifier on
those of the gallery; `first bundle` is what `prepare` and `index` do for them, thumbnails included. `bare gallery` does
it for the gallery alone; `next bundle` is `index` for a further method. `bare epoch` takes tensors in memory through views,
loss, backward and optimiser; `epoch` is that of the stage, from its first batch to its last. They take turns; a ratio is
the median of those of the turns.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch

from croquis.catalog.gallery_photos import gallery_rows, open_thumbnails
from croquis.catalog.images import prepare_file, to_batch
from croquis.catalog.prepared_photos import Preparation, open_photos
from croquis.catalog.table import Catalog
from croquis.files import write_json
from croquis.nets.classifier import AttributeClassifier
from croquis.nets.encoder import load_encoder
from croquis.params import Params, load_params
from croquis.plugins import METHODS
from croquis.search.bundle_nets import AT_A_TIME
from croquis.search.gallery_facts import gallery_labels, gallery_vectors
from croquis.tracking.environment import quiet
from lightning_modules.embedder import assembly
from lightning_modules.training.fit import FitPlan, fit
from lightning_modules.training.numerics import prepare_torch

REPORT = Path("reports/benchmarks/photo-rates.json")
ALONE = Preparation(processes=1)


def main(arguments: Sequence[str] | None = None) -> None:
    quiet()
    options = parser().parse_args(arguments)
    params, seconds = load_params(methods=[options.method]), dict[str, list[float]]()
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        folder = Path(scratch)
        shutil.copytree("data/catalog", folder / "catalog")
        for _ in range(options.repeats):
            for name, found in {
                **gallery(params, options.method, folder),
                **epoch(params, options.method, folder),
            }.items():
                seconds.setdefault(name, []).append(found)
    ratios = {
        name: [bare / own for bare, own in zip(seconds[under], seconds[name], strict=True)]
        for name, under in (("first bundle", "bare"), ("next bundle", "bare gallery"), ("epoch", "bare epoch"))
    }
    report = {
        "cpu_seconds": {name: round(median(found), 3) for name, found in seconds.items()},
        "bare_over_ours": {
            name: {"median": round(median(found), 3), "all": [round(each, 3) for each in found]}
            for name, found in ratios.items()
        },
    }
    write_json(options.report, report)
    print(json.dumps(report, indent=2))


def cpu_seconds(work: Callable[[], Any]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def gallery(params: Params, method: str, folder: Path) -> dict[str, float]:
    """CPU seconds of the ways to vectors, labels and thumbnails of the gallery's photos."""
    catalog, classifier, size = Catalog.open(folder / "catalog"), Path("models/attributes"), params.base.image_size
    rows, boxes, encoder = gallery_rows(catalog), catalog.column("bbox"), load_encoder(Path("models", method))
    labeller, every = AttributeClassifier(classifier), np.arange(len(catalog))
    searched = np.isin(every, rows)

    def bare(decoded: npt.NDArray[np.int64]) -> None:
        squares = []
        for row, data in zip(decoded, catalog.images(decoded), strict=True):
            square = prepare_file(data, size, boxes[row])
            if searched[row]:
                squares.append(square)
            if len(squares) == AT_A_TIME or (row == decoded[-1] and squares):
                batch = to_batch(squares)
                encoder.encode(batch)
                labeller.decide(labeller.probabilities(batch))
                squares.clear()

    def bundle() -> None:
        gallery_vectors(encoder, open_photos(catalog, size, how=ALONE), rows)
        gallery_labels(classifier, catalog, rows, params.base.threads, ALONE)
        open_thumbnails(catalog, params.index.thumbnail, ALONE)

    shutil.rmtree(folder / "prepared", ignore_errors=True)
    ways: dict[str, Callable[[], None]] = {
        "bare": partial(bare, every),
        "bare gallery": partial(bare, rows),
        "first bundle": bundle,
        "next bundle": bundle,
    }
    return {name: cpu_seconds(work) for name, work in ways.items()}


class BatchSeconds(pl.Callback):
    """CPU seconds from the first batch of an epoch to its end."""

    began = seconds = 0.0

    def on_train_batch_start(self, *about: Any) -> None:
        if about[-1] == 1:
            self.began = time.process_time()

    def on_train_batch_end(self, *_: Any) -> None:
        self.seconds = time.process_time() - self.began


def epoch(params: Params, method: str, folder: Path) -> dict[str, float]:
    """CPU seconds of all batches of an epoch but the first, bare and in the stage's way."""
    entry, meter = METHODS.entry(method), BatchSeconds()
    prepare_torch(params.base.seed, params.base.threads)
    module = entry.build(params, assembly.load_data(params, Path(), entry))
    module.data.use_sampler(module.sampler(params.base.seed))
    plan = FitPlan(method, 1, 1, "val/score", "max", callbacks=[meter], trainer={"limit_val_batches": 0})
    fit(module, module.data, plan, params.base.model_copy(update={"precision": "32-true"}), folder / "scratch")
    shutil.rmtree(folder / "scratch")
    images, items = module.data.train.images[:], torch.from_numpy(module.data.train.items)
    shop = torch.from_numpy((module.data.train.domains == "shop").astype(np.bool_))
    optimiser = torch.optim.AdamW(module.parameters(), lr=1e-4)
    batches = [torch.as_tensor(rows) for rows in module.sampler(params.base.seed)][1:]
    module.train()

    def bare() -> None:
        for rows in batches:
            batch = {"images": images[rows], "rows": rows, "items": items[rows], "shop": shop[rows]}
            loss, _ = module.loss(module.views(batch), batch)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    return {"epoch": meter.seconds, "bare epoch": cpu_seconds(bare)}


def parser() -> argparse.ArgumentParser:
    asked = argparse.ArgumentParser(
        prog="python -m benchmarks.scale.photo_rates",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = asked.add_argument
    add("--method", default="siamese", metavar="NAME", help="a trained method (default %(default)s)")
    add("--repeats", type=int, default=5, metavar="N", help="turns (default %(default)s)")
    add("--scratch", type=Path, default=Path(), metavar="FOLDER", help="for a copy of the catalogue (default: here)")
    add("--report", type=Path, default=REPORT, metavar="FILE")
    return asked


if __name__ == "__main__":
    main()
