"""The catalogue of coloured shapes with its drawings, and params for tiny nets."""

from __future__ import annotations

from pathlib import Path

import pytest

from croquis.catalog.drawings import drawing_id
from croquis.catalog.table import Catalog, CatalogWriter
from croquis.params import Params
from croquis.params.loader import parse_params, read_yaml
from lightning_modules.data.retrieval_data import RetrievalData
from tests.support.catalogues.shape_catalogue import SIZE, outline, rows


@pytest.fixture(scope="session")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    folder: Path = tmp_path_factory.mktemp("shapes") / "catalog"
    with CatalogWriter(folder, shard_rows=10) as writer:
        writer.write_all(rows())
    return Catalog.open(folder)


@pytest.fixture(scope="session")
def params() -> Params:
    """The shipped params with tiny nets and few epochs."""
    values = read_yaml("params.yaml")
    values["base"] |= {"image_size": SIZE, "threads": 1, "accelerator": "cpu", "precision": "32-true"}
    values["train_embedder"]["backbone"]["width"] = 8
    values["train_embedder"]["contact_sheet_every"] = 2
    values["train_classifier"]["backbone"]["width"] = 8
    values["train_classifier"] |= {"batch_size": 8, "min_positives": 2}
    values["image2vec"]["batch_size"] = 8
    for block in ("siamese", "joint"):
        values[block] |= {"embedding_dim": 16, "items_per_batch": 4, "images_per_item": 4}
    values["triplet_gan"] |= {
        "embedding_dim": 16,
        "items_per_batch": 4,
        "images_per_item": 4,
        "unlabelled_per_batch": 4,
    }
    values["triplet_gan"] |= {"reconstruction_weight": 0.1, "perceptual_weight": 0.1, "adversarial_weight": 0.01}
    values["triplet_gan"] |= {"decoder_channels": 8, "discriminator_channels": 8, "discriminator_layers": 2}
    values["train_gan"] |= {"size": 32, "depth": 5, "generator_channels": 8, "discriminator_channels": 8}
    values["sgh"] |= {"bits": 32, "items_per_batch": 4, "images_per_item": 4}
    values["dhd"] |= {"bits": 32, "batch_size": 8}
    values["gpq"] |= {"subspaces": 8, "subspace_dim": 6, "items_per_batch": 4, "images_per_item": 4}
    values["gpq"]["unlabelled_per_batch"] = 6
    values["spq"] |= {"subspaces": 4, "subspace_dim": 6, "batch_size": 8}
    for block in ("gpq", "spq"):
        values[block]["fit"] |= {"epochs": 3, "warmup_epochs": 0, "patience": 10, "validate_every": 1}
    for block in ("image2vec", "siamese", "joint", "triplet_gan", "sgh", "dhd", "train_classifier"):
        values[block]["fit"] |= {"epochs": 3, "warmup_epochs": 0, "patience": 10, "validate_every": 1}
    values["train_gan"] |= {"epochs": 3, "validate_every": 1, "batch_size": 8, "contact_sheet_every": 2}
    return parse_params(values, methods=True)


@pytest.fixture(scope="session")
def sketches(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Two drawings of each train photo from the shop, one of each val photo, and one that asks of each val and test item."""
    folder: Path = tmp_path_factory.mktemp("drawings") / "sketches"
    with CatalogWriter(folder, shard_rows=10) as writer:
        for row in rows():
            item, number = int(row["item_id"].split("-")[1]), row["image_id"][-1]
            if row["domain"] == "shop" and row["split"] != "test":
                for drawing in range(2 if row["split"] == "train" else 1):
                    role = "train" if row["split"] == "train" else "gallery"
                    own = {"image_id": drawing_id(row["image_id"], drawing), "domain": "sketch", "role": role}
                    writer.write({**row, **own, "image": outline(item, drawing)})
            if row["domain"] == "shop" and row["split"] != "train" and number == "0":
                own = {"image_id": f"{row['item_id']}/flat", "domain": "sketch", "role": "query"}
                writer.write({**row, **own, "image": outline(item, 9)})
    return Catalog.open(folder)


@pytest.fixture
def data(catalog: Catalog) -> RetrievalData:
    return RetrievalData.from_catalog(catalog, ["shop", "consumer"], SIZE)
