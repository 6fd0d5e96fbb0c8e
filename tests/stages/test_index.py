"""The stage `index`: what goes into the bundle, with and without the nets beside the encoder."""

from __future__ import annotations

import numpy as np
import pytest

from croquis.bundle import Bundle
from croquis.catalog.filters import QueryError
from croquis.catalog.images import decode_image, prepare_image, to_batch
from croquis.catalog.table import Catalog
from croquis.evaluation.evaluate_bundle import EvaluationSettings, evaluate_split
from croquis.files import read_json, write_array, write_json
from croquis.nets.encoder import describe_fixed
from croquis.nets.line_encoder import LineEncoder
from croquis.nets.linear_map import LinearMap
from croquis.params.loader import read_yaml
from croquis.search.local_retriever import LocalRetriever
from stages import index
from tests.support.catalogues import blob_catalogue as world
from tests.support.tiny_retriever import save_generator


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A catalogue and an encoder, and neither generator nor classifier."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.chdir(tmp_path)
    values = read_yaml(index.__file__.removesuffix("stages/index.py") + "params.yaml")
    values["base"]["image_size"] = world.SIZE
    write_json(tmp_path / "params.yaml", values)
    world.write_catalogue(tmp_path)
    write_json(tmp_path / "models/histogram/encoder.json", describe_fixed(world.encoder()))
    return tmp_path


def test_a_bundle_needs_neither_generator_nor_classifier(project):
    index.main("histogram", project)
    bundle = Bundle.load(project / "models/bundles/histogram")
    assert (bundle.generator, bundle.classifier) == (None, None)
    assert bundle.items.table.column("predicted_attributes").to_pylist() == [[]] * len(bundle.items)


def test_a_bundle_says_that_its_project_has_no_drawings(project):
    index.main("histogram", project)
    assert "drawings" not in read_json(project / "models/bundles/histogram/manifest.json")
    values = read_yaml(project / "params.yaml")
    values["parts"] |= {"gan": False, "sketch": False}
    values["retrievers"] = ["histogram"]
    write_json(project / "params.yaml", values)
    index.main("histogram", project)
    assert read_json(project / "models/bundles/histogram/manifest.json")["drawings"] is False
    assert Bundle.load(project / "models/bundles/histogram").manifest.drawings is False


def test_every_image_that_a_protocol_may_search_is_in_it(project):
    index.main("histogram", project)
    kept = set(Bundle.load(project / "models/bundles/histogram").items.image_ids)
    shop = [row for row in world.rows() if row["domain"] == "shop"]
    assert kept == {row["image_id"] for row in shop if row["role"] in ("train", "gallery")}
    assert {row["split"] for row in shop if row["image_id"] in kept} == {"train", "val", "test"}


def lines_retriever(project, size):
    """The retriever `edges` beside a generator, which it does not need."""
    write_json(
        project / "models/edges/encoder.json",
        describe_fixed(LineEncoder(size=size, edges="canny", square=64, orientations=9)),
    )
    save_generator(project / "models/sketch_gan")
    index.main("edges", project)
    return LocalRetriever.load(project / "models/bundles/edges")


def test_an_encoder_of_lines_keeps_its_own_size_and_no_generator(project):
    retriever = lines_retriever(project, 2 * world.SIZE)
    assert (retriever.bundle.manifest.preprocess.size, retriever.bundle.manifest.generator) == (2 * world.SIZE, None)
    assert retriever.nets.mode_of("sketch") == "sketch-direct"
    photo = next(row["image"] for row in world.rows() if row["image_id"] == "test-0/front")
    assert retriever.search(photo, k=1)[0].score == pytest.approx(1, abs=1e-5)
    with pytest.raises(QueryError, match="use sketch-direct"):
        retriever.search(photo, mode="sketch")


@pytest.mark.parametrize("reencoded", [False, True])
def test_what_is_served_is_what_evaluation_finds_with_edge_maps(project, reencoded):
    """The baseline of every evaluation compares a drawing with edge maps outside any bundle."""
    retriever = lines_retriever(project, world.SIZE)
    settings = EvaluationSettings(depth=50, resamples=20, chunk=7, seed=3, edges="canny", edge_size=world.SIZE)
    photos, drawings = Catalog.open(project / "data/catalog"), Catalog.open(project / "data/sketches")
    found = evaluate_split(retriever, photos, drawings, "test", settings, reencode_gallery=reencoded)
    served, baseline = (found.run("sketch->shop", path) for path in ("direct", "edges"))
    np.testing.assert_array_equal(served.top, baseline.top)
    hits = retriever.search(next(drawings.images(served.queries.rows[:1].tolist())), k=50, mode="sketch-direct")
    ranked = [hit.image_id for hit in hits if hit.image_id in found.gallery.image_ids]
    assert ranked[:10] == [found.gallery.image_ids[row] for row in served.top[0]]


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
