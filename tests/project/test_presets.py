"""Every preset fits params.yaml, follows any other, and trains a step on a small set of its form."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from croquis.catalog.table import Catalog
from croquis.cli import main
from croquis.cli.commands import preset
from croquis.nets.encoder import load_encoder
from croquis.params import Params, load_params
from croquis.params.loader import parse_params, read_yaml
from croquis.params.write_back import write_back
from croquis.plugins import METHODS, SOURCES
from lightning_modules.attributes.classifier_module import AttributeClassifierModule
from lightning_modules.embedder import assembly
from lightning_modules.sketch_gan.gan_module import PairData, SketchGan, load_pairs
from lightning_modules.training.numerics import prepare_torch
from stages import ingest, sketch, train_classifier, validate
from tests.support.sources.attributes_files import write_attributes
from tests.support.sources.c2s_files import write_c2s
from tests.support.sources.cifar_files import write_cifar10
from tests.support.sources.deepfashion2_files import write_deepfashion2
from tests.support.sources.idx_files import write_idx
from tests.support.sources.inshop_files import write_inshop
from tests.support.stage_runs import write_method_facts

ROOT = Path.cwd()
PRESETS = sorted(preset.preset_files(ROOT))
OWN_SETS = ("rendered", "folder", "idx", "parquet")  # a person's own data, of which no preset can know
SHIPPED = preset.flat(read_yaml("params.yaml"))
SETTINGS = {name: preset.read_preset(name, ROOT) for name in PRESETS}
Set = Callable[[Path, pytest.MonkeyPatch], Path]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_names_only_keys_of_params_and_the_schema_takes_it(name: str):
    assert not set(SETTINGS[name]) - set(SHIPPED)
    parse_params(nested(SHIPPED | SETTINGS[name]), methods=True)


def nested(settings: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in settings.items():
        *blocks, last = key.split(".")
        target = values
        for block in blocks:
            target = target.setdefault(block, {})
        target[last] = value
    return values


def test_every_source_but_a_persons_own_has_a_preset():
    covered = {settings["ingest.source"] for settings in SETTINGS.values()}
    assert covered == set(SOURCES.built_in) - set(OWN_SETS)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_says_what_it_is_and_leaves_the_place_of_the_files_alone(name: str):
    assert len(preset.headline(ROOT / f"presets/{name}.yaml")) > 20
    assert not [key for key in SETTINGS[name] if key.endswith((".root", ".download"))]


def test_what_a_preset_leads_to_does_not_depend_on_the_one_before():
    for before, name in permutations(PRESETS, 2):
        alone, after = SHIPPED | SETTINGS[name], SHIPPED | SETTINGS[before] | SETTINGS[name]
        differing = {key for key in alone if alone[key] != after[key]}
        assert not {key for key in differing if matters(key, alone)}, f"{name} after {before}"


def matters(key: str, settings: dict[str, Any]) -> bool:
    """Whether a pipeline with these settings reads the key."""
    block, *rest = key.split(".")
    source = settings["ingest.source"]
    if block == "ingest":
        return rest[0] in ("source", "shard_rows", source)
    if block == "train_classifier":
        return source not in preset.WITHOUT_ATTRIBUTES
    return block not in {"image2vec", "siamese", "triplet_gan", "sgh", "dhd", "gpq", "spq"} - set(
        settings["retrievers"]
    )


def labelled_noise(count: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Random pictures, so that no two are alike, and ten labels in turn."""
    return np.random.default_rng(count).integers(0, 256, (count, *shape), dtype=np.uint8), np.arange(count) % 10


def cifar10(root: Path, patch: pytest.MonkeyPatch) -> Path:
    return write_cifar10(root, *labelled_noise(600, (3072,)), patch)


def fashion_mnist(root: Path, _: pytest.MonkeyPatch) -> Path:
    for part, count in (("train", 80), ("t10k", 20)):
        pictures, labels = labelled_noise(count, (28, 28))
        write_idx(root / f"FashionMNIST/raw/{part}-images-idx3-ubyte", pictures)
        write_idx(root / f"FashionMNIST/raw/{part}-labels-idx1-ubyte", labels.astype(np.uint8))
    return root


SETS: dict[str, Set] = {
    "cifar10": cifar10,
    "deepfashion2": lambda root, _: write_deepfashion2(root, train_pairs=16, test_pairs=4),
    "deepfashion_attributes": lambda root, _: write_attributes(root),
    "deepfashion_c2s": lambda root, _: write_c2s(root, train_items=8, val_items=4, test_items=4),
    "deepfashion_inshop": lambda root, _: write_inshop(root, train_items=20),
    "fashion_mnist": fashion_mnist,
}
METHOD = {
    "cifar10_a": "gpq",
    "cifar10_c": "spq",
    "deepfashion2": "triplet_gan",
    "deepfashion_attributes": "image2vec",
    "deepfashion_c2s": "siamese",
    "deepfashion_inshop": "siamese",
    "fashion_mnist": "dhd",
}
"""The method of each preset's reference system."""
BATCHES = {
    "gpq": {"items_per_batch": 2, "images_per_item": 4, "unlabelled_per_batch": 4},
    "spq": {"batch_size": 8},
    "dhd": {"batch_size": 8},
    "image2vec": {"batch_size": 8},
    "siamese": {"items_per_batch": 3, "images_per_item": 2, "accumulate": 1},
    "triplet_gan": {"items_per_batch": 3, "images_per_item": 2, "decoder_channels": 4, "discriminator_channels": 4},
}
TINY: dict[str, Any] = {
    "base.image_size": 32,
    "base.threads": 1,
    "base.accelerator": "cpu",
    "train_embedder.backbone.weights": "none",
    "train_classifier.backbone.weights": "none",
    "triplet_gan.perceptual_weights": "none",
    "triplet_gan.perceptual_net": "torchvision/squeezenet1_1",
    "sketch.size": 32,
    "train_gan.size": 32,
    "train_gan.depth": 5,
}


@pytest.fixture(params=PRESETS)
def prepared(
    no_data_docs: None,  # noqa: ARG001
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[str, Path, Params]:
    """A project whose params.yaml is the shipped one with the preset, made small, and its validated catalogue."""
    name = str(request.param)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    shutil.copy("params.yaml", tmp_path)
    shutil.copytree("presets", tmp_path / "presets")
    assert main(["preset", name], tmp_path) == 0
    params = load_params(tmp_path / "params.yaml", methods=True)
    assert METHOD[name] in params.retrievers
    source = params.ingest.source
    files = SETS[source](tmp_path / "files", monkeypatch)
    small = {f"{method}.{key}": value for method, block in BATCHES.items() for key, value in block.items()}
    write_back(tmp_path / "params.yaml", {**TINY, **small, f"ingest.{source}.root": str(files)}, write=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the fixtures' planted quirks, which the sources' own tests look at
        ingest.main(tmp_path)
    validate.main(tmp_path)
    return name, tmp_path, load_params(tmp_path / "params.yaml", methods=True)


@pytest.mark.slow
def test_a_preset_trains_a_step_of_its_reference_system_and_exports_it(prepared: tuple[str, Path, Params]):
    name, root, params = prepared
    prepare_torch(params.base.seed, 1)
    module = assembly.make_module(METHODS.entry(METHOD[name]), params, root)
    data = module.data
    data.use_sampler(module.sampler(params.base.seed))
    one_step(module, data, module.net.backbone)
    (root / "exported").mkdir()
    assembly.export(module.net, params.base.image_size, root / "exported")
    encoder = load_encoder(root / "exported", 1)
    vectors = encoder.encode(np.random.default_rng(0).random((2, 3, encoder.size, encoder.size), dtype=np.float32))
    assert vectors.shape == (2, encoder.dim)
    assert np.isfinite(vectors).all()
    if name == "deepfashion_inshop":
        classifier_step(root, params)
    if name == "deepfashion_attributes":
        sketch_gan_step(root, params)


def classifier_step(root: Path, params: Params) -> None:
    data = train_classifier.load_data(params, Catalog.open(root / "data/catalog"))
    module = AttributeClassifierModule(params.train_classifier, data)
    assert [layer.out_features for layer in module.head if hasattr(layer, "out_features")] == [
        4096,
        4096,
        len(data.layout.names),
    ]
    one_step(module, data, module.backbone)


def sketch_gan_step(root: Path, params: Params) -> None:
    write_method_facts(root)
    sketch.main(root)
    sketches, catalog = Catalog.open(root / "data/sketches"), Catalog.open(root / "data/catalog")
    own = params.train_gan
    train, val = (load_pairs(sketches, catalog, split, own.size) for split in ("train", "val"))
    assert own.batch_size == 1
    module = SketchGan(own, PairData(train, val, own.batch_size, params.base.seed))
    one_step(module, PairData(train, val, own.batch_size, params.base.seed), module.generator)


def one_step(module: pl.LightningModule, data: pl.LightningDataModule, net: torch.nn.Module) -> None:
    """A batch through the optimiser that the module configures: the net's weights move and stay finite."""
    before = [parameter.detach().clone() for parameter in net.parameters()]
    pl.Trainer(
        max_epochs=1,
        limit_train_batches=1,
        limit_val_batches=0,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(module, data)
    after = [parameter.detach() for parameter in net.parameters()]
    assert all(torch.isfinite(parameter).all() for parameter in after)
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
