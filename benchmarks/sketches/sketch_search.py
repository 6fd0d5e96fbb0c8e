"""Drawings against photos on real pictures: encoders of photos and drawings, beside edge maps against edge maps."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.common.cells import SPLITS, Cell, evaluate, pack, short_summary, timed
from benchmarks.common.recorded_results import by_name
from benchmarks.common.seed_interval import paired, spread
from benchmarks.common.studies import Study, Values
from benchmarks.common.tables import caption, gain_in_words, in_words, metric_values, table
from croquis.catalog.table import Catalog
from croquis.files import fresh_folder
from lightning_modules.embedder import assembly
from stages import train_embedder

PATHS = ("direct", "edges")
METRICS = ("hit@1", "hit@10")
ZERO_SHOT = "zero-shot"


def measure(cell: Cell) -> Values:
    """Trains unless it is there, and measures both paths; what `edges` finds is the same for every encoder."""
    if cell.name == ZERO_SHOT:
        seconds = timed(cell, lambda: pretrained_net(cell))
    else:
        seconds = timed(cell, lambda: train_embedder.main(cell.method, cell.folder))
    found = evaluate(cell, pack(cell), Catalog.open(cell.folder / "data/sketches"))
    paths = {path: {split: short_summary(found[split], cell.pair, path) for split in SPLITS} for path in PATHS}
    return {"train_seconds": seconds, "pair": cell.pair, "paths": paths, "splits": paths["direct"]}


def pretrained_net(cell: Cell) -> None:
    """The backbone as it comes, average-pooled."""
    from lightning_modules.nets.retrieval_net import average_pool_net
    from lightning_modules.training.numerics import prepare_torch

    prepare_torch(cell.params.base.seed, cell.params.base.threads)
    with fresh_folder(cell.folder / "models" / cell.method) as target:
        net = average_pool_net(cell.params.train_embedder.backbone, cell.params.base.image_size)
        assembly.export(net, cell.params.base.image_size, target)


def sketch_table(report: Mapping[str, Values], study: Study) -> str:
    """Test figures by row: mean and 95 % interval over seeds, or of a single one the bootstrap's over items."""
    of_row, any_cell = by_name(report["cells"]), next(iter(report["cells"].values()))
    base = of_row.get("siamese", {})
    lines = [_line(row, found, base) for row, found in of_row.items()]
    lines.append(["edge map against edge maps", *_bootstrapped(any_cell["paths"]["edges"]["test"]), "", "", ""])
    if study.published:
        stated = [f"{study.published[metric]:.2f}" for metric in METRICS]
        lines.append(["zero-shot, as the data's README has it", *stated, "", "", ""])
    chance = [f"{any_cell['splits']['test']['metrics'][metric]['chance']:.3f}" for metric in METRICS]
    lines.append(["chance", *chance, "", "", ""])
    head = ["path", *METRICS, "hit@1 above siamese", "train s", "seeds"]
    return "\n\n".join([caption(report), table(head, lines)])


def _line(row: str, cells: Mapping[int, Values], base: Mapping[int, Values]) -> list[str]:
    trained = [cell for cell in cells.values() if row != ZERO_SHOT]
    seconds = [f"{cell['train_seconds']:.0f}" for cell in trained if cell["train_seconds"] is not None]
    first, own = metric_values(base, "test", "hit@1"), metric_values(cells, "test", "hit@1")
    gain = paired(first, own) if row == "joint" else None
    if len(cells) == 1:
        figures = _bootstrapped(next(iter(cells.values()))["splits"]["test"])
    else:
        figures = [str(spread(list(metric_values(cells, "test", metric).values()))) for metric in METRICS]
    return [f"straight, {row}", *figures, gain_in_words(gain), ", ".join(seconds), str(len(trained) or "")]


def _bootstrapped(summary: Values) -> list[str]:
    return [in_words(summary["metrics"][metric]) for metric in METRICS]
