"""`croquis index --refit`: net and map of a project's bundle learn from all labels, and nothing else changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from croquis.bundle import Bundle
from croquis.bundle.manifest import RefitBlock
from croquis.catalog.images import encode_png
from croquis.catalog.table import Catalog, CatalogWriter
from croquis.cli import main
from croquis.files import read_json, write_array, write_bytes, write_json
from croquis.index.build import build_index
from croquis.index.kinds import INDEX_KINDS, Flat, Hnsw, Ivf, IvfPq
from croquis.nets.encoder import describe_fixed, load_encoder
from croquis.params import load_params
from croquis.params.loader import read_yaml
from croquis.plugins import METHODS
from croquis.projects import refitting
from croquis.projects.given_nets import GivenNets, given_nets
from croquis.projects.photo_search import index_photos
from croquis.projects.refitting import refitted
from croquis.projects.search_rows import find_photos_at
from croquis.refusals import RefusedError
from croquis.tracking.record import RunRecord, flatten
from lightning_modules.data.retrieval_data import RetrievalData, load_images
from lightning_modules.embedder.assembly import export, make_module, settings
from lightning_modules.embedder.refit import refit_in
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


@pytest.mark.slow
def test_the_map_learns_from_all_labels_and_a_changed_project_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = project / "models/histogram"
    params = load_params("params.yaml", methods=["histogram"])
    write_json(folder / "encoder.json", describe_fixed(METHODS.entry("histogram").fixed_encoder(params)))
    found, every = chosen_map(project)
    write_array(folder / "map.npy", found.linear.matrix)
    stated = read_json(folder / "encoder.json")
    write_array(folder / "straight.npy", np.ones_like(found.linear.matrix))
    maps = {"map": "map.npy", "straight": "straight.npy"}
    write_json(folder / "encoder.json", stated | maps | {"dim": found.linear.dim, "metric": "cosine"})
    photos = find_photos_at(project / "data/catalog", None)
    index_photos(photos, GivenNets("histogram", folder), project / "trained", project, lambda rows: rows)
    asked = ["index", "data/catalog", "--encoder", "trained", "--refit"]
    assert main([*asked, "--to", "shop"]) == 0
    assert "fitted on the 88 labelled photos of all splits; figures are those of trained" in capsys.readouterr().out
    before, after = Bundle.load("trained").manifest, Bundle.load("shop").manifest
    assert after.to_json()["refit"] == {"photos": 88}
    assert before.refit is None
    assert "refit" not in before.to_json()
    assert before.files.keys() - after.files.keys() == {"straight.npy"}  # it led into the space of the map that was
    changed = {name for name in after.files if before.files[name] != after.files[name]}
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
        ("trained", "data/catalog", "has another net than .*siamese: name the project's own bundle"),
        ("lines", "data/catalog", "sketch_map learns from pairs of drawings and photos, and is not fitted again"),
        ("mapless", "data/catalog", "has no map, so nothing of it is fitted on labels"),
    ],
)
def test_what_cannot_be_fitted_again_is_refused_before_anything_is_looked_at(
    encoder: str, place: str, told: str, tmp_path: Path
) -> None:
    write_catalogue(tmp_path / "data/catalog")
    (tmp_path / "params.yaml").write_text("{}")
    bundles = {"trained": "siamese", "mapless": "untrained", "lines": "sketch_map"}
    if encoder in bundles:
        encoder = str(write_tiny_bundle(tmp_path / encoder, method=bundles[encoder]))
    nets = given_nets(encoder, tmp_path / "scratch")
    with pytest.raises(RefusedError, match=told):
        refitted(nets, tmp_path / place, tmp_path / "scratch")


def test_a_project_with_another_draft_is_refused(tmp_path: Path) -> None:
    write_catalogue(tmp_path / "data/catalog")
    values = read_yaml(REPOSITORY / "params.yaml")
    values["prepare"]["draft"] = 112
    write_json(tmp_path / "params.yaml", values)
    bundle = write_tiny_bundle(tmp_path / "trained")
    write_bytes(tmp_path / "models/siamese/encoder.onnx", (bundle / "encoder.onnx").read_bytes())
    nets = given_nets(str(bundle), tmp_path / "scratch")
    with pytest.raises(RefusedError, match=r"was made with prepare.draft: 0, and params.yaml has 112: set it back"):
        refitted(nets, tmp_path / "data/catalog", tmp_path / "scratch")


def in_this_process(arguments: Sequence[str], *_: object, **__: object) -> None:
    """In the place of `run_python`: without the seconds that a process of its own takes."""
    root, name, folder, key = arguments[2:]
    refit_in(Path(root), name, Path(folder), key)


@pytest.mark.slow
@pytest.mark.parametrize("mapped", [False, True])
def test_a_net_is_trained_again_and_the_bundle_says_so_through_later_changes(
    mapped: bool,
    shapes_world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(refitting, "run_python", in_this_process)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(shapes_world / "data")
    values = read_yaml(shapes_world / "params.yaml")
    values["shop"]["refit"] = True
    values["train_embedder"]["map"] |= {"dims": [4], "shrinkages": [0.1]}
    write_json(tmp_path / "params.yaml", values)
    params, folder = load_params("params.yaml", methods=["siamese"]), tmp_path / "models/siamese"
    folder.mkdir(parents=True)
    module = make_module(METHODS.entry("siamese"), params, tmp_path)
    export(module.net, params.base.image_size, folder)
    if mapped:
        train, val = (encoded(load_encoder(folder), each.images) for each in (module.data.train, module.data.val))
        linear = best_map(train, val, module.data, params.train_embedder.map).linear
        write_array(folder / "map.npy", linear.matrix)
        stated = read_json(folder / "encoder.json")
        write_json(folder / "encoder.json", stated | {"map": "map.npy", "dim": linear.dim, "metric": "cosine"})
    curve = {"val/score": [(0, 0.5)]}
    RunRecord(flatten(settings(params, "siamese")), curve, {}).write(tmp_path / "reports/runs/train_embedder-siamese")
    photos = find_photos_at(tmp_path / "data/catalog", None)
    index_photos(photos, GivenNets("siamese", folder), tmp_path / "trained", tmp_path, lambda rows: rows)
    asked = ["index", "data/catalog", "--encoder", "trained", "--to"]
    assert main([*asked, "plain", "--no-refit"]) == 0
    assert main([*asked, "shop"]) == 0
    assert "trained for 1 epoch on the 64 labelled photos of all splits" in capsys.readouterr().out
    trained, plain, shop = (Bundle.load(name) for name in ("trained", "plain", "shop"))
    assert trained.manifest.files == plain.manifest.files
    assert plain.manifest.refit is None
    assert shop.manifest.refit == RefitBlock(64, 1)
    changed = {name for name, entry in plain.manifest.files.items() if shop.manifest.files[name] != entry}
    assert changed == {"encoder.onnx", "index.faiss", *(["map.npy"] if mapped else [])}
    assert (shop.index.kind, shop.index.dim, shop.index.metric) == (plain.index.kind, plain.index.dim, "cosine")
    assert main(["remove", "shop", "item-3"]) == 0
    assert Bundle.load("shop").manifest.refit == RefitBlock(64, 1)


SETTINGS = {
    "flat": Flat(),
    "hnsw": Hnsw(hnsw_links=4, hnsw_ef_search=9),
    "ivfpq": IvfPq(ivf_lists=2, ivf_probes=1, pq_subspaces=2, pq_bits=4),
    "ivf": Ivf(ivf_lists=2, ivf_probes=1),
}


@pytest.mark.parametrize(("head", "kind"), [(kind.head, kind.name) for kind in INDEX_KINDS])
def test_the_index_of_a_refitted_encoder_is_built_anew_with_the_old_settings(
    head: str, kind: str, tmp_path: Path
) -> None:
    """Lists and codebooks that were learned on vectors of the old encoder say nothing of the new one's."""
    old, new = np.random.default_rng(0).normal(size=(2, 40, 8)).astype(np.float32)
    books = np.random.default_rng(1).normal(size=(2, 2, 16, 4)).astype(np.float32)
    write_array(tmp_path / "codebooks.npy", books[1])
    given = {"metric": {"dense": "cosine", "binary": "hamming", "pq": "l2"}[head], "head": head}
    given |= {} if head == "dense" else {"comparison": "symmetric"}
    first, second = (
        build_index(vectors, SETTINGS[kind], **given, codebooks=book if head == "pq" else None)
        for vectors, book in zip((old, new), books, strict=True)
    )
    nets = GivenNets("any", tmp_path, SimpleNamespace(index=first), RefitBlock(40))
    vars(nets)["encoder"] = SimpleNamespace(dim=8)
    for name, index in (("built", nets.index(new)), ("expected", second)):
        index.save(tmp_path / name)
    assert (tmp_path / "built").read_bytes() == (tmp_path / "expected").read_bytes()
    assert nets.index(new).comparison == second.comparison
