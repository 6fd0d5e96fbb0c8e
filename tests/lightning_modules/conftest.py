"""A catalogue of coloured shapes, small enough to train on in seconds."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from croquis.catalog.drawings import drawing_id
from croquis.catalog.table import Catalog, CatalogWriter
from croquis.params import Params
from croquis.params.loader import parse_params, read_yaml
from lightning_modules.data.retrieval_data import RetrievalData

SIZE = 32
ITEMS_PER_SPLIT = {"train": 8, "val": 4, "test": 4}


def draw(item: int, domain: str, view: int) -> bytes:
    """A filled circle or square in the item's colour; consumer photos are darker and shifted."""
    generator = np.random.default_rng([item, domain == "shop", view])
    image = np.full((SIZE, SIZE, 3), 255 if domain == "shop" else 120, np.uint8)
    colour = [int(c) for c in np.random.default_rng(item).integers(0, 255, 3)]
    x, y = 16 + generator.integers(-4, 5, 2)
    if item % 2:
        cv2.circle(image, (int(x), int(y)), 9, colour, -1)
    else:
        cv2.rectangle(image, (int(x) - 8, int(y) - 8), (int(x) + 8, int(y) + 8), colour, -1)
    return cv2.imencode(".png", image)[1].tobytes()


def rows() -> list[dict]:
    found, item = [], 0
    for split, count in ITEMS_PER_SPLIT.items():
        for _ in range(count):
            for domain in ("shop", "consumer"):
                for view in range(2):
                    role = "train" if split == "train" else ("gallery" if domain == "shop" else "query")
                    found.append(
                        {
                            "image_id": f"item-{item}/{domain}-{view}",
                            "item_id": f"item-{item}",
                            "domain": domain,
                            "split": split,
                            "role": role,
                            "category": "round" if item % 2 else "square",
                            "attributes": ["shape:round"] if item % 2 else ["shape:square"],
                            "image": draw(item, domain, view),
                        }
                    )
            item += 1
    return found


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


def outline(item: int, number: int) -> bytes:
    """The item's shape as a line on white paper."""
    sheet = np.full((SIZE, SIZE, 3), 255, np.uint8)
    x, y = (16 + np.random.default_rng([item, number]).integers(-4, 5, 2)).tolist()
    if item % 2:
        cv2.circle(sheet, (x, y), 9, (0, 0, 0), 1)
    else:
        cv2.rectangle(sheet, (x - 8, y - 8), (x + 8, y + 8), (0, 0, 0), 1)
    return cv2.imencode(".png", sheet)[1].tobytes()


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
