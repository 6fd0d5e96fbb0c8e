"""pretrained: weights, pooled levels and a map, from the catalogue to an encoder, in the stage that makes all retrievers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from croquis.catalog.table import Catalog
from croquis.files import read_json
from croquis.nets.encoder import load_encoder
from croquis.params import Params
from croquis.params.loader import ParamsError, parse_params, read_yaml
from lightning_modules.data.retrieval_data import RetrievalData
from lightning_modules.embedder import assembly
from lightning_modules.methods import pretrained
from lightning_modules.nets.backbones import build_backbone
from lightning_modules.nets.pooling import COLOUR_NUMBERS
from lightning_modules.training.map_choice import encoded, score
from lightning_modules.training.numerics import prepare_torch
from stages import train_embedder
from tests.support.stage_runs import FakeRun

RECIPE = {"levels": "all", "kind": "average", "normalise": True, "histogram": 0.5, "flip": False}


@pytest.fixture
def with_weights(params: Params, tmp_path: Path) -> Params:
    """The recipe on weights that are a file."""
    shared, file = params.train_embedder, tmp_path / "weights.pt"
    prepare_torch(1, 1)
    torch.save(build_backbone(shared.backbone).features.state_dict(), file)
    pooling = shared.backbone.pooling.model_copy(update=RECIPE)
    backbone = shared.backbone.model_copy(update={"weights": str(file), "pooling": pooling})
    return params.model_copy(update={"train_embedder": shared.model_copy(update={"backbone": backbone})})


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["none", "pca", "best"])
def test_the_stage_writes_levels_histogram_and_map(
    with_weights: Params, catalog: Catalog, data: RetrievalData, tmp_path: Path, kind: str
):
    shutil.copytree(catalog.folder, tmp_path / "data/catalog")
    own = with_weights.model_copy(update={"pretrained": with_weights.pretrained.model_copy(update={"map": kind})})
    target, run = tmp_path / "models/pretrained", FakeRun(tmp_path / "artifacts", {})
    target.mkdir(parents=True)
    train_embedder.produce(pretrained.METHOD, own, "pretrained", tmp_path, target, run)
    net = pretrained.fixed_net(own)
    assert net.dim == sum(net.backbone.level_channels) + COLOUR_NUMBERS
    described, kept = read_json(target / "encoder.json"), run.metrics.get("map/kept", 0.0)
    assert described.get("map") == ("map.npy" if kept else None)
    assert (described["dim"] == net.dim) == (kept == 0)
    found = score(encoded(load_encoder(target), data.val.images), data)
    if kind == "none":
        assert run.metrics == {}
    else:
        assert found == pytest.approx(max(run.metrics["map/val_with"], run.metrics["map/val_without"]))


def test_a_map_of_its_own_takes_the_place_of_the_shared_one(params: Params):
    shared = params.train_embedder
    off = shared.model_copy(update={"map": shared.map.model_copy(update={"kind": "none"})})
    own = params.model_copy(update={"train_embedder": off})
    assert assembly.map_block(own, "pretrained").kind == "best"
    assert assembly.map_block(own, "siamese").kind == "none"


def test_it_is_refused_without_weights(params: Params):
    values = read_yaml("params.yaml")
    values["retrievers"].append("pretrained")
    said = "backbone.weights is none: name weights there, or take pretrained out of retrievers"
    with pytest.raises(ParamsError, match=said):
        parse_params(values, methods=True)
    with pytest.raises(ValueError, match=said):
        pretrained.fixed_net(params)


def test_it_stands_in_retrievers_with_weights(tmp_path: Path):
    values = read_yaml("params.yaml")
    values["retrievers"].append("pretrained")
    values["train_embedder"]["backbone"]["weights"] = str(tmp_path / "weights.pt")
    assert parse_params(values, methods=True).retrievers[-1] == "pretrained"
