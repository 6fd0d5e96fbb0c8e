"""A method trained again on all labels: whose photos, how long, by which schedule, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from croquis.catalog.table import Catalog
from croquis.files import read_json, write_array, write_json
from croquis.nets.encoder import describe_encoder, load_encoder
from croquis.nets.linear_map import LinearMap
from croquis.params import Params, load_params
from croquis.plugins import METHODS
from croquis.refusals import RefusedError
from croquis.tracking.record import RunRecord, flatten
from lightning_modules.embedder import refit as refit_module
from lightning_modules.embedder.assembly import export, load_data, make_module, settings
from lightning_modules.embedder.refit import SPLITS, refit_in
from lightning_modules.maps.closed_form import LabelledVectors
from lightning_modules.training.map_choice import best_map, encoded, fitted
from lightning_modules.training.numerics import prepare_torch
from lightning_modules.training.schedule import rate_factor
from tests.support.training.watching import Watching

EPOCHS, BEST = 5, 2  # of the schedule, and that val liked best
WATCHED = {"callbacks": [{"class_path": f"{Watching.__module__}.Watching"}]}
CURVE = [0.2, 0.6, 0.6, 0.4, 0.1]  # the first of the best counts


@pytest.fixture
def root(catalog: Catalog, sketches: Catalog, params: Params, tmp_path: Path) -> Path:
    """A project on the shapes."""
    values = params.model_dump(mode="json", by_alias=True, serialize_as_any=True)
    for name in ("siamese", "gpq", "joint"):
        values[name]["fit"] |= {"epochs": EPOCHS, "warmup_epochs": 1}
    values["train_embedder"]["map"] |= {"dims": [8], "shrinkages": [0.1]}
    values["trainer"] = WATCHED
    values["retrievers"] = ["siamese", "gpq", "joint"]
    write_json(tmp_path / "params.yaml", values)
    for name, source in (("catalog", catalog), ("sketches", sketches)):
        shutil.copytree(source.folder, tmp_path / "data" / name)
    return tmp_path


def exported(root: Path, name: str, scores: list[float] | None = None) -> Path:
    """What a bundle has of a trained net: here one that is as it starts, with a record that tells of a better one."""
    params, folder = load_params(root / "params.yaml", methods=[name]), root / "held"
    folder.mkdir()
    prepare_torch(0, 1)
    export(make_module(METHODS.entry(name), params, root).net, params.base.image_size, folder)
    curve = list(enumerate(CURVE if scores is None else scores))
    metrics = {"before_training/score": [(0, 0.15)], "val/score": curve}
    RunRecord(flatten(settings(params, name)), metrics, {}).write(root / f"reports/runs/train_embedder-{name}")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["siamese", "gpq", "joint"])
def test_all_splits_are_learned_from_as_long_as_val_chose_on_the_same_schedule(root: Path, name: str) -> None:
    folder, params = exported(root, name), load_params(root / "params.yaml", methods=[name])
    before = (folder / "encoder.onnx").read_bytes()
    Watching.validations = 0
    refit_in(root, name, folder, "a bundle")
    assert read_json(folder / "refit.json") == {"photos": 64, "epochs": BEST}
    assert Watching.items == {f"item-{number}" for number in range(16)}
    assert Watching.validations == 0
    steps = len(Watching.rates) // BEST
    rate = params.method(name).fit.learning_rate
    expected = [rate * rate_factor(step, steps, EPOCHS * steps) for step in range(BEST * steps)]
    assert Watching.rates == pytest.approx(expected)
    assert (folder / "encoder.onnx").read_bytes() != before
    described = describe_encoder(folder)
    assert (described.head, described.map) == ("pq" if name == "gpq" else "dense", None)
    assert (folder / "codebooks.npy").is_file() == (name == "gpq")
    assert not list((root / ".scratch").rglob("*.ckpt"))


@pytest.mark.slow
def test_the_map_has_the_settings_of_the_old_net_and_is_fitted_on_vectors_of_the_new(root: Path) -> None:
    folder, params, method = (
        exported(root, "siamese"),
        load_params(root / "params.yaml", methods=["siamese"]),
        "siamese",
    )
    block = params.train_embedder.map
    data, whole = (load_data(params, root, METHODS.entry(method), splits=splits) for splits in (SPLITS[:1], SPLITS))
    train, val = (encoded(load_encoder(folder), each.images) for each in (data.train, data.val))
    found = best_map(train, val, data, block)
    write_array(folder / "held.npy", found.linear.matrix)
    refit_in(root, method, folder, "a bundle")
    every = LabelledVectors(
        encoded(load_encoder(folder), whole.train.images), whole.train.items, whole.train.domains == "shop"
    )
    expected = fitted(every, [found.settings], found.scale)[0].matrix
    np.testing.assert_allclose(LinearMap.open(folder / "map.npy").matrix, expected, atol=1e-5)
    write_array(folder / "held.npy", found.linear.matrix[::-1].copy())
    with pytest.raises(
        RefusedError, match=r"the map of siamese is not the one that params\.yaml and data/catalog give now"
    ):
        refit_in(root, method, folder, "a bundle")


@pytest.mark.slow
def test_what_val_did_not_choose_is_refused_before_anything_is_trained(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refit_module, "_train", lambda *_: pytest.fail("it trained"))

    def refused(words: str) -> None:
        with pytest.raises(RefusedError, match=words):
            refit_in(root, "siamese", root / "held", "a bundle")

    exported(root, "siamese", [0.1, 0.05])
    refused("no epoch of siamese was better than the net before training")
    values = read_json(root / "params.yaml")
    write_json(root / "params.yaml", values | {"trainer": {"max_steps": 3}})
    refused("trainer.max_steps would end the training at another epoch")
    values["siamese"]["margin"] = 0.3
    write_json(root / "params.yaml", values)
    refused("params.yaml has changed since the training of siamese: run `croquis repro` first")
    shutil.rmtree(root / "reports")
    refused("has no record of the training of siamese: run `croquis repro` first, or `dvc pull`")


@pytest.mark.slow
def test_a_catalogue_that_is_not_the_one_of_the_lock_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = exported(root, "siamese")
    (root / "dvc.lock").write_text(
        "stages:\n  train_embedder@siamese:\n    cmd: python -m stages.train_embedder siamese\n    deps: []\n"
    )
    monkeypatch.setattr(refit_module, "stage_key", lambda *_: "another")
    with pytest.raises(RefusedError, match="data/catalog or the code has changed since the training of siamese"):
        refit_in(root, "siamese", folder, "a bundle")
