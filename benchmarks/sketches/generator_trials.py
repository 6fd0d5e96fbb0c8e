"""How a generator is trained, judged on val: what it paints of val's drawings, by the attribute classifier's features."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.common.cells import Cell, digest, furnish, timed
from benchmarks.common.recorded_results import by_name
from benchmarks.common.seed_interval import paired, spread
from benchmarks.common.studies import Study, Values
from benchmarks.common.tables import code_in_words, gain_in_words, span, table
from croquis.catalog.images import from_batch
from croquis.files import made_once, read_json
from croquis.nets.generator import Generator
from croquis.search.bundle_nets import NetRun
from lightning_modules.sketch_gan.gan_module import SketchPairs
from lightning_modules.sketch_gan.val_retrieval import ValRetrieval
from stages import train_classifier, train_gan

FIGURES = ("retrieval", "l1", "frechet")


def measure(cell: Cell) -> Values:
    """Figures of the exported generator, on val alone."""
    timed(cell, lambda: train(cell))
    _, data = train_gan.build(cell.params, cell.folder)
    judge = train_gan.judge(data.val, cell.folder / train_gan.CLASSIFIER, cell.params)
    assert judge is not None  # the classifier has been trained
    generator = Generator(cell.folder / train_gan.FOLDER, cell.params.base.threads)
    return {"val": figures(data.val, judge, generator.generate)}


def figures(pairs: SketchPairs, judge: ValRetrieval, generate: NetRun) -> Values:
    """`retrieval` and `frechet` as the judge has them, and `l1`, the mean absolute difference to the photos, in [0, 2] as
    pix2pix has it; `generate` gives one photo of each drawing, or as many of each."""
    made = [photo for batch in pairs.sketch_batches() for photo in from_batch(generate(batch))]
    photos, shown = list(pairs.photo_pictures()), pairs.shown()
    each = np.repeat(shown, len(made) // len(shown))
    differences = [
        np.abs(picture.astype(float) - photos[place]).mean() / 127.5 for picture, place in zip(made, each, strict=True)
    ]
    return {**judge.figures(made), "l1": float(np.mean(differences)), "drawings": len(shown)}


def train(cell: Cell) -> None:
    """The classifier once for all generators of its data."""
    data, values = (cell.folder / "data").resolve().parent, read_json(cell.folder / "params.yaml")
    key = {name: values[name] for name in ("base", "train_classifier")}

    def make(partial: Path) -> None:
        furnish(partial, values, data)
        train_classifier.main(partial)

    made = made_once(data / f"classifier-{digest(key)}", key, make)
    shutil.copytree(made / train_gan.CLASSIFIER, cell.folder / train_gan.CLASSIFIER, dirs_exist_ok=True)
    train_gan.main(cell.folder)


def trials_table(report: Mapping[str, Values], study: Study) -> str:
    """Means over seeds with their intervals, and the gain in retrieval over the first row, paired by seed."""
    cells = by_name(report["cells"])
    values = {
        row: {name: {seed: cell["val"][name] for seed, cell in of_row.items()} for name in FIGURES}
        for row, of_row in cells.items()
    }
    first = next(iter(study.all_rows))
    lines = []
    for row in (row for row in study.all_rows if row in values):
        found = values[row]
        gain = None if row == first else paired(values.get(first, found)["retrieval"], found["retrieval"])
        means = [str(spread(list(found[name].values()))) for name in FIGURES]
        lines.append([row, *means, gain_in_words(gain), str(len(cells[row]))])
    every = report["cells"].values()
    drawings, code = span(cell["val"]["drawings"] for cell in every), code_in_words(cell["commit"] for cell in every)
    head = ["generator", *FIGURES, f"retrieval above {first}", "seeds"]
    return "\n\n".join(
        [f"{drawings} drawings of val; {code}.", table(head, lines), "`*`: the interval of the difference excludes 0."]
    )
