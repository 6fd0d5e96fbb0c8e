"""The stage `index`: what goes into the bundle, with and without the nets beside the encoder."""

from __future__ import annotations

import pytest

from croquis.bundle import Bundle
from croquis.files import write_json
from croquis.nets.encoder import describe_histogram
from croquis.params.loader import read_yaml
from stages import index
from tests.support.catalogues import blob_catalogue as world


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A catalogue and an encoder, and neither generator nor classifier."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.chdir(tmp_path)
    values = read_yaml(index.__file__.removesuffix("stages/index.py") + "params.yaml")
    values["base"]["image_size"] = world.SIZE
    write_json(tmp_path / "params.yaml", values)
    world.write_catalogue(tmp_path)
    write_json(tmp_path / "models/histogram/encoder.json", describe_histogram(world.encoder()))
    return tmp_path


def test_a_bundle_needs_neither_generator_nor_classifier(project):
    index.main("histogram", project)
    bundle = Bundle.load(project / "models/bundles/histogram")
    assert (bundle.generator, bundle.classifier) == (None, None)
    assert bundle.items.table.column("predicted_attributes").to_pylist() == [[]] * len(bundle.items)


def test_every_image_that_a_protocol_may_search_is_in_it(project):
    index.main("histogram", project)
    kept = set(Bundle.load(project / "models/bundles/histogram").items.image_ids)
    shop = [row for row in world.rows() if row["domain"] == "shop"]
    assert kept == {row["image_id"] for row in shop if row["role"] in ("train", "gallery")}
    assert {row["split"] for row in shop if row["image_id"] in kept} == {"train", "val", "test"}
