"""Methods or variants of one, trained and measured from their bundles; before training, too. Tables of both."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from statistics import fmean

from benchmarks.common.cells import SPLITS, Cell, evaluate, pack, short_summary, timed
from benchmarks.common.recorded_results import by_name
from benchmarks.common.seed_interval import paired, spread
from benchmarks.common.studies import Study, Values
from benchmarks.common.tables import caption, gain_in_words, mean_of, metric_values, one_seed, seconds_in_words, table
from croquis.evaluation.latency import query_latencies
from croquis.evaluation.metrics import headline_metrics
from croquis.files import fresh_folder, read_json
from croquis.plugins import METHODS
from lightning_modules.embedder import assembly
from stages import train_embedder

BEFORE = "before_training"
PRECISION = "precision@5"
COMPARED = ("hit@1", "hit@5", "map@r")


def measure(cell: Cell) -> Values:
    """Trains, and tells everything that the tables show of a cell."""
    seconds = timed(cell, lambda: train_embedder.main(cell.method, cell.folder))
    retriever = pack(cell)
    results = evaluate(cell, retriever)
    record = read_json(cell.folder / f"reports/runs/train_embedder-{cell.method}/record.json")
    return {
        "train_seconds": seconds if hasattr(cell.params.method(cell.method), "fit") else None,
        "epochs": len(record["metrics"].get("train/loss", [])),
        "bytes_per_image": retriever.bundle.index.nbytes,
        "query_ms": round(query_latencies([retriever.bundle], "test", cell.pair, cell.folder)[0], 3),
        "pair": cell.pair,
        "splits": {split: short_summary(results[split], cell.pair) for split in SPLITS},
    }


def measure_both(cell: Cell) -> Values:
    """As `measure`; and of a method that learns, what its net finds before any training: what that is held against."""
    figures = measure(cell)
    return figures | {BEFORE: before_training(cell)} if METHODS.entry(cell.method).learns else figures


def before_training(cell: Cell) -> Values:
    """Figures of the bundle of a net with the very weights that this cell's training begins with."""
    from lightning_modules.training.numerics import prepare_torch
    from lightning_modules.training.whitened_start import start_of

    method, params, fresh = METHODS.entry(cell.method), cell.params, cell.beside(BEFORE)
    prepare_torch(params.base.seed, params.base.threads)
    module = method.build(params, assembly.load_data(params, fresh.folder, method))
    begin = start_of(module, params)
    if begin is not None:
        begin()
    with fresh_folder(fresh.folder / "models" / cell.method) as target:
        assembly.export(module.net, params.base.image_size, target)
    found = {split: short_summary(result, cell.pair) for split, result in evaluate(fresh, pack(fresh)).items()}
    shutil.rmtree(fresh.folder)
    return found


def leaderboard(report: Mapping[str, Values], _: Study) -> str:
    """The methods, best on val first: figures of test, mean and 95 % interval over seeds."""
    return _table(report, headline_metrics(_reported(report)))


def photo_leaderboard(report: Mapping[str, Values], _: Study) -> str:
    """As `leaderboard`, with precision@5: how much of what a visitor sees first is right."""
    reported = _reported(report)
    shown = {*headline_metrics(reported), PRECISION}
    return _table(report, tuple(name for name in reported if name in shown))


def _reported(report: Mapping[str, Values]) -> list[str]:
    return list(next(iter(report["cells"].values()))["splits"]["test"]["metrics"])


def _table(report: Mapping[str, Values], names: tuple[str, ...]) -> str:
    of_method = by_name(report["cells"])
    cells = list(report["cells"].values())
    order = sorted(of_method, key=lambda method: -mean_of(metric_values(of_method[method], "val", "hit@1")))
    head = ["method", *names, "hit@1, one seed", "hit@1 before training", "val hit@1"]
    head += ["bytes/image", "queries/s", "train s", "epochs", "seeds"]
    lines = [_row(method, of_method[method], names) for method in order]
    chance = [f"{fmean(cell['splits']['test']['metrics'][name]['chance'] for cell in cells):.3f}" for name in names]
    padding = [""] * (len(head) - len(names) - 1)
    return "\n\n".join([caption(report), table(head, [*lines, ["chance", *chance, *padding]])])


def _row(method: str, cells: Mapping[int, Values], names: tuple[str, ...]) -> list[str]:
    found = list(cells.values())
    before = [cell[BEFORE]["test"]["metrics"]["hit@1"]["value"] for cell in found if BEFORE in cell]
    return [
        method,
        *(str(spread(list(metric_values(cells, "test", name).values()))) for name in names),
        one_seed(found, "hit@1"),
        str(spread(before)) if before else "",
        str(spread(list(metric_values(cells, "val", "hit@1").values()))),
        f"{found[0]['bytes_per_image']:,}",
        f"{1000 / fmean(cell['query_ms'] for cell in found):.0f}",
        seconds_in_words(found),
        f"{fmean(cell['epochs'] for cell in found):.0f}",
        str(len(found)),
    ]


def comparison(report: Mapping[str, Values], study: Study) -> str:
    """Test figures by row, and the difference in hit@1 to the first, paired by seed; 95 % intervals over seeds."""
    of_row = by_name(report["cells"])
    first = next(iter(study.all_rows))
    base = metric_values(of_row[first], "test", "hit@1") if first in of_row else {}
    rows = []
    for name in (name for name in study.all_rows if name in of_row):
        cells = of_row[name]
        found = [str(spread(list(metric_values(cells, "test", metric).values()))) for metric in COMPARED]
        gain = None if name == first else paired(base, metric_values(cells, "test", "hit@1"))
        rows.append([name, *found, gain_in_words(gain), seconds_in_words(cells.values()), str(len(cells))])
    head = ["variant", *COMPARED, f"hit@1 above {first}", "train s", "seeds"]
    return "\n\n".join([caption(report), table(head, rows), "`*`: the interval of the difference excludes 0."])
