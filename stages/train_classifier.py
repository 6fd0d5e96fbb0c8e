"""Stage `train_classifier`: the multi-label attribute classifier, `models/attributes/`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from params import Params, load_params
from retrieval.catalog import Catalog
from retrieval.files import write_json
from stages.folders import fresh_folder
from tracking.runs import StageRun, stage_run

if TYPE_CHECKING:
    from lightning_modules.attribute_classifier import AttributeClassifier, ClassifierData

FOLDER = Path("models/attributes")


def main(root: Path = Path()) -> None:
    params = load_params(root / "params.yaml")
    settings = {"base": params.base.model_dump(), "train_classifier": params.train_classifier.model_dump()}
    with stage_run("train_classifier", params=settings, root=root) as run, fresh_folder(root / FOLDER) as target:
        train(params, root, target, run)
    print(f"attributes: wrote {FOLDER}")


def train(params: Params, root: Path, target: Path, run: StageRun) -> None:
    """Trains, resuming where a killed try stopped; exports the best epoch with thresholds chosen on val."""
    from lightning_modules.attribute_classifier import AttributeClassifier
    from lightning_modules.determinism import prepare_torch
    from lightning_modules.scratch import open_scratch, params_key

    prepare_torch(params.base.seed, params.base.threads)
    data = load_data(params, Catalog.open(root / "data/catalog"))
    module = AttributeClassifier(params.train_classifier, data)
    key = run.key or params_key(params.train_classifier.model_dump())
    with open_scratch(root, "train_classifier", key) as scratch:
        fit_module(module, data, params, scratch, run)
        export(module, data, params.base.image_size, target, run)


def load_data(params: Params, catalog: Catalog) -> ClassifierData:
    """Photos of both domains; attributes with too few positives are left out.

    Raises:
        DataError: when no attribute is left to learn.
    """
    from lightning_modules.attribute_classifier import ClassifierData, attribute_names
    from lightning_modules.data import DataError, load_images

    own, size = params.train_classifier, params.base.image_size
    train = load_images(catalog, catalog.select(split="train", domain=["shop", "consumer"]), size)
    val = load_images(catalog, catalog.select(split="val", domain=["shop", "consumer"]), size)
    names = attribute_names(train, own.min_positives)
    if not names:
        raise DataError(
            f"no attribute has {own.min_positives} training images: lower train_classifier.min_positives or add attributes"
        )
    return ClassifierData(train, val, names, own.batch_size, params.base.seed)


def fit_module(module: AttributeClassifier, data: ClassifierData, params: Params, scratch: Path, run: StageRun) -> None:
    from lightning_modules.attribute_classifier import MONITOR
    from lightning_modules.training import Plan, fit_and_record

    own = params.train_classifier.fit
    plan = Plan("attributes", own.epochs, own.patience, MONITOR, "max", own.validate_every)
    fit_and_record(module, data, plan, params.base, scratch, run)


def export(module: AttributeClassifier, data: ClassifierData, size: int, target: Path, run: StageRun) -> None:
    import torch

    from lightning_modules.attribute_classifier import attribute_report, best_thresholds
    from lightning_modules.export import export_onnx

    difference = export_onnx(
        module, torch.rand(2, 3, size, size), target / "classifier.onnx", "images", "probabilities"
    )
    run.volatile("onnx_parity", difference)
    probabilities = module.predict_all(data.val)
    thresholds = best_thresholds(probabilities, data.val_labels).round(6)
    write_json(
        target / "classifier.json",
        {"file": "classifier.onnx", "size": size, "attributes": data.names, "thresholds": thresholds.tolist()},
    )
    for name, value in attribute_report(probabilities, data.val_labels, thresholds, data.names).items():
        run.metric(name, value)


if __name__ == "__main__":
    main()
