"""How a generator is trained, judged on val: what it paints of val's drawings, by the attribute classifier's features.

A generator that takes a colour is judged twice: without one, and with the colour of the drawn garment as a user would say
it, the word that the catalogue has for it. What the photo itself says of its colour is not used.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.common.cells import Cell, digest, furnish, timed
from benchmarks.common.recorded_results import by_name
from benchmarks.common.seed_interval import paired, spread
from benchmarks.common.studies import Study, Values
from benchmarks.common.tables import code_in_words, gain_in_words, span, table
from croquis.catalog.images import from_batch
from croquis.catalog.product import COLOUR
from croquis.catalog.table import Catalog
from croquis.files import made_once, read_json
from croquis.nets.colours import Rgb, read_colour
from croquis.nets.generator import Generator, with_colours
from croquis.search.bundle_nets import NetRun
from lightning_modules.sketch_gan.gan_module import SketchPairs
from lightning_modules.sketch_gan.pair_rows import pair_rows
from lightning_modules.sketch_gan.val_retrieval import ValRetrieval
from stages import train_classifier, train_gan

FIGURES = ("retrieval", "l1", "frechet")
WAYS = {"val": "", "coloured": ", given the word"}
"""What a cell's figures are of, and how its row is then called."""


def measure(cell: Cell) -> Values:
    """Figures of the exported generator, on val alone."""
    timed(cell, lambda: train(cell))
    _, data = train_gan.build(cell.params, cell.folder)
    judge = train_gan.judge(data.val, cell.folder / train_gan.CLASSIFIER, cell.params)
    assert judge is not None  # the classifier has been trained
    generator = Generator(cell.folder / train_gan.FOLDER, cell.params.base.threads)
    found = {"val": figures(data.val, judge, generator.generate)}
    if (words := generator.described.colours) is not None:
        _, shown = pair_rows(Catalog.open(cell.folder / "data/sketches"), cell.catalog, "val")
        colours = colours_of(cell.catalog.column("attributes")[shown], words)
        found["coloured"] = figures(data.val, judge, generator.generate, colours)
    return found


def colours_of(
    attributes: Sequence[Sequence[str]] | npt.NDArray[np.object_], words: Mapping[str, str]
) -> list[Rgb | None]:
    """The colour that the first word of the group `colour` of each row stands for; None where it has none."""
    named = ([name.removeprefix(COLOUR) for name in names if name.startswith(COLOUR)] for names in attributes)
    return [read_colour(own[0], words) if own else None for own in named]


def figures(
    pairs: SketchPairs, judge: ValRetrieval, generate: NetRun, colours: Sequence[Rgb | None] | None = None
) -> Values:
    """`retrieval` and `frechet` as the judge has them, and `l1`, the mean absolute difference to the photos, in [0, 2] as
    pix2pix has it; `generate` gives one photo of each drawing, or as many of each.

    Args:
        colours: of each drawing's garment; left out where the generator is told none.
    """
    batches = pairs.sketch_batches()
    if colours is not None:
        rest = iter(colours)
        batches = (with_colours(batch, list(islice(rest, len(batch)))) for batch in batches)
    made = [photo for batch in batches for photo in from_batch(generate(batch))]
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
    first = next(iter(study.all_rows))
    base = by_figure(cells.get(first, {}), "val")
    lines = []
    for row, way in ((row, way) for row in study.all_rows if row in cells for way in WAYS):
        found = by_figure(cells[row], way)
        if not (seeds := len(found["retrieval"])):
            continue
        gain = None if (row, way) == (first, "val") else paired(base["retrieval"], found["retrieval"])
        means = [str(spread(list(found[name].values()))) for name in FIGURES]
        lines.append([row + WAYS[way], *means, gain_in_words(gain), str(seeds)])
    every = report["cells"].values()
    drawings, code = span(cell["val"]["drawings"] for cell in every), code_in_words(cell["commit"] for cell in every)
    head = ["generator", *FIGURES, f"retrieval above {first}", "seeds"]
    return "\n\n".join(
        [f"{drawings} drawings of val; {code}.", table(head, lines), "`*`: the interval of the difference excludes 0."]
    )


def by_figure(cells: Mapping[int, Values], way: str) -> dict[str, dict[int, float]]:
    """Figure -> seed -> value, of the cells of a row that were judged in that way."""
    return {name: {seed: cell[way][name] for seed, cell in cells.items() if way in cell} for name in FIGURES}
