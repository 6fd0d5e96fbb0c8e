"""Stage `train_gan`: pix2pix from sketches to photos, `models/sketch_gan/`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from croquis.catalog.table import Catalog
from croquis.files import fresh_folder, write_json
from croquis.params import Params, load_params
from croquis.params.accelerators import check_accelerator
from croquis.tracking.stage_run import StageRun, stage_run
from lightning_modules.training import processes
from stages import leave_off, run_stage

if TYPE_CHECKING:
    from lightning_modules.sketch_gan.gan_module import PairData, SketchGan, SketchPairs
    from lightning_modules.sketch_gan.val_retrieval import ValRetrieval
    from lightning_modules.training.fit import FitPlan

FOLDER, CLASSIFIER = Path("models/sketch_gan"), Path("models/attributes")


def main(root: Path = Path()) -> None:
    params = load_params(root / "params.yaml")
    if not params.parts.gan:
        with stage_run("train_gan", params={"parts": params.parts.model_dump()}, root=root):
            leave_off(root / FOLDER, "parts.gan")
        return
    check_accelerator(params.base.accelerator)
    if processes.over(params.base.processes, "stages.train_gan", [], root):
        return
    if processes.following():
        module, data = build(params, root)
        processes.train_along("train_gan", settings(params), params.base, root, module, data, plan(params, module))
        return
    with stage_run("train_gan", params=settings(params), root=root) as run, fresh_folder(root / FOLDER) as target:
        train(params, root, target, run)
    print(f"sketch_gan: wrote {FOLDER}")


def settings(params: Params) -> dict[str, Any]:
    """The params that decide on this generator."""
    return {"base": params.base.model_dump(), "train_gan": params.train_gan.model_dump(), "trainer": params.trainer}


def train(params: Params, root: Path, target: Path, run: StageRun) -> None:
    """Trains, resuming where a killed try stopped, and exports the generator of the best epoch."""
    from lightning_modules.training.fit import fit_and_record
    from lightning_modules.training.scratch import open_scratch, params_key

    module, data = build(params, root)
    with open_scratch(root, "train_gan", run.key or params_key(settings(params))) as scratch:
        fit_and_record(module, data, plan(params, module), params.base, scratch, run)
        export(module, data.train, params, target, run)
    report(data, target, root / CLASSIFIER, params.base.threads, run)


def build(params: Params, root: Path) -> tuple[SketchGan, PairData]:
    from lightning_modules.sketch_gan.gan_module import PairData, SketchGan, load_pairs
    from lightning_modules.training.numerics import prepare_torch

    prepare_torch(params.base.seed, params.base.threads)
    sketches, catalog = Catalog.open(root / "data/sketches"), Catalog.open(root / "data/catalog")
    own, how = params.train_gan, params.preparation
    train_pairs, val_pairs = (
        load_pairs(sketches, catalog, split, own.size, how, coloured=own.colour) for split in ("train", "val")
    )
    data = PairData(train_pairs, val_pairs, own.batch_size, params.base.seed, how)
    return SketchGan(own, data, judge(data.val, root / CLASSIFIER, params), params.base.image_size), data


def judge(val: SketchPairs, folder: Path, params: Params) -> ValRetrieval | None:
    """What tells how well made photos find theirs; without a classifier, as in a benchmark, None.

    Raises:
        PairError: when the epoch is to be chosen by it and there is no classifier.
    """
    from lightning_modules.sketch_gan.frechet import ClassifierFeatures
    from lightning_modules.sketch_gan.pair_rows import PairError
    from lightning_modules.sketch_gan.val_retrieval import ValRetrieval

    if folder.is_dir():
        return ValRetrieval(ClassifierFeatures(folder, params.base.threads), list(val.photo_pictures()), val.shown())
    if params.train_gan.choose_by == "retrieval":
        raise PairError(f"train_gan.choose_by is retrieval and {folder} is missing: run train_classifier, or set l1")
    return None


def plan(params: Params, module: SketchGan) -> FitPlan:
    from lightning_modules.sketch_gan.gan_module import MONITORS
    from lightning_modules.training.fit import FitPlan

    own = params.train_gan
    monitor, mode = MONITORS[own.choose_by]
    return FitPlan(
        name="sketch_gan",
        epochs=own.epochs,
        patience=own.patience,
        monitor=monitor,
        mode=mode,
        validate_every=own.validate_every,
        rates={"train_gan.learning_rate": own.learning_rate},
        sheets_every=own.contact_sheet_every,
        draw=module.draw,
        trainer=params.trainer,
    )


def export(module: SketchGan, pairs: SketchPairs, params: Params, target: Path, run: StageRun) -> None:
    """Writes the graph and its description, which has the words of the train pairs' colours where it takes a colour; of
    several samples the masks are drawn with the run's seed."""
    import torch

    from croquis.nets.generator import COLOUR_PLANES
    from lightning_modules.nets.onnx_export import export_onnx
    from lightning_modules.nets.pix2pix import SketchGenerator
    from lightning_modules.sketch_gan.sampled_generator import SampledGenerator

    own, words = params.train_gan, {} if pairs.colours is None else {"colours": dict(pairs.colours.words)}
    generator, several = SketchGenerator(module.generator), own.samples > 1
    example = torch.rand(2, 3 + (COLOUR_PLANES if words else 0), own.size, own.size)
    exported = SampledGenerator(generator, own.samples, params.base.seed, example) if several else generator
    difference = export_onnx(exported, example, target / "generator.onnx", "sketches", "photos")
    run.volatile("onnx_parity", difference)
    described = {"file": "generator.onnx", "size": own.size}
    write_json(target / "generator.json", described | ({"samples": own.samples} if several else {}) | words)


def report(data: PairData, generator_folder: Path, classifier_folder: Path, threads: int, run: StageRun) -> None:
    """The Frechet distance of what the exported generator makes of the val sketches to their photos, on the features of our
    own classifier; beside it that of train photos to val photos, which is as small as it can be expected to get.

    Without a classifier, as in a benchmark, nothing is reported.
    """
    from croquis.catalog.images import from_batch
    from croquis.nets.classifier import AttributeClassifier
    from croquis.nets.generator import Generator
    from lightning_modules.sketch_gan.frechet import ClassifierFeatures, frechet_distance

    if not (classifier_folder / AttributeClassifier.filename).is_file() or len(data.val) < 2:
        return
    features, generator = ClassifierFeatures(classifier_folder, threads), Generator(generator_folder, threads)
    made = (photo for batch in data.val.sketch_batches() for photo in from_batch(generator.generate(batch)))
    photos = features.of(data.val.photo_pictures())
    run.metric("val/frechet_classifier", frechet_distance(features.of(made), photos))
    run.metric("val/frechet_classifier_of_photos", frechet_distance(features.of(data.train.photo_pictures()), photos))


if __name__ == "__main__":
    sys.exit(run_stage(main, __doc__))
