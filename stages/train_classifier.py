"""Stage `train_classifier`: the multi-label attribute classifier, `models/attributes/`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from croquis.catalog.table import Catalog
from croquis.evaluation.answerable import unlearnable
from croquis.files import fresh_folder, write_bytes, write_json
from croquis.params import Params, load_params
from croquis.params.accelerators import check_accelerator
from croquis.tracking.stage_run import StageRun, stage_run
from lightning_modules.training import processes
from stages import leave_off, run_stage

if TYPE_CHECKING:
    from lightning_modules.attributes.classifier_module import AttributeClassifierModule, ClassifierData
    from lightning_modules.training.fit import FitPlan

FOLDER = Path("models/attributes")


def main(root: Path = Path()) -> None:
    params = load_params(root / "params.yaml")
    if not params.parts.attributes:
        with stage_run("train_classifier", params={"parts": params.parts.model_dump()}, root=root):
            leave_off(root / FOLDER, "parts.attributes")
        return
    check_accelerator(params.base.accelerator)
    if processes.over(params.base.processes, "stages.train_classifier", [], root):
        return
    if processes.following():
        module, data = build(params, root)
        processes.train_along("train_classifier", settings(params), params.base, root, module, data, plan(params))
        return
    with (
        stage_run("train_classifier", params=settings(params), root=root) as run,
        fresh_folder(root / FOLDER) as target,
    ):
        train(params, root, target, run)
    print(f"attributes: wrote {FOLDER}")


def settings(params: Params) -> dict[str, Any]:
    """The params that decide on this classifier."""
    return {
        "base": params.base.model_dump(),
        "train_classifier": params.train_classifier.model_dump(),
        "trainer": params.trainer,
    }


def train(params: Params, root: Path, target: Path, run: StageRun) -> None:
    """Trains, resuming where a killed try stopped; exports the best epoch, calibrated on val."""
    from lightning_modules.training.fit import fit_and_record
    from lightning_modules.training.scratch import open_scratch, params_key

    module, data = build(params, root)
    with open_scratch(root, "train_classifier", run.key or params_key(settings(params))) as scratch:
        fit_and_record(module, data, plan(params), params.base, scratch, run)
        export(module, data, params.base.image_size, target, run)


def build(params: Params, root: Path) -> tuple[AttributeClassifierModule, ClassifierData]:
    from lightning_modules.attributes.classifier_module import AttributeClassifierModule
    from lightning_modules.training.numerics import prepare_torch

    prepare_torch(params.base.seed, params.base.threads)
    data = load_data(params, Catalog.open(root / "data/catalog"))
    return AttributeClassifierModule(params.train_classifier, data), data


def plan(params: Params) -> FitPlan:
    from lightning_modules.attributes.classifier_module import MONITOR
    from lightning_modules.training.fit import FitPlan
    from lightning_modules.training.schedule import told_rates

    own = params.train_classifier.fit
    rates = told_rates("train_classifier", own, params.train_classifier.backbone.weights != "none")
    every = own.validate_every
    return FitPlan("attributes", own.epochs, own.patience, MONITOR, "max", every, rates, trainer=params.trainer)


def load_data(params: Params, catalog: Catalog) -> ClassifierData:
    """Photos of both domains; attributes with too few positives are left out.

    Raises:
        DataError: when no attribute is left to learn.
    """
    from lightning_modules.attributes.attribute_labels import Layout, attribute_names, exclusive_groups, read_labels
    from lightning_modules.attributes.classifier_module import ClassifierData
    from lightning_modules.data.retrieval_data import DataError, load_images

    own, size, how = params.train_classifier, params.base.image_size, params.preparation
    if problem := unlearnable(catalog, own.min_positives):
        raise DataError(problem)
    rows = {split: catalog.select(split=split, domain=["shop", "consumer"]) for split in ("train", "val")}
    train, val = (load_images(catalog, rows[split], size, how) for split in ("train", "val"))
    held = train.attributes.tolist()
    names = attribute_names(held, own.min_positives)
    layout = Layout.of(names, exclusive_groups(held, names))
    unknown = catalog.column("unknown_attributes")
    labels = (
        read_labels(held, unknown[rows["train"]].tolist(), names),
        read_labels(val.attributes.tolist(), unknown[rows["val"]].tolist(), names),
    )
    return ClassifierData(train, val, labels, layout, own.batch_size, params.base.seed, how)


def export(module: AttributeClassifierModule, data: ClassifierData, size: int, target: Path, run: StageRun) -> None:
    """Calibrates on val and writes graph and description; the figures are those of photos whose item was held out."""
    import torch

    from lightning_modules.attributes.calibration import calibrated, common_threshold, fit_calibration
    from lightning_modules.nets.onnx_export import export_onnx

    layout, labels, logits = data.layout, data.val_labels, module.logits_of(data.val)
    scale, offset = fit_calibration(logits, labels, layout)
    threshold = round(common_threshold(calibrated(logits, scale, offset, layout), labels), 6)
    module.calibrate(scale, offset)
    difference = export_onnx(
        module, torch.rand(2, 3, size, size), target / "classifier.onnx", "images", "probabilities"
    )
    run.volatile("onnx_parity", difference)
    write_json(
        target / "classifier.json",
        {
            "file": "classifier.onnx",
            "size": size,
            "attributes": list(layout.names),
            "thresholds": [threshold] * len(layout.names),
            "exclusive": list(layout.exclusive),
        },
    )
    report(logits, data, np.full(len(layout.names), threshold), run)


def report(
    logits: npt.NDArray[np.float64], data: ClassifierData, thresholds: npt.NDArray[np.float64], run: StageRun
) -> None:
    """Figures of all val photos and of each domain, the average precision of each attribute, and the table of all of it."""
    from lightning_modules.attributes.calibration import calibrated, held_out
    from lightning_modules.attributes.report import attribute_rows, figures, table_csv

    names, labels = data.layout.names, data.val_labels
    probabilities, decisions = held_out(logits, labels, data.val.item_ids.astype(str), data.layout)
    ranking = calibrated(logits, np.ones(len(names)), np.zeros(len(names)), data.layout)
    for name, value in figures(probabilities, decisions, labels, ranking).items():
        run.metric(f"val/{name}", value)
    for domain in sorted(set(data.val.domains)):
        own = np.flatnonzero(data.val.domains == domain)
        for name, value in figures(probabilities[own], decisions[own], labels.take(own), ranking[own]).items():
            run.metric(f"val/{domain}/{name}", value)
    rows = attribute_rows(names, probabilities, decisions, labels, thresholds, ranking)
    for row in rows:
        if row.average_precision is not None:
            run.metric(f"val/average_precision/{row.attribute.replace(':', '/')}", row.average_precision)
    write_bytes(run.artifacts / "attributes.csv", table_csv(rows))


if __name__ == "__main__":
    sys.exit(run_stage(main, __doc__))
