"""Learned codes against LSH, ITQ, PQ and OPQ at the same bits, on CIFAR-10; a row is METHOD@BITS.

The learned methods are trained as everywhere, exported, and measured from their bundles. The baselines are fitted on the
pooled features of the very net that a method has trained, the input of its code layer; on those of an image2vec net, which
has no code layer; and on those of the net before any training, which hold no label. Where a net stays as ImageNet has taught
it and the code layer alone learns, all codes are made of the very same features, and the row `untrained` tells the baselines
on them. Baselines may learn from every image but the queries, without labels. Epochs are picked on val.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.codes.baselines import BASELINES
from benchmarks.codes.feature_codes import Features, baseline_figures, component_figures, load_backbone
from benchmarks.common.cells import SPLITS, Cell, evaluate, pack, short_summary, timed
from benchmarks.common.studies import Values
from croquis.evaluation.evaluate_bundle import evaluate_split
from croquis.evaluation.protocol import PAIRS, open_gallery
from croquis.files import fresh_folder, read_json, write_json
from croquis.nets.encoder import other_comparison
from croquis.plugins import METHODS
from croquis.search.local_retriever import LocalRetriever
from lightning_modules.bases.retrieval_module import MONITOR
from lightning_modules.embedder import assembly
from lightning_modules.nets.retrieval_net import RetrievalNet
from lightning_modules.training.numerics import prepare_torch
from lightning_modules.training.scratch import open_scratch
from stages import train_embedder

FULL_DATABASE = 50_000  # images that the 1,000 results of cifar10_c are taken of
BACKBONE, CURVES = "backbone.pt", "curves.json"


def measure(cell: Cell) -> Values:
    """The learned codes by both comparisons, the features below them as floats, and every baseline on those features."""
    seconds = timed(cell, lambda: train_and_keep(cell))
    about = {"pair": cell.pair, "train_seconds": seconds, "val_score": val_scores(cell)}
    return about | learned(cell) | ({} if keeps_features(cell) else below_codes(cell))


def keeps_features(cell: Cell) -> bool:
    """Whether its backbone learns nothing, so that features and baselines are those of the row `untrained`."""
    fit = getattr(cell.params.method(cell.method), "fit", None)
    return fit is not None and fit.backbone_rate == 0


def learned(cell: Cell) -> Values:
    """Figures of the exported bundle: val and test as it searches, and on test each average precision by comparison."""
    retriever, settings = pack(cell), cell.settings
    pairs = [pair for pair in PAIRS if pair.name == cell.pair]
    results = evaluate(cell, retriever)
    codes: dict[str, dict[str, float]] = {}
    for name in average_precisions(cell):
        result = results["test"]
        if name != settings.protocol.average_precision:
            shallow = replace(settings, protocol=replace(settings.protocol, depth=int(name.removeprefix("map@"))))
            result = evaluate_split(retriever, cell.catalog, None, "test", shallow, pairs=pairs)
        for comparison, path in comparisons(retriever).items():
            run = result.run(cell.pair, path)
            if run is not None:
                codes.setdefault(comparison, {})[name] = round(float(run.metrics[name].mean()), 6)
    return {
        "bytes_per_image": retriever.bundle.index.nbytes,
        "comparison": retriever.bundle.index.comparison,
        "splits": {split: short_summary(results[split], cell.pair) for split in SPLITS},
        "codes": codes,
    }


def below_codes(cell: Cell) -> Values:
    """Components of the features, and the baselines on them; those of labelled images only, where these are fewer."""
    params, (_, _, bits) = cell.params, cell.name.partition("@")
    backbone = load_backbone(params, cell.folder / "models" / cell.method / BACKBONE)
    names = average_precisions(cell)
    features = Features.of(cell.catalog, cell.settings.protocol, names, backbone, params.base.image_size)
    found: Values = {"components": component_figures(features)}
    blocks = {"baselines": False}
    if len(features.labelled) < len(features.learnt_from):
        blocks["baselines_labelled"] = True
    for block, labelled_only in blocks.items():
        found[block] = {
            name: baseline_figures(features, name, int(bits), params.base.seed, labelled_only) for name in BASELINES
        }
    return found


def average_precisions(cell: Cell) -> list[str]:
    """The protocol's own; and with a depth, also the one that looks at the same share of this smaller database."""
    protocol = cell.settings.protocol
    own = [protocol.average_precision]
    if protocol.depth is None:
        return own
    size = len(open_gallery(cell.catalog, "test", protocol))
    scaled = f"map@{max(1, round(protocol.depth * size / FULL_DATABASE))}"
    return own if scaled in own else [*own, scaled]


def comparisons(retriever: LocalRetriever) -> dict[str, str]:
    """How codes are compared -> the path that the evaluation calls it by; floats have but one."""
    served = retriever.bundle.index.comparison
    if served is None:
        return {"floats": "encoder"}
    other = other_comparison(served)
    return {served: "encoder", other: f"encoder-{other}"}


class Curves:
    """Takes the place of a stage's run: keeps the curves, tells no tracker."""

    def __init__(self, artifacts: Path) -> None:
        self.artifacts = artifacts
        self.curves: dict[str, list[tuple[int, float]]] = {}

    def history(self, name: str, points: Iterable[tuple[int, float]]) -> None:
        self.curves[name] = list(points)

    def tag(self, name: str, value: str) -> None:
        """Warnings stand in the log."""

    def logger_arguments(self) -> dict[str, Any] | None:
        return None


def train_and_keep(cell: Cell) -> None:
    """As the stage does, and keeps weights and curves beside the exported net; resumes where a killed try stopped.

    A net that is used as it is has no curves.
    """
    params, name, method = cell.params, cell.method, METHODS.entry(cell.method)
    prepare_torch(params.base.seed, params.base.threads)
    run = Curves(cell.folder / "artifacts")
    with (
        fresh_folder(cell.folder / "models" / name) as target,
        open_scratch(cell.folder, f"train_embedder-{name}", cell.folder.name) as scratch,
    ):
        if method.learns:
            module = method.build(params, assembly.load_data(params, cell.folder, method))
            train_embedder.fit_module(module, params, name, scratch, run)
            keep(module.net, cell, target)
        else:
            keep(method.fixed_net(params), cell, target)
        write_json(target / CURVES, run.curves)


def keep(net: RetrievalNet, cell: Cell, target: Path) -> None:
    assembly.export(net, cell.params.base.image_size, target)
    torch.save(net.backbone.state_dict(), target / BACKBONE)


def val_scores(cell: Cell) -> dict[str, float | int]:
    """The val score of the exported epoch and of the last one, and how many epochs ran; empty where nothing is learnt."""
    curves = read_json(cell.folder / "models" / cell.method / CURVES)
    if not curves:
        return {}
    scores = [value for _, value in curves[MONITOR]]
    return {"best": max(scores), "last": scores[-1], "epochs": len(curves["train/loss"])}
