"""The stage `index`: what goes into the bundle, with and without the nets beside the encoder."""

from __future__ import annotations

import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from croquis.bundle import Bundle
from croquis.bundle.manifest import BundleError, Manifest
from croquis.catalog.drawings import drawing_id, photo_of
from croquis.catalog.filters import QueryError
from croquis.catalog.images import decode_image, encode_png, prepare_image, to_batch
from croquis.catalog.prepared_photos import WHOLE
from croquis.catalog.table import Catalog, CatalogWriter
from croquis.evaluation.evaluate_bundle import EvaluationSettings, evaluate_split
from croquis.evaluation.protocol import PROTOCOLS
from croquis.files import read_json, write_array, write_json
from croquis.nets.encoder import describe_fixed, load_encoder
from croquis.nets.line_encoder import LineEncoder
from croquis.nets.linear_map import LinearMap
from croquis.params.loader import read_yaml
from croquis.projects.given_nets import nets_of
from croquis.refusals import RefusedError
from croquis.search.bundle_nets import prepared
from croquis.search.local_retriever import LocalRetriever
from lightning_modules.sketch_gan import drawing_maps
from stages import index, train_embedder
from tests.support.catalogues import blob_catalogue as world
from tests.support.small_hed import stand_in
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


@pytest.mark.slow
def test_a_bundle_needs_neither_generator_nor_classifier(project):
    index.main("histogram", project)
    bundle = Bundle.load(project / "models/bundles/histogram")
    assert (bundle.generator, bundle.classifier) == (None, None)
    assert bundle.items.table.column("predicted_attributes").to_pylist() == [[]] * len(bundle.items)


@pytest.mark.slow
def test_a_bundle_says_how_its_photos_were_decoded(project):
    values = read_yaml(project / "params.yaml")
    values["prepare"]["draft"] = 128
    write_json(project / "params.yaml", values)
    index.main("histogram", project)
    assert Bundle.load(project / "models/bundles/histogram").manifest.preprocess.draft == 128


@pytest.mark.slow
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


@pytest.mark.slow
def test_an_encoder_of_lines_keeps_its_own_size_and_no_generator(project):
    retriever = lines_retriever(project, 2 * world.SIZE)
    assert (retriever.bundle.manifest.preprocess.size, retriever.bundle.manifest.generator) == (2 * world.SIZE, None)
    assert retriever.nets.mode_of("sketch") == "sketch-direct"
    photo = next(row["image"] for row in world.rows() if row["image_id"] == "test-0/front")
    assert retriever.search(photo, k=1)[0].score == pytest.approx(1, abs=1e-5)
    with pytest.raises(QueryError, match="use sketch-direct"):
        retriever.search(photo, mode="sketch")


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_net_that_finds_lines_travels_in_the_bundle(project, monkeypatch, tmp_path):
    values = read_json(project / "params.yaml")
    weights = stand_in(monkeypatch, tmp_path)
    values["edges"] |= {"edges": "hed", "size": world.SIZE, "hed_weights": weights}
    write_json(project / "params.yaml", values)
    train_embedder.main("edges", project)
    described = read_json(project / "models/edges/encoder.json")
    assert (described["edges"], described["detector"]) == ("hed", "edges.onnx")
    index.main("edges", project)
    bundle = Bundle.load(project / "models/bundles/edges")
    assert (bundle.folder / "edges.onnx").read_bytes() == (project / "models/edges/edges.onnx").read_bytes()
    assert bundle.manifest.encoder.detector == "edges.onnx"
    assert Manifest.from_json(bundle.manifest.to_json()) == bundle.manifest
    photo = next(row["image"] for row in world.rows() if row["image_id"] == "test-0/front")
    assert LocalRetriever.load(bundle.folder).search(photo, k=1)[0].score == pytest.approx(1, abs=1e-5)
    unpacked = nets_of(bundle, tmp_path / "nets").folder
    pictures = np.random.default_rng(0).random((2, 3, world.SIZE, world.SIZE), dtype=np.float32)
    np.testing.assert_array_equal(load_encoder(unpacked).encode(pictures), bundle.encoder.encode(pictures))


PAINTED_ITEMS = {"train": 60, "val": 20, "test": 6}


@pytest.fixture
def painted_project(project, monkeypatch):
    """The project with traced drawings of train and val photos, a generator, and maps of drawings wanted."""
    monkeypatch.setattr(world, "SHAPES", PAINTED_ITEMS)
    shutil.rmtree(project / "data")
    catalog = world.write_catalogue(project)
    rows = catalog.rows(catalog.select(domain="shop", split=["train", "val"]))
    with CatalogWriter(project / "data/sketches", 64) as writer:
        for row in rows:
            if row["view"] == "front":
                item = {"train": 5000, "val": 3000}[row["split"]] + int(row["item_id"].partition("-")[2])
                drawing = encode_png(world.picture(item, 0, 0, drawing=True))
                named = {"image_id": drawing_id(row["image_id"]), "domain": "sketch", "image": drawing}
                writer.write({**row, **named, "role": "train" if row["split"] == "train" else "query"})
    save_generator(project / "models/sketch_gan", world.SIZE)
    change_index(project, drawing_maps=["painted", "straight"])
    return project


def change_index(project, **changes):
    values = read_yaml(project / "params.yaml")
    values["index"] |= changes
    write_json(project / "params.yaml", values)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["sketch", "sketch-direct"])
def test_drawings_and_what_is_painted_of_them_have_maps_of_their_own(painted_project, mode):
    """Library and evaluation alike use that of the mode; photos do not."""
    kind, path = {"sketch": ("painted", "gan"), "sketch-direct": ("straight", "direct")}[mode]
    change_index(painted_project, drawing_maps=[kind])
    index.main("histogram", painted_project)
    retriever = LocalRetriever.load(painted_project / "models/bundles/histogram")
    bundle = retriever.bundle
    assert {each.name for each in bundle.folder.glob("*.npy")} == {f"{kind}.npy"}
    photos, drawings = Catalog.open(painted_project / "data/catalog"), Catalog.open(painted_project / "data/sketches")
    drawn = drawings.select(split="val")
    opened = [decode_image(data) for data in drawings.images(drawn.tolist())]
    looked_at = retriever.nets.generate(opened) if kind == "painted" else opened
    seen = world.encoder().encode(prepared(looked_at, world.SIZE))
    expected = LinearMap.open(bundle.folder / f"{kind}.npy").apply(seen)
    assert np.abs(expected - seen).max() > 0.1
    np.testing.assert_array_equal(retriever.encode_photos(opened), world.encoder().encode(prepared(opened, world.SIZE)))

    stored, names = bundle.index.vectors(), np.array(bundle.items.image_ids)
    order = np.argsort(-(expected @ stored.T), axis=1)
    hits = [retriever.search(drawing, k=5, mode=mode) for drawing in opened]
    assert [[hit.image_id for hit in each] for each in hits] == names[order[:, :5]].tolist()
    assert hits[0][0].score == pytest.approx(float((expected @ stored.T)[0].max()), abs=1e-5)

    settings = EvaluationSettings(depth=50, resamples=20, chunk=7, seed=3, edges="canny", edge_size=world.SIZE)
    found = evaluate_split(retriever, photos, drawings, "val", settings)
    run, gallery = found.run("sketch->shop", path), np.array(found.gallery.image_ids)
    own = np.array([photo_of(name) for name in drawings.column("image_id")[drawn]])
    ranked = [
        [name for name in names[row] if name in set(gallery) - {photo}] for row, photo in zip(order, own, strict=True)
    ]
    assert [gallery[top[:3]].tolist() for top in run.top] == [each[:3] for each in ranked]


@pytest.mark.slow
def test_several_photos_painted_of_a_drawing_each_go_through_the_map(painted_project, monkeypatch):
    """Each is a pair of its own for the fit; a search takes the centre of what the map makes of them."""
    monkeypatch.setattr(drawing_maps, "reciprocal_rank", lambda *_: -1.0)  # without a map: so that there is one
    save_generator(painted_project / "models/sketch_gan", world.SIZE, samples=2)
    change_index(painted_project, drawing_maps=["painted"])
    index.main("histogram", painted_project)
    retriever = LocalRetriever.load(painted_project / "models/bundles/histogram")
    drawings = Catalog.open(painted_project / "data/sketches")
    drawn = drawings.select(split="val")
    opened = [decode_image(data) for data in drawings.images(drawn.tolist())]
    painted = retriever.nets.generate(opened)
    assert len(painted) == 2 * len(opened)
    linear = LinearMap.open(retriever.bundle.folder / "painted.npy")
    mapped = linear.apply(world.encoder().encode(prepared(painted, world.SIZE)))
    centred = mapped.reshape(len(opened), 2, -1).mean(axis=1)
    stored, names = retriever.bundle.index.vectors(), np.array(retriever.bundle.items.image_ids)
    order = np.argsort(-(centred @ stored.T), axis=1)
    hits = [[hit.image_id for hit in retriever.search(drawing, k=3, mode="sketch")] for drawing in opened]
    assert hits == names[order[:, :3]].tolist()

    encoder, generator = load_encoder(painted_project / "models/histogram"), retriever.nets.generator
    catalog = Catalog.open(painted_project / "data/catalog")
    seen = drawing_maps.Looks(encoder, generator, drawings, catalog, PROTOCOLS["instance"], WHOLE)
    pairs, straight = seen.pairs("val", "painted"), seen.pairs("val", "straight")
    np.testing.assert_allclose(pairs.queries, world.encoder().encode(prepared(painted, world.SIZE)), atol=1e-6)
    for both, one in ((pairs.photos, straight.photos), (pairs.items, straight.items), (pairs.labels, straight.labels)):
        np.testing.assert_array_equal(both, np.repeat(one, 2, axis=0))


@pytest.mark.slow
def test_a_map_of_drawings_is_wanted_and_gains_or_is_left_out(painted_project, monkeypatch):
    folder = painted_project / "models/bundles/histogram"
    index.main("histogram", painted_project)
    mapped, photos = Bundle.load(folder).manifest.hash, Bundle.load(folder).index.vectors()
    change_index(painted_project, drawing_maps=[])
    index.main("histogram", painted_project)
    assert not list(folder.glob("*.npy"))
    np.testing.assert_array_equal(Bundle.load(folder).index.vectors(), photos)
    plain = Bundle.load(folder).manifest.hash
    assert plain != mapped
    change_index(painted_project, drawing_maps=["painted", "straight"])
    monkeypatch.setattr(drawing_maps, "SHRINKAGES", (1e9,))  # every painting becomes the mean photo: val loses
    index.main("histogram", painted_project)
    assert Bundle.load(folder).manifest.hash == plain


@pytest.mark.slow
def test_maps_of_drawings_need_drawings(painted_project):
    shutil.rmtree(painted_project / "data/sketches")
    with pytest.raises(RefusedError, match=r"index.drawing_maps learns from drawings, and there are none"):
        index.main("histogram", painted_project)


@pytest.mark.slow
def test_drawings_need_no_generator_for_a_map(painted_project):
    shutil.rmtree(painted_project / "models/sketch_gan")
    index.main("histogram", painted_project)
    folder = painted_project / "models/bundles/histogram"
    assert [each.name for each in folder.glob("*.npy")] == ["straight.npy"]


@pytest.mark.slow
def test_what_a_generator_paints_needs_one(painted_project):
    """A bundle without a generator may not claim a map of what it paints."""
    index.main("histogram", painted_project)
    stated = read_json(painted_project / "models/bundles/histogram/manifest.json")
    file = stated["generator"].pop("file")
    stated["files"].pop(file)
    with pytest.raises(BundleError, match="encoder: painted needs a generator"):
        Manifest.from_json(stated | {"generator": None})


@pytest.mark.slow
def test_nets_that_are_taken_out_of_a_bundle_keep_the_maps(painted_project, tmp_path):
    index.main("histogram", painted_project)
    bundle = Bundle.load(painted_project / "models/bundles/histogram")
    nets = nets_of(bundle, tmp_path / "nets")
    nets.write(tmp_path / "again", pq.read_table(bundle.folder / "gallery.parquet"), bundle.index.vectors())
    assert Bundle.load(tmp_path / "again").manifest.encoder == bundle.manifest.encoder
    for kind in ("painted", "straight"):
        assert (tmp_path / f"again/{kind}.npy").read_bytes() == (bundle.folder / f"{kind}.npy").read_bytes()
