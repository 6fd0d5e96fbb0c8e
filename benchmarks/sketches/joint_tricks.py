"""What brings drawings and photos nearer in `joint`, each on its own, judged on val: drawings and photos side by side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from benchmarks.common.cells import Cell, pack, short_summary, timed
from benchmarks.common.recorded_results import by_name
from benchmarks.common.seed_interval import paired, spread
from benchmarks.common.studies import Study, Values
from benchmarks.common.tables import (
    code_in_words,
    gain_in_words,
    in_words,
    seconds_in_words,
    settings_in_words,
    span,
    sure_in_words,
    table,
)
from croquis.catalog.table import Catalog
from croquis.evaluation.bootstrap import paired_gain
from croquis.evaluation.evaluate_bundle import evaluate_split
from croquis.evaluation.protocol import PAIRS
from croquis.evaluation.results import rounded
from stages import train_embedder

ASKED = {"drawings": ("sketch->shop", "direct"), "photos": ("consumer->shop", "encoder")}
DECISIVE = "map@r"
SHOWN = {"drawings": ("hit@1", "hit@10", DECISIVE), "photos": (DECISIVE,)}


def measure(cell: Cell) -> Values:
    """Trains unless it is there, and measures val alone: who asks -> figures, and mAP@R of each query."""
    seconds = timed(cell, lambda: train_embedder.main(cell.method, cell.folder))
    pairs = [each for each in PAIRS if each.name in {pair for pair, _ in ASKED.values()}]
    sketches = Catalog.open(cell.folder / "data/sketches")
    found = evaluate_split(pack(cell), cell.catalog, sketches, "val", cell.settings, pairs=pairs)
    val = {}
    for who, (pair, path) in ASKED.items():
        run = next(each for each in found.runs if (each.pair, each.path) == (pair, path))
        asked = {"items": run.queries.item_ids.tolist(), "values": run.metrics[DECISIVE].round(4).tolist()}
        val[who] = {**short_summary(found, pair, path), "by_query": asked}
    return {"train_seconds": seconds, "val": val}


def tricks_table(report: Mapping[str, Values], study: Study) -> str:
    """Val by row. Of one seed the intervals are the bootstrap's over items, of several those over seeds."""
    cells = by_name(report["cells"])
    first = next(iter(study.all_rows))
    lines = []
    for row in (row for row in study.all_rows if row in cells):
        own = cells[row]
        figures = [_figure(own, who, metric) for who, metrics in SHOWN.items() for metric in metrics]
        gains = ["" if row == first else _gain(cells.get(first, {}), own, who) for who in ASKED]
        lines.append([row, *figures, *gains, seconds_in_words(own.values()), str(len(own))])
    every = list(report["cells"].values())
    counts = [f"{span(cell['val'][who]['queries'] for cell in every)} {who}" for who in ASKED]
    images = span(cell["val"]["drawings"]["gallery"]["images"] for cell in every)
    parts = [f"{' and '.join(counts)} of val", f"{images} gallery images", *settings_in_words(report["settings"])]
    words = "; ".join([*parts, code_in_words(cell["commit"] for cell in every)])
    head = ["variant", *(f"{who}, {metric}" for who, metrics in SHOWN.items() for metric in metrics)]
    head += [f"{who}, {DECISIVE} above {first}" for who in ASKED]
    return "\n\n".join([f"{words}.", table([*head, "train s", "seeds"], lines)])


def _figure(cells: Mapping[int, Values], who: str, metric: str) -> str:
    found = [cell["val"][who]["metrics"][metric] for cell in cells.values()]
    return in_words(found[0]) if len(found) == 1 else str(spread([each["value"] for each in found]))


def _gain(base: Mapping[int, Values], own: Mapping[int, Values], who: str) -> str:
    """In mAP@R, paired by query where one seed is all there is, else by seed."""
    common = sorted(base.keys() & own.keys())
    if len(common) == 1:
        first, second = (cells[common[0]]["val"][who]["by_query"] for cells in (base, own))
        gain = paired_gain(np.array(first["values"]), np.array(second["values"]), np.array(first["items"]))
        return sure_in_words(rounded(gain.interval))
    before, after = (
        {seed: cell["val"][who]["metrics"][DECISIVE]["value"] for seed, cell in cells.items()} for cells in (base, own)
    )
    return gain_in_words(paired(before, after))
