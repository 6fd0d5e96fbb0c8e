"""A changed catalogue answers as a bundle that was built of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from croquis.bundle import write_bundle
from croquis.bundle.gallery_file import GALLERY_SCHEMA, PROBABILITIES
from croquis.catalog.filters import Filters
from croquis.catalog.images import decode_image, encode_png, prepare_image, to_batch
from croquis.catalog.product import Product, ProductPicture
from croquis.index.build import build_alike
from croquis.index.dense import FlatIndex
from croquis.index.exact import normalise
from croquis.index.vector_index import VectorIndex
from croquis.nets.encoder import load_encoder
from croquis.search.local_retriever import LocalRetriever
from croquis.search.photo_facts import photo_facts
from croquis.serving.changes.live_stores import LiveStores, encoded
from croquis.serving.models.loaded_model import LoadedModel
from croquis.store.products import ItemState, apply
from tests.support import tiny_retriever as tiny
from tests.support.indexes import index_of

DELETED, REPLACED = "item-red-0", "item-blue-1"
RARE = {"overlap": "idf", "gallery_attributes": "predicted", "standing": "score", "beta": 3.0}
CASES = ("dense", "rare", "likely", "hnsw", "ivfpq", "binary", "binary asymmetric", "pq", "pq symmetric")


def patched(colour: tuple[int, int, int], place: int) -> np.ndarray:
    image = np.full((40, 24, 3), colour, dtype=np.uint8)
    image[place : place + 9, :12] = 250
    return image


def product(item_id: str, *pictures: np.ndarray, category: str = "shirt") -> Product:
    files = tuple(ProductPicture.of(item_id, encode_png(picture)) for picture in pictures)
    return Product(item_id, category, ("colour:lime", "sleeve:long"), files)


PRODUCTS = (
    product("shop/new é", patched((90, 230, 20), 3)),
    product(REPLACED, patched((90, 220, 30), 9), patched((20, 30, 200), 20), category="dress"),
)


@pytest.fixture(params=CASES)
def bundle_parts(request: pytest.FixtureRequest, parts: dict[str, Any], coded_parts: Callable[..., Any]) -> Any:
    head, _, comparison = request.param.partition(" ")
    if head in ("binary", "pq"):
        return coded_parts(head, **({f"{head}_comparison": comparison} if comparison else {}))
    if head in ("hnsw", "ivfpq"):
        pictures = [tiny.picture_of(row["image_id"]) for row in tiny.gallery_rows()]
        encoder = load_encoder(parts["encoder_folder"])
        vectors = encoder.encode(to_batch([prepare_image(picture, tiny.SIZE) for picture in pictures]))
        some = {"ivf_lists": 1, "ivf_probes": 1, "pq_bits": 4, "pq_subspaces": 12}
        return parts | {"index": index_of(vectors, metric="cosine", kind=head, **some)}
    steps = {"rare": ["attributes"], "likely": ["probability", "alpha_qe"]}.get(head)
    return parts if steps is None else parts | {"rerank": tiny.RERANK | RARE | {"steps": steps}}


def changed(base: LocalRetriever, folder: Path) -> LocalRetriever:
    stores = LiveStores(folder)
    ours = stores.place("champion", LoadedModel(base, "tiny", "1")).retriever
    states = [encoded(each, 1, base.nets) for each in PRODUCTS]
    apply(ours.gallery.kept, [*states, ItemState(DELETED, 1)])  # type: ignore[attr-defined]
    return ours


def rebuilt(base: LocalRetriever, parts: dict[str, Any], folder: Path) -> LocalRetriever:
    """A bundle of what the catalogue is after the changes, with nothing of the store in it."""
    rows = [row for row in tiny.gallery_rows() if row["item_id"] not in (DELETED, REPLACED)]
    for row in rows:
        row[PROBABILITIES.name] = None
    photos = [tiny.picture_of(row["image_id"]) for row in rows]
    for each in PRODUCTS:
        for picture in each.pictures:
            photos.append(decode_image(picture.data))
            seen = photo_facts(base.bundle, photos[-1:], 32)
            made = {"image_id": picture.image_id, "item_id": each.item_id, "category": each.category, "domain": "shop"}
            said = {"predicted_attributes": seen.predicted[0], PROBABILITIES.name: seen.probabilities[0]}
            labels = {"attributes": list(each.attributes), "thumbnail": b"", **said}
            rows.append(made | labels | {"split": "test", "role": "gallery", "view": None})
    order = sorted(range(len(rows)), key=lambda number: str(rows[number]["image_id"]))
    schema = GALLERY_SCHEMA.append(PROBABILITIES)
    table = pa.Table.from_pylist([rows[number] for number in order], schema=schema)
    vectors = base.nets.encode(photos)
    if base.bundle.index.kind == "ivfpq":  # of what was built in, only what the index gives back is left
        old = np.array([base.bundle.items.row(row["image_id"]) for row in rows[: len(rows) - 3]])
        stored = np.concatenate([base.bundle.index.vectors(old), normalise(vectors[-3:])])
        index: VectorIndex = FlatIndex.of_stored(stored[order], "cosine")
    else:
        index = build_alike(vectors[order], base.bundle.index)
    return LocalRetriever.of(write_bundle(folder, **(parts | {"gallery_table": table, "index": index})))


@pytest.mark.slow
def test_every_way_of_asking_answers_as_after_a_rebuild(bundle_parts: dict[str, Any], tmp_path: Path) -> None:
    base = LocalRetriever.of(write_bundle(tmp_path / "before", **bundle_parts))
    before = base.search(tiny.picture_of("red-00"), k=40)
    ours, theirs = changed(base, tmp_path / "live"), rebuilt(base, bundle_parts, tmp_path / "after")
    photos = [tiny.picture_of("red-00"), tiny.picture_of("blue-02"), patched((90, 225, 25), 5)]
    for filters in (None, Filters(colour=("lime", "red")), Filters(category=("shirt",)), Filters(domain=("shop",))):
        for rerank in (False, True):
            for mode in ("photo", "sketch"):
                for photo in photos:
                    asked: dict[str, Any] = {"k": 50, "mode": mode, "filters": filters, "rerank": rerank}
                    assert ours.search(photo, **asked) == theirs.search(photo, **asked)
    for image_id in theirs.bundle.items.image_ids:
        assert ours.similar(image_id, 6) == theirs.similar(image_id, 6)
    assert ours.gallery.counts() == theirs.gallery.counts()
    assert base.search(tiny.picture_of("red-00"), k=40) == before


def test_an_image_that_is_handed_in_again_is_there_once(parts: dict[str, Any], tmp_path: Path) -> None:
    base = LocalRetriever.of(write_bundle(tmp_path / "bundle", **parts))
    ours = changed(base, tmp_path / "live")
    picture = ProductPicture("green-03", encode_png(patched((10, 10, 10), 0)))
    apply(ours.gallery.kept, [encoded(Product("other", "dress", (), (picture,)), 1, base.nets)])  # type: ignore[attr-defined]
    assert [record["image_id"] for record in ours.gallery.images_of("other")] == ["green-03"]
    assert [record["image_id"] for record in ours.gallery.images_of("item-green-1")] == ["green-02"]
    assert len(ours.search(picture.data, k=100)) == 35


def test_an_emptied_catalogue_finds_nothing(parts: dict[str, Any], tmp_path: Path) -> None:
    base = LocalRetriever.of(write_bundle(tmp_path / "bundle", **(parts | {"classifier_folder": None})))
    ours = changed(base, tmp_path / "live")
    assert {record["predicted_attributes"] for record in ours.gallery.images_of(REPLACED)} == {()}
    products = {*base.bundle.items.table.column("item_id").to_pylist(), PRODUCTS[0].item_id}
    apply(ours.gallery.kept, [ItemState(name, 2) for name in products])  # type: ignore[attr-defined]
    assert ours.search(tiny.picture_of("red-00"), k=5) == []
    assert ours.gallery.counts().category == {}
