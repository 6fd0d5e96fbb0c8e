"""A bundle is whole or refused, and what it was packed from decides its hash."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pytest

from croquis.bundle import Bundle, BundleError, Manifest, write_bundle
from croquis.bundle.gallery_file import ItemsError
from croquis.bundle.gallery_table import GalleryTable
from croquis.catalog.filters import QueryError
from croquis.files import read_json, write_array, write_json
from croquis.index.build import build_index
from croquis.nets.encoder import describe_fixed, load_encoder
from croquis.nets.histogram_encoder import HistogramEncoder
from croquis.nets.session import ModelError
from tests.support import tiny_retriever as tiny

Make = Callable[..., Path]
Parts = dict[str, Any]

FILES = ["classifier.onnx", "encoder.onnx", "gallery.parquet", "generator.onnx", "index.faiss"]


def test_a_bundle_holds_its_parts(make_bundle: Make) -> None:
    folder = make_bundle()
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FILES, "manifest.json"])
    bundle = Bundle.load(folder)
    manifest = bundle.manifest
    assert (manifest.method, manifest.preprocess.size, manifest.encoder.dim) == ("siamese", 16, 48)
    assert (manifest.index.kind, manifest.index.rows, manifest.index.bytes_per_vector) == ("flat", 36, 192)
    assert sorted(manifest.files) == FILES
    bundle.open_all()
    assert bundle.generator is not None
    assert bundle.classifier is not None
    assert len(bundle.index) == len(bundle.items) == 36


def test_a_manifest_tells_that_the_generator_takes_a_colour(make_bundle: Make, tmp_path: Path) -> None:
    assert "colours" not in Bundle.load(make_bundle()).manifest.to_json()["generator"]
    folder = make_bundle("coloured", generator_folder=tiny.save_colour_generator(tmp_path / "painter"))
    manifest = Bundle.load(folder).manifest
    assert manifest.generator is not None
    assert manifest.generator.colours == {"blue": "#141ed2", "green": "#1ec828", "red": "#dc1e1e"}
    assert Manifest.from_json(manifest.to_json()) == manifest
    values = manifest.to_json()
    values["generator"]["colours"]["red"] = "red"
    with pytest.raises(BundleError, match=r"generator: colours hold \{'red': 'red'\}, must be #rrggbb each"):
        Manifest.from_json(values)


def test_opened_parts_compute_what_they_were_packed_from(make_bundle: Make, parts: Parts) -> None:
    bundle = Bundle.load(make_bundle())
    images = np.random.default_rng(0).random((2, 3, 16, 16), dtype=np.float32)
    assert np.array_equal(bundle.encoder.encode(images), load_encoder(parts["encoder_folder"]).encode(images))
    assert np.array_equal(bundle.index.vectors(), parts["index"].vectors())
    assert bundle.items.thumbnail(7) == parts["gallery_table"].column("thumbnail")[7].as_py()
    assert bundle.encoder is bundle.encoder


def test_the_map_of_an_encoder_travels_along(make_bundle: Make, parts: Parts) -> None:
    source = Path(parts["encoder_folder"])
    write_array(source / "own.npy", np.random.default_rng(0).normal(size=(49, 6)).astype(np.float32))
    write_json(source / "encoder.json", read_json(source / "encoder.json") | {"map": "own.npy", "dim": 6})
    vectors = np.random.default_rng(1).normal(size=(36, 6)).astype(np.float32)
    folder = make_bundle(index=build_index(vectors, metric="cosine"))
    bundle = Bundle.load(folder)
    images = np.random.default_rng(0).random((2, 3, 16, 16), dtype=np.float32)
    assert np.array_equal(bundle.encoder.encode(images), load_encoder(source).encode(images))
    assert sorted(bundle.manifest.files) == sorted([*FILES, "map.npy"])
    assert Manifest.from_json(bundle.manifest.to_json()) == bundle.manifest
    (folder / "map.npy").unlink()
    with pytest.raises(BundleError, match=r"map\.npy"):
        Bundle.load(folder).open_all()


def test_the_manifest_survives_its_json(make_bundle: Make) -> None:
    values = read_json(make_bundle() / "manifest.json")
    manifest = Manifest.from_json(values)
    assert manifest.to_json() == values
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_the_manifest_says_how_many_photos_are_painted_of_a_sketch(make_bundle: Make, tmp_path: Path) -> None:
    assert read_json(make_bundle("one") / "manifest.json")["generator"] == {"file": "generator.onnx", "size": 8}
    folder = make_bundle("two", generator_folder=tiny.save_generator(tmp_path / "painter", samples=2))
    values = read_json(folder / "manifest.json")
    assert values["generator"] == {"file": "generator.onnx", "size": 8, "samples": 2}
    assert Bundle.load(folder).manifest.to_json() == values
    for wrong in (0, 1, 17):
        write_json(folder / "manifest.json", values | {"generator": values["generator"] | {"samples": wrong}})
        with pytest.raises(BundleError, match=f"generator: samples = {wrong}, must be 2 to 16, or left out"):
            Bundle.load(folder)


def test_equal_parts_give_equal_bytes_and_hash(make_bundle: Make) -> None:
    one, two = make_bundle("one"), make_bundle("two")
    for name in [*FILES, "manifest.json"]:
        assert (one / name).read_bytes() == (two / name).read_bytes()
    assert Bundle.load(one).hash == Bundle.load(two).hash


def test_any_change_of_a_part_changes_the_hash(make_bundle: Make, parts: Parts) -> None:
    hashes = {Bundle.load(make_bundle("same")).hash}
    table = parts["gallery_table"]
    renamed = table.set_column(1, table.schema.field(1), pa.array(["other"] * table.num_rows))
    hashes.add(Bundle.load(make_bundle("items", gallery_table=renamed)).hash)
    hashes.add(Bundle.load(make_bundle("rerank", rerank={**tiny.RERANK, "depth": 21})).hash)
    hashes.add(Bundle.load(make_bundle("method", method="image2vec")).hash)
    hashes.add(Bundle.load(make_bundle("no_gan", generator_folder=None)).hash)
    assert len(hashes) == 5


def test_optional_parts_may_be_missing(make_bundle: Make) -> None:
    bundle = Bundle.load(make_bundle(generator_folder=None, classifier_folder=None))
    assert bundle.manifest.generator is None
    assert bundle.generator is None
    assert bundle.classifier is None


def test_a_histogram_needs_no_graph(make_bundle: Make, tmp_path: Path) -> None:
    encoder = HistogramEncoder(colour_bins=2, orientation_bins=4, grid=2, colour_weight=0.5, size=16)
    write_json(tmp_path / "histogram" / "encoder.json", describe_fixed(encoder))
    images = np.random.default_rng(0).random((36, 3, 16, 16), dtype=np.float32)
    index = build_index(encoder.encode(images), metric="cosine")
    bundle = Bundle.load(make_bundle(method="histogram", encoder_folder=tmp_path / "histogram", index=index))
    assert not (bundle.folder / "encoder.onnx").exists()
    assert np.array_equal(bundle.encoder.encode(images), encoder.encode(images))


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_is_refused_by_name(make_bundle: Make, name: str) -> None:
    file = make_bundle() / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(BundleError, match=f"{name} was changed"):
        Bundle.load(file.parent)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused_by_name(make_bundle: Make, name: str) -> None:
    folder = make_bundle()
    (folder / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        Bundle.load(folder)


def test_strangers_are_refused(make_bundle: Make) -> None:
    folder = make_bundle()
    (folder / "model.pkl").write_bytes(b"")
    with pytest.raises(BundleError, match=r"holds \['model.pkl'\], which are not in its manifest"):
        Bundle.load(folder)


def test_a_folder_without_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"it has no manifest.json"):
        Bundle.load(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(BundleError, match="is not JSON"):
        Bundle.load(tmp_path)


def rename(values: Parts, old: str, new: str) -> None:
    values["files"][new] = values["files"].pop(old)
    values["index"]["file"] = new


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.update(schema_version=3), "schema_version = 3, this version reads 1 and 2"),
        (lambda m: m.pop("method"), r"lacks the keys \['method'\]"),
        (lambda m: m.update(note="x"), r"unknown keys \['note'\]"),
        (lambda m: m["index"].pop("rows"), r"index lacks the keys \['rows'\]"),
        (lambda m: m["index"].update(rows="36"), "index: rows = '36' must be of type int"),
        (lambda m: m["index"].update(rows=True), "rows = True must be of type int"),
        (lambda m: m["rerank"].update(gamma=1), r"rerank has unknown keys \['gamma'\]"),
        (lambda m: m["rerank"].update(overlap="dice"), "rerank.overlap = 'dice'"),
        (lambda m: m["encoder"].update(dim=47), "the index holds 48 numbers"),
        (lambda m: m["items"].update(rows=35), "36 rows in the index, 35 in the items"),
        (lambda m: m["files"].pop("index.faiss"), "files lists"),
        (lambda m: m["files"]["index.faiss"].update(bytes="x"), "index.faiss: bytes = 'x'"),
        (lambda m: rename(m, "index.faiss", "../index.faiss"), "'../index.faiss' is not a plain file name"),
        (lambda m: rename(m, "index.faiss", "/etc/passwd"), "is not a plain file name"),
        (lambda m: m.update(generator=[]), "generator must be an object"),
        (lambda m: m["classifier"].update(thresholds=["a"]), "thresholds = 'a' must be of type float"),
    ],
)
def test_a_wrong_manifest_is_named(make_bundle: Make, change: Callable[[Parts], Any], words: str) -> None:
    folder = make_bundle()
    values = read_json(folder / "manifest.json")
    change(values)
    write_json(folder / "manifest.json", values)
    with pytest.raises(BundleError, match=words):
        Bundle.load(folder)


def test_an_index_of_another_size_is_refused_when_opened(make_bundle: Make) -> None:
    folder = make_bundle()
    values = read_json(folder / "manifest.json")
    values["index"]["rows"] = values["items"]["rows"] = 35
    write_json(folder / "manifest.json", values)
    bundle = Bundle.load(folder)
    with pytest.raises(BundleError, match=r"index.faiss is flat with 36 x 48 numbers, the manifest says flat with 35"):
        _ = bundle.index
    with pytest.raises(BundleError, match=r"gallery.parquet has 36 rows, the manifest says 35"):
        _ = bundle.items


def unsorted(parts: Parts) -> Parts:
    return {"gallery_table": parts["gallery_table"].take(list(range(35, -1, -1)))}


def short(parts: Parts) -> Parts:
    return {"gallery_table": parts["gallery_table"].slice(0, 35)}


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (unsorted, ItemsError, "ascending order of image_id"),
        (short, BundleError, "36 rows in the index, 35 in the items"),
        (lambda p: {"gallery_table": p["gallery_table"].drop_columns("view")}, ItemsError, "needs"),
        (lambda _: {"image_size": 32}, BundleError, "takes 16 pixels, image_size is 32"),
        (lambda _: {"rerank": {"enabled": True}}, BundleError, "rerank lacks the keys"),
        (lambda p: {"generator_folder": p["encoder_folder"]}, ModelError, r"generator.json does not exist"),
        (lambda _: {"index": build_index(np.eye(36), metric="cosine")}, BundleError, "the index holds 36 numbers"),
        (lambda p: {"index": build_index(p["index"].vectors(), metric="l2")}, BundleError, r"48 numbers \(l2\)"),
    ],
)
def test_parts_that_do_not_fit_leave_nothing_behind(
    parts: Parts, tmp_path: Path, change: Callable[[Parts], Parts], kind: type[Exception], words: str
) -> None:
    target = write_bundle(tmp_path / "bundles" / "one", **parts)
    before = target.hash
    with pytest.raises(kind, match=words):
        write_bundle(tmp_path / "bundles" / "one", **{**parts, **change(parts)})
    assert [path.name for path in (tmp_path / "bundles").iterdir()] == ["one"]
    assert Bundle.load(tmp_path / "bundles" / "one").hash == before


def test_a_graph_with_weights_in_a_second_file_is_refused(parts: Parts, tmp_path: Path) -> None:
    folder = tmp_path / "external"
    shutil.copytree(parts["generator_folder"], folder)
    model = onnx.load(folder / "generator.onnx")
    onnx.save_model(
        model, str(folder / "generator.onnx"), save_as_external_data=True, size_threshold=0, location="w.data"
    )
    with pytest.raises(ModelError, match=r"generator.onnx is not an ONNX graph that this runtime can open"):
        write_bundle(tmp_path / "bundle", **{**parts, "generator_folder": folder})


def test_the_hash_is_worked_out_once(make_bundle: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every answer of a server names it."""
    manifest = Bundle.load(make_bundle()).manifest
    first = manifest.hash
    monkeypatch.setattr(Manifest, "to_json", lambda _: pytest.fail("worked out again"))
    assert manifest.hash == first


def test_rows_of_ids_and_items_in_any_order(parts: Parts) -> None:
    table = parts["gallery_table"].drop_columns(["thumbnail"])
    for order in (np.arange(36), np.random.default_rng(0).permutation(36)):
        items = GalleryTable(pa.concat_tables([table, table.slice(0, 0)]), lambda _: b"").take(order)
        ids, owners = (table.column(name).take(pa.array(order)).to_pylist() for name in ("image_id", "item_id"))
        assert items.image_ids == ids
        assert [items.row(image_id) for image_id in ids] == list(range(36))
        for item_id in set(owners):
            assert items.rows_of(item_id) == [row for row, owner in enumerate(owners) if owner == item_id]
        for ask, unknown in ((items.row, "image_id"), (items.rows_of, "item_id")):
            for word in ("", "no such", "\U0001f600"):
                with pytest.raises(QueryError, match=f"{unknown}.* is not among the"):
                    ask(word)


def test_an_opened_table_keeps_words_once_in_one_chunk(make_bundle: Make, parts: Parts) -> None:
    """So that the records of a few rows are found at once, whatever the size of the gallery."""
    items = Bundle.load(make_bundle()).items
    assert {column.num_chunks for column in items.table.columns} == {1}
    assert pa.types.is_dictionary(items.table.schema.field("category").type)
    assert pa.types.is_dictionary(items.table.schema.field("attributes").type.value_type)
    assert items.records([5, 3]) == parts["gallery_table"].drop_columns(["thumbnail"]).take([5, 3]).to_pylist()
