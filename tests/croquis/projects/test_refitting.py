"""`croquis index --refit`: the map of a project's bundle learns from all labels, and nothing else changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from croquis.bundle import Bundle
from croquis.catalog.images import encode_png
from croquis.catalog.table import Catalog, CatalogWriter
from croquis.cli import main
from croquis.files import read_json, write_array, write_json
from croquis.nets.encoder import describe_fixed, load_encoder
from croquis.params import load_params
from croquis.params.loader import read_yaml
from croquis.plugins import METHODS
from croquis.projects.given_nets import GivenNets, given_nets
from croquis.projects.photo_search import index_photos
from croquis.projects.refitting import refitted
from croquis.projects.search_rows import find_photos_at
from croquis.refusals import RefusedError
from lightning_modules.data.retrieval_data import RetrievalData, load_images
from lightning_modules.maps.closed_form import LabelledVectors
from lightning_modules.training.map_choice import ChosenMap, best_map, encoded, fitted
from tests.support.environment import REPOSITORY
from tests.support.tiny_retriever import write_tiny_bundle

SIZE, SPLITS = 16, {"train": 12, "val": 4, "test": 6}


def write_catalogue(folder: Path) -> None:
    """Four photos of each item: one corner has its colour, and the rest is noise."""
    rng = np.random.default_rng(0)
    with CatalogWriter(folder, shard_rows=100) as writer:
        for split, items in SPLITS.items():
            for item in range(items):
                colour = rng.integers(40, 216, 3)
                for view in range(4):
                    pixels = rng.integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
                    pixels[:6, :6] = colour + rng.integers(-8, 9, 3)
                    row = {
                        "image_id": f"{split}-{item:02d}-{view}",
                        "item_id": f"{split}-{item:02d}",
                        "category": "bag",
                    }
                    role = "train" if split == "train" else ("query" if view == 0 else "gallery")
                    known = {"split": split, "role": role, "domain": "shop", "attributes": []}
                    writer.write({**row, **known, "image": encode_png(pixels)})


def chosen_map(project: Path) -> tuple[ChosenMap, LabelledVectors]:
    """As a training chooses it, and the vectors of all splits."""
    params = load_params(project / "params.yaml", methods=["histogram"])
    catalog, encoder = Catalog.open(project / "data/catalog"), load_encoder(project / "models/histogram")
    data = RetrievalData.from_catalog(catalog, ["shop"], SIZE, seed=params.base.seed, how=params.preparation)
    train, val = (encoded(encoder, each.images) for each in (data.train, data.val))
    whole = load_images(catalog, np.arange(len(catalog)), SIZE)
    every = LabelledVectors(encoded(encoder, whole.images), whole.items, np.ones(len(whole), dtype=np.bool_))
    return best_map(train, val, data, params.train_embedder.map), every


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With the bundle `trained`: the histogram and a map of train behind it."""
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.chdir(tmp_path)
    values: dict[str, Any] = read_yaml(REPOSITORY / "params.yaml")
    values["base"]["image_size"] = SIZE
    values["retrievers"] = ["histogram"]
    values["train_embedder"]["domains"] = ["shop"]
    values["train_embedder"]["map"] |= {"dims": [8], "shrinkages": [0.1]}
    write_json(tmp_path / "params.yaml", values)
    write_catalogue(tmp_path / "data/catalog")
    return tmp_path


def test_the_map_learns_from_all_labels_and_a_changed_project_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = project / "models/histogram"
    params = load_params("params.yaml", methods=["histogram"])
    write_json(folder / "encoder.json", describe_fixed(METHODS.entry("histogram").fixed_encoder(params)))
    found, every = chosen_map(project)
    write_array(folder / "map.npy", found.linear.matrix)
    stated = read_json(folder / "encoder.json")
    write_json(folder / "encoder.json", stated | {"map": "map.npy", "dim": found.linear.dim, "metric": "cosine"})
    photos = find_photos_at(project / "data/catalog", None)
    index_photos(photos, GivenNets("histogram", folder), project / "trained", project, lambda rows: rows)
    asked = ["index", "data/catalog", "--encoder", "trained", "--refit"]
    assert main([*asked, "--to", "shop"]) == 0
    assert (
        "the map is fitted on the labelled photos of all splits; figures are those of trained"
        in capsys.readouterr().out
    )
    before, after = Bundle.load("trained").manifest, Bundle.load("shop").manifest
    changed = {name for name in before.files if before.files[name] != after.files[name]}
    assert changed == {"map.npy", "index.faiss"}
    expected = fitted(every, [found.settings], found.scale)[0].matrix
    np.testing.assert_allclose(np.load("shop/map.npy"), expected, atol=1e-5)
    assert np.abs(expected - found.linear.matrix).max() > 1e-2
    values = read_yaml(project / "params.yaml")
    values["train_embedder"]["map"]["dims"] = [7]
    write_json(project / "params.yaml", values)
    assert main([*asked, "--to", "again"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[-1].endswith("is not the one that params.yaml and data/catalog give now: run `croquis repro` first")
    assert not (project / "again").exists()


@pytest.mark.parametrize(
    ("encoder", "place", "told"),
    [
        ("trained", "elsewhere", "is no PROJECT/data/catalog"),
        ("histogram", "data/catalog", "needs a trained bundle"),
        ("trained", "data/catalog", "siamese is trained, by epochs that val chose: leave --refit out"),
        ("mapless", "data/catalog", "has no map, so nothing of it is fitted on labels"),
    ],
)
def test_what_cannot_be_fitted_again_is_refused_before_anything_is_looked_at(
    encoder: str, place: str, told: str, tmp_path: Path
) -> None:
    write_catalogue(tmp_path / "data/catalog")
    (tmp_path / "params.yaml").write_text("{}")
    bundles = {"trained": "siamese", "mapless": "untrained"}
    if encoder in bundles:
        encoder = str(write_tiny_bundle(tmp_path / encoder, method=bundles[encoder]))
    nets = given_nets(encoder, tmp_path / "scratch")
    with pytest.raises(RefusedError, match=told):
        refitted(nets, tmp_path / place, tmp_path / "scratch")
