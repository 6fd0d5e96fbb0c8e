"""Trains a method as the stage `train_embedder` does, and keeps the backbone's weights beside the exported net."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from benchmarks.common.runner import Cell
from croquis.files import fresh_folder, read_json, write_json
from croquis.plugins import METHODS
from lightning_modules.bases.retrieval_module import MONITOR
from lightning_modules.nets.retrieval_net import RetrievalNet
from lightning_modules.training.numerics import prepare_torch
from lightning_modules.training.scratch import open_scratch
from stages import train_embedder

BACKBONE, CURVES = "backbone.pt", "curves.json"


class Curves:
    """Takes the place of a stage's run: keeps the curves, tells no tracker."""

    def __init__(self, artifacts: Path) -> None:
        self.artifacts = artifacts
        self.curves: dict[str, list[tuple[int, float]]] = {}

    def history(self, name: str, points: Iterable[tuple[int, float]]) -> None:
        self.curves[name] = list(points)

    def logger_arguments(self) -> dict[str, Any] | None:
        return None


def train_and_keep(cell: Cell) -> None:
    """Writes models/METHOD with encoder, backbone.pt and curves.json; resumes where a killed try stopped.

    A net that is used as it is has no curves.
    """
    params, name, method = cell.params, cell.method, METHODS.entry(cell.method)
    prepare_torch(params.base.seed, params.base.threads)
    if not method.learns:
        with fresh_folder(cell.folder / "models" / name) as target:
            keep(method.fixed_net(params), cell, target, {})
        return
    module = method.build(params, train_embedder.load_data(params, cell.folder, method))
    run = Curves(cell.folder / "artifacts")
    with (
        fresh_folder(cell.folder / "models" / name) as target,
        open_scratch(cell.folder, f"train_embedder-{name}", cell.key) as scratch,
    ):
        train_embedder.fit_module(module, params, name, scratch, run)
        keep(module.net, cell, target, run.curves)


def keep(net: RetrievalNet, cell: Cell, target: Path, curves: dict[str, list[tuple[int, float]]]) -> None:
    train_embedder.export(net, cell.params.base.image_size, target)
    torch.save(net.backbone.state_dict(), target / BACKBONE)
    write_json(target / CURVES, curves)


def val_scores(cell: Cell) -> dict[str, float | int]:
    """The val score of the exported epoch and of the last one, and how many epochs ran; empty where nothing is learnt."""
    curves = read_json(cell.folder / "models" / cell.method / CURVES)
    if not curves:
        return {}
    scores = [value for _, value in curves[MONITOR]]
    return {"best": max(scores), "last": scores[-1], "epochs": len(curves["train/loss"])}
