"""What a method's own net and index find before any training: the baseline that its training is held against."""

from __future__ import annotations

import shutil

from benchmarks.common.benchmark_command import Values
from benchmarks.common.recorded_results import Results
from benchmarks.common.runner import Cell, evaluate, pack, short_summary
from croquis.files import fresh_folder
from croquis.plugins import METHODS
from lightning_modules.training.numerics import prepare_torch
from stages import train_embedder

BEFORE = "before_training"


def measure_before(cell: Cell) -> Values:
    """Figures of the bundle of a net with the very weights that this cell's training begins with.

    Args:
        cell: a workspace of its own, not the one where the method is trained.
    """
    method, params = METHODS.entry(cell.method), cell.params
    prepare_torch(params.base.seed, params.base.threads)
    module = method.build(params, train_embedder.load_data(params, cell.folder, method))
    with fresh_folder(cell.folder / "models" / cell.method) as target:
        train_embedder.export(module.net, params.base.image_size, target)
    found = {split: short_summary(result, cell.pair) for split, result in evaluate(cell, pack(cell)).items()}
    shutil.rmtree(cell.folder / "models/bundles")
    return found


def learns(method: str) -> bool:
    return bool(METHODS.entry(method).learns)


def add_before(results: Results, label: str, cell: Cell) -> None:
    """Puts it beside the figures of the trained net, unless it is there."""
    figures = results.cells[label]
    if learns(cell.method) and BEFORE not in figures:
        results.add(label, {**figures, BEFORE: measure_before(cell)})
        print(f"{label}: measured before training", flush=True)
