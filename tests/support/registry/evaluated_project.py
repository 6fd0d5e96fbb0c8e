"""A small project with two evaluated retrievers, as it stands when the stage `register` begins."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from ruamel.yaml import YAML

from croquis.bundle import Bundle, write_bundle
from croquis.bundle.gallery_file import GALLERY_SCHEMA
from croquis.catalog.images import decode_image, encode_jpeg, prepare_image, to_batch
from croquis.catalog.table import Catalog
from croquis.files import read_json, write_json
from croquis.index.build import build_index
from croquis.nets.encoder import describe_fixed
from croquis.nets.histogram_encoder import HistogramEncoder
from croquis.params import load_params
from croquis.registry.pipeline_run import PIPELINE
from croquis.registry.registration import REPORT
from croquis.registry.registry import Registry
from croquis.search.local_retriever import LocalRetriever
from croquis.serving.mlflow_model import packaging
from croquis.tracking.mlflow_mirror import STAGE_TAG
from croquis.tracking.stage_code import CODE
from croquis.tracking.tracking_store import STAGE_EXPERIMENT, open_store
from stages import register
from stages.evaluate import measure, write_reports
from tests.support.catalogues import blob_catalogue as world
from tests.support.environment import REPOSITORY, clear_environment
from tests.support.made_once import made_once

MODEL = "test-retriever"
# Both are histograms: what matters here is that one is better than the other.
SEES_LITTLE = HistogramEncoder(colour_bins=2, orientation_bins=9, grid=2, colour_weight=0.0, size=world.SIZE)
SEES_COLOURS = HistogramEncoder(colour_bins=6, orientation_bins=9, grid=4, colour_weight=0.5, size=world.SIZE)


def write_project(root: Path, encoders: dict[str, HistogramEncoder], **register: Any) -> None:
    """Catalogue, bundles, evaluations, params.yaml and pyproject.toml; `register` changes params of that block."""
    catalog = world.write_catalogue(root)
    shutil.copyfile(REPOSITORY / "pyproject.toml", root / "pyproject.toml")
    write_params(root, list(encoders), **register)
    for method, encoder in encoders.items():
        write_method(root, catalog, method, encoder)


def write_params(root: Path, methods: list[str], **register: Any) -> None:
    yaml = YAML()
    values = yaml.load((REPOSITORY / "params.yaml").read_text())
    values["retrievers"] = methods
    values["base"] |= {"image_size": world.SIZE, "threads": 1}
    values["evaluate"] |= {"depth": 60, "bootstrap": 50, "chunk": 16}
    values["rerank"] |= {"enabled": False, "depth": 60}
    # Six items prove little: a low confidence lets what may be chance become champion.
    mild = {"floor": 0.0, "max_latency_ratio": 1000.0, "confidence": 0.51, "select_by": "shop->shop/map@r"}
    values["register"] |= {"model_name": MODEL, **mild, **register}
    with (root / "params.yaml").open("w") as stream:
        yaml.dump(values, stream)
    facts = {method: {"learns": method != "histogram", "learns_from_drawings": False} for method in methods}
    write_json(root / CODE / "methods.json", facts)


def write_method(root: Path, catalog: Catalog, method: str, encoder: HistogramEncoder) -> Bundle:
    """models/METHOD, its bundle, and its evaluation."""
    write_json(root / f"models/{method}/encoder.json", describe_fixed(encoder))
    rows = sorted(
        catalog.rows(catalog.select(domain="shop", role=["gallery", "train"])), key=lambda row: row["image_id"]
    )
    images = [decode_image(row["image"]) for row in rows]
    extra = [{"predicted_attributes": [], "thumbnail": encode_jpeg(image)} for image in images]
    table = [
        {name: row[name] for name in GALLERY_SCHEMA.names if name in row} | more
        for row, more in zip(rows, extra, strict=True)
    ]
    bundle = write_bundle(
        root / "models/bundles" / method,
        method=method,
        encoder_folder=root / "models" / method,
        generator_folder=None,
        classifier_folder=None,
        index=build_index(encoder.encode(to_batch([prepare_image(i, world.SIZE) for i in images])), metric="cosine"),
        gallery_table=pa.Table.from_pylist(table, schema=GALLERY_SCHEMA),
        rerank=world.RERANK,
        image_size=world.SIZE,
    )
    evaluate(root, method)
    return bundle


def evaluate(root: Path, method: str) -> None:
    retriever = LocalRetriever.load(root / "models/bundles" / method)
    results = measure(retriever, load_params(root / "params.yaml"), root)
    summaries = {split: result.summary() for split, result in results.items()}
    head = {"method": method, "bundle": retriever.bundle.hash}
    write_reports(root / "reports", head, results, summaries)


class Project:
    """The project folder, with what its registry and tracker hold."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def registry(self) -> Registry:
        return Registry(open_store(self.root), MODEL)

    @property
    def report(self) -> dict[str, Any]:
        return read_json(self.root / REPORT)  # type: ignore[no-any-return]

    def pipeline_runs(self) -> list[Any]:
        store = open_store(self.root)
        wanted = f"tags.`{STAGE_TAG}` = '{PIPELINE}'"
        return list(store.client.search_runs([store.experiment(STAGE_EXPERIMENT)], wanted))

    def offer(self, encoder: HistogramEncoder, **params: Any) -> None:
        """Puts another retriever in the place of the method `siamese`."""
        write_params(self.root, ["siamese"], **params)
        write_method(self.root, Catalog.open(self.root / "data/catalog"), "siamese", encoder)

    def offer_a_challenger(self) -> None:
        """Registers a better retriever."""
        self.offer(SEES_COLOURS, max_category_drop=1.0, max_mode_drop=1.0)
        register.main(self.root)


def empty_project(factory: pytest.TempPathFactory) -> Path:
    """A project before its first registration, with an empty store; made once, so copy it."""

    def make(root: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            clear_environment(patch)
            write_project(root, {"histogram": SEES_LITTLE, "siamese": SEES_COLOURS})
            open_store(root)

    return made_once(factory, "registry-world-empty", make)


def begun_project(factory: pytest.TempPathFactory) -> Path:
    """The same with a first champion, the retriever that sees little; made once, so copy it."""

    def make(root: Path) -> None:
        shutil.copytree(empty_project(factory), root, dirs_exist_ok=True)
        Project(root).offer(SEES_LITTLE)
        with pytest.MonkeyPatch.context() as patch:
            clear_environment(patch)
            patch.chdir(root)
            register.main(root)

    return made_once(factory, "registry-world-begun", make)


def copied(source: Path, target: Path, patch: pytest.MonkeyPatch, *, with_code: bool = False) -> Project:
    """A copy of a project, which becomes the current folder.

    Args:
        with_code: whether what is registered holds the project's code, of hundreds of files, and not one file in its place.
    """
    clear_environment(patch)
    if not with_code:
        (target / "no-code" / packaging.PACKAGE).mkdir(parents=True)
        (target / "no-code" / packaging.PACKAGE / "about.txt").write_text("what is registered here is not run")
        patch.setattr(packaging, "PROJECT", target / "no-code")
    shutil.copytree(source, target / "project")
    patch.chdir(target / "project")
    return Project(target / "project")
