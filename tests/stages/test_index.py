"""The stage `index`: what goes into the bundle, with and without the nets beside the encoder."""

from __future__ import annotations

import numpy as np
import pytest

from croquis.bundle import Bundle
from croquis.catalog.images import decode_image, prepare_image, to_batch
from croquis.catalog.table import Catalog
from croquis.files import read_json, write_array, write_json
from croquis.nets.encoder import describe_histogram
from croquis.nets.linear_map import LinearMap
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


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivfpq"])
def test_an_index_is_built_of_mapped_vectors(project, kind):
    """Floats and codes alike: what is stored is what the map makes, and queries meet it through the same map."""
    folder, dim = project / "models/histogram", 16
    matrix = np.random.default_rng(0).normal(size=(world.encoder().dim + 1, dim)).astype(np.float32)
    write_array(folder / "map.npy", matrix)
    write_json(folder / "encoder.json", read_json(folder / "encoder.json") | {"map": "map.npy", "dim": dim})
    values = read_json(project / "params.yaml")
    values["index"] |= {"kind": kind, "pq_subspaces": 8, "pq_bits": 4, "ivf_lists": 1, "ivf_probes": 1}
    write_json(project / "params.yaml", values)
    index.main("histogram", project)
    bundle = Bundle.load(project / "models/bundles/histogram")
    catalog = Catalog.open(project / "data/catalog")
    rows = {row["image_id"]: row for row in catalog.rows(np.arange(len(catalog)))}
    expected = LinearMap(matrix).apply(world.vectors_of([rows[name] for name in bundle.items.image_ids]))
    assert (bundle.manifest.index.kind, bundle.manifest.index.dim) == (kind, dim)
    stored = bundle.index.vectors()
    np.testing.assert_allclose(stored, expected, atol=0.5 if kind == "ivfpq" else 1e-3)
    assert np.square(stored - expected).sum(axis=1).mean() < 0.1  # of squared length 1
    np.testing.assert_allclose(bundle.encoder.encode(world_batch(rows, bundle)), expected, atol=1e-3)


def world_batch(rows, bundle):
    listed = [rows[name] for name in bundle.items.image_ids]
    return to_batch([prepare_image(decode_image(row["image"]), world.SIZE, row["bbox"]) for row in listed])
