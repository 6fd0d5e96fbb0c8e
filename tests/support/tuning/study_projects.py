"""Projects to run studies in: a bundle that can be re-ranked, and a catalogue of shapes to train on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, helper
from ruamel.yaml import YAML

from croquis.bundle import write_bundle
from croquis.catalog.images import decode_image, prepare_image, to_batch
from croquis.catalog.table import Catalog, CatalogWriter
from croquis.files import write_json
from croquis.index.build import build_index
from croquis.nets.classifier import AttributeClassifier
from croquis.tracking.tracking_store import open_store
from tests.support.catalogues import blob_catalogue as world
from tests.support.catalogues import shape_catalogue
from tests.support.environment import clear_environment

CELLS = 12  # attributes of the test classifier: 2 x 2 cells of each channel


def write_params(root: Path, **changes: Any) -> Path:
    """The shipped params.yaml with its comments; `block__key=value` changes it."""
    yaml = YAML()
    yaml.width = 4096
    values = yaml.load(Path("params.yaml").read_text())
    for name, value in changes.items():
        *blocks, key = name.split("__")
        target = values
        for block in blocks:
            target = target[block]
        target[key] = value
    with (root / "params.yaml").open("w") as stream:
        yaml.dump(values, stream)
    return root / "params.yaml"


def write_classifier(folder: Path) -> Path:
    """probabilities = the mean of each channel in each of 2 x 2 cells, seen as 12 attributes."""
    folder.mkdir(parents=True, exist_ok=True)
    half = world.SIZE // 2
    nodes = [
        helper.make_node("AveragePool", ["images"], ["pooled"], kernel_shape=[half, half], strides=[half, half]),
        helper.make_node("Flatten", ["pooled"], ["probabilities"]),
    ]
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, world.SIZE, world.SIZE])]
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", CELLS])]
    graph = helper.make_graph(nodes, "test", inputs, outputs)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9),
        str(folder / "classifier.onnx"),
    )
    names = [f"cell:{number}" for number in range(CELLS)]
    described = {
        "file": "classifier.onnx",
        "size": world.SIZE,
        "attributes": names,
        "thresholds": [0.82] * CELLS,
        "exclusive": [],
    }
    write_json(folder / "classifier.json", described)
    return folder


def write_reranked_bundle(root: Path, catalog: Catalog, name: str = "histogram", **rerank: Any) -> Path:
    """The histogram bundle of the evaluation tests, with a classifier and what it says of the gallery."""
    plain = world.write_histogram_bundle(root, catalog)
    classifier = write_classifier(root / "models/attributes")
    table = pq.read_table(plain / "gallery.parquet")
    wanted = {image_id: i for i, image_id in enumerate(table["image_id"].to_pylist())}
    listed = sorted(
        (row for row in catalog.rows(range(len(catalog))) if row["image_id"] in wanted), key=lambda row: row["image_id"]
    )
    images = [prepare_image(decode_image(row["image"]), world.SIZE, row["bbox"]) for row in listed]
    opened = AttributeClassifier(classifier)
    predicted = opened.decide(opened.probabilities(to_batch(images)))
    column = pa.array([sorted(names) for names in predicted], table.schema.field("predicted_attributes").type)
    place = table.schema.get_field_index("predicted_attributes")
    return write_bundle(
        root / "models/bundles" / name,
        method="histogram",
        encoder_folder=root / "models/histogram",
        generator_folder=None,
        classifier_folder=classifier,
        index=build_index(world.vectors_of(listed), metric="cosine"),
        gallery_table=table.set_column(place, table.schema.field(place), column),
        rerank={**world.RERANK, **rerank},
        image_size=world.SIZE,
    ).folder


def write_shapes_project(root: Path) -> Path:
    """A catalogue of coloured shapes with params for tiny nets."""
    with CatalogWriter(root / "data/catalog", shard_rows=10) as writer:
        writer.write_all(shape_catalogue.rows())
    write_params(
        root,
        base__image_size=shape_catalogue.SIZE, base__threads=1, base__accelerator="cpu",
        train_embedder__backbone__width=8,
        siamese__embedding_dim=16, siamese__items_per_batch=4, siamese__fit__epochs=9,
    )  # fmt: skip
    return root


def empty_database(root: Path) -> Path:
    """The tracking database of a project in which nothing has run."""
    with pytest.MonkeyPatch.context() as patch:
        clear_environment(patch)
        open_store(root)
    return root / "mlruns/mlflow.db"


def own_project(source: Path, database: Path, folder: Path, *shared: str) -> Path:
    """`folder` as a project with the params of `source`, a copy of the tracking database, and links to `shared` folders."""
    (folder / "mlruns").mkdir()
    shutil.copy(database, folder / "mlruns")
    for name in shared:
        (folder / name).symlink_to(source / name)
    shutil.copy(source / "params.yaml", folder)
    return folder
