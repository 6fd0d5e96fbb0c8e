"""A changed gallery answers as a bundle that was built of the changed catalogue."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from croquis.bundle import write_bundle
from croquis.bundle.gallery_table import GALLERY_SCHEMA
from croquis.catalog.filters import Filters, QueryError
from croquis.catalog.images import ImageError, decode_image, encode_png, prepare_image, to_batch
from croquis.catalog.product import Product, ProductPicture, check_attributes, check_item_id, check_version
from croquis.index.build import build_alike
from croquis.nets.encoder import load_encoder
from croquis.search.changed_gallery import ChangedEntry, ChangedGallery
from croquis.search.local_retriever import LocalRetriever
from tests.support import tiny_retriever as tiny
from tests.support.indexes import index_of

NEW, DELETED, REPLACED = "shop/new é", "item-red-0", "item-blue-1"


def patched(colour: tuple[int, int, int], place: int) -> np.ndarray:
    image = np.full((40, 24, 3), colour, dtype=np.uint8)
    image[place : place + 9, :12] = 250
    return image


def product(item_id: str, *pictures: np.ndarray, category: str = "shirt") -> Product:
    files = tuple(ProductPicture.of(item_id, encode_png(picture)) for picture in pictures)
    return Product(item_id, category, ("colour:lime", "sleeve:long"), files)


PRODUCTS = (
    product(NEW, patched((90, 230, 20), 3)),
    product(REPLACED, patched((90, 220, 30), 9), patched((20, 30, 200), 20), category="dress"),
)


@pytest.fixture(params=["dense", "hnsw", "binary", "pq"])
def bundle_parts(request: pytest.FixtureRequest, parts: dict[str, Any], coded_parts: Callable[..., Any]) -> Any:
    if request.param == "dense":
        return parts
    if request.param == "hnsw":
        encoder, pictures = load_encoder(parts["encoder_folder"]), [tiny.picture_of(i) for i in image_ids(parts)]
        vectors = encoder.encode(to_batch([prepare_image(picture, tiny.SIZE) for picture in pictures]))
        return {**parts, "index": index_of(vectors, metric="cosine", kind="hnsw")}
    return coded_parts(request.param)


def image_ids(parts: dict[str, Any]) -> list[str]:
    ids: list[str] = parts["gallery_table"].column("image_id").to_pylist()
    return ids


def changed(base: LocalRetriever) -> ChangedGallery:
    gallery = ChangedGallery(base)
    entries: dict[str, ChangedEntry | None] = {each.item_id: gallery.entry_of(each) for each in PRODUCTS}
    return gallery.changed(entries).changed({DELETED: None})


def rebuilt(base: LocalRetriever, parts: dict[str, Any], folder: Path) -> LocalRetriever:
    """A bundle of what the catalogue is after the changes, with nothing of the changed gallery in it but labels."""
    rows = [row for row in tiny.gallery_rows() if row["item_id"] not in (DELETED, REPLACED)]
    photos = [tiny.picture_of(row["image_id"]) for row in rows]
    for each in PRODUCTS:
        for picture in each.pictures:
            photo = decode_image(picture.data)
            (seen,) = base.predict_attributes([photo])
            made = {"image_id": picture.image_id, "item_id": each.item_id, "category": each.category, "domain": "shop"}
            labels = {"attributes": list(each.attributes), "predicted_attributes": sorted(seen), "thumbnail": b""}
            rows.append(made | labels | {"split": "test", "role": "gallery", "view": None})
            photos.append(photo)
    order = sorted(range(len(rows)), key=lambda number: str(rows[number]["image_id"]))
    table = pa.Table.from_pylist([rows[number] for number in order], schema=GALLERY_SCHEMA)
    index = build_alike(base.encode_photos([photos[number] for number in order]), base.bundle.index)
    return LocalRetriever.of(write_bundle(folder, **(parts | {"gallery_table": table, "index": index})))


def test_every_way_of_asking_answers_as_after_a_rebuild(bundle_parts: dict[str, Any], tmp_path: Path) -> None:
    base = LocalRetriever.of(write_bundle(tmp_path / "before", **bundle_parts))
    gallery = changed(base)
    ours = gallery.retriever
    theirs = rebuilt(base, bundle_parts, tmp_path / "after")
    photos = [tiny.picture_of("red-00"), tiny.picture_of("blue-02"), patched((90, 225, 25), 5)]
    for filters in (None, Filters(colour=("lime", "red")), Filters(category=("shirt",)), Filters(domain=("shop",))):
        for rerank in (False, True):
            for mode in ("photo", "sketch"):
                for photo in photos:
                    asked = {"k": 50, "mode": mode, "filters": filters, "rerank": rerank}
                    assert ours.search(photo, **asked) == theirs.search(photo, **asked)
    for image_id in theirs.bundle.items.image_ids:
        assert ours.similar(image_id, 6) == theirs.similar(image_id, 6)
    assert gallery.items.category_counts() == theirs.bundle.items.category_counts()
    assert gallery.items.attribute_counts() == theirs.bundle.items.attribute_counts()
    assert (gallery.items.categories, gallery.items.colours) == (
        theirs.bundle.items.categories,
        theirs.bundle.items.colours,
    )
    assert ours.bundle.hash == base.bundle.hash


def test_the_gallery_before_is_untouched(parts: dict[str, Any], tmp_path: Path) -> None:
    base = LocalRetriever.of(write_bundle(tmp_path / "bundle", **parts))
    before = base.search(tiny.picture_of("red-00"), k=40)
    first = ChangedGallery(base).changed({DELETED: None})
    second = changed(base)
    assert base.search(tiny.picture_of("red-00"), k=40) == before
    assert len(base.bundle.items) == 36
    assert len(first.items) == 34
    assert len(second.items) == 35  # two images fewer, one more, and two in the place of two


def test_products_come_and_go(parts: dict[str, Any], tmp_path: Path) -> None:
    base = LocalRetriever.of(write_bundle(tmp_path / "bundle", **parts))
    gallery = changed(base)
    (first,) = PRODUCTS[0].pictures
    found = gallery.retriever.search(first.data, k=1)[0]
    assert (found.item_id, found.image_id, found.attributes) == (NEW, first.image_id, PRODUCTS[0].attributes)
    assert found.score == pytest.approx(1, abs=1e-6)
    row = gallery.items.row(first.image_id)
    thumbnail = decode_image(gallery.items.thumbnail(row))
    assert thumbnail.shape == (32, 32, 3)  # like those of the bundle
    predicted = gallery.items.table.column("predicted_attributes").to_pylist()[row]
    assert predicted == ["colour:green", "colour:red"]  # of lime on the white square
    with pytest.raises(QueryError, match="image_id = 'red-00' is not among"):
        gallery.retriever.similar("red-00")
    without = gallery.changed({NEW: None})
    assert NEW not in {hit.item_id for hit in without.retriever.search(first.data, k=100)}
    with pytest.raises(QueryError, match=r"filters\.colour = 'lime' is not known"):
        without.changed({REPLACED: None}).retriever.search(first.data, filters=Filters(colour=("lime",)))
    back = without.changed({DELETED: gallery.entry_of(product(DELETED, tiny.picture_of("red-00")))})
    assert back.retriever.search(tiny.picture_of("red-00"), k=1)[0].item_id == DELETED
    empty = gallery.changed(dict.fromkeys({*base.bundle.items.rows_by_item, NEW}))
    assert empty.retriever.search(first.data, k=5) == []
    assert empty.retriever.search(first.data, k=5, rerank=True) == []
    assert len(empty.items) == 0


def test_an_image_that_is_handed_in_again_is_there_once(parts: dict[str, Any], tmp_path: Path) -> None:
    base = LocalRetriever.of(write_bundle(tmp_path / "bundle", **parts))
    picture = ProductPicture("green-03", encode_png(patched((10, 10, 10), 0)))
    gallery = ChangedGallery(base)
    moved = gallery.changed({"other": gallery.entry_of(Product("other", "dress", (), (picture,)))})
    assert moved.items.image_ids.count("green-03") == 1
    assert moved.items.rows_of("other") == [moved.items.row("green-03")]
    assert len(moved.items) == 36


def test_without_a_classifier_nothing_is_predicted(parts: dict[str, Any], tmp_path: Path) -> None:
    base = LocalRetriever.of(write_bundle(tmp_path / "bundle", **(parts | {"classifier_folder": None})))
    entry = ChangedGallery(base).entry_of(PRODUCTS[0])
    assert entry.rows.column("predicted_attributes").to_pylist() == [[]]


def test_a_damaged_picture_is_named(parts: dict[str, Any], tmp_path: Path) -> None:
    base = LocalRetriever.of(write_bundle(tmp_path / "bundle", **parts))
    broken = Product("a", "dress", (), (ProductPicture.of("a", PRODUCTS[0].pictures[0].data[:60]),))
    with pytest.raises(ImageError, match="truncated or damaged"):
        ChangedGallery(base).entry_of(broken)


def test_a_picture_has_the_same_id_whenever_it_comes() -> None:
    one, again, cropped = (ProductPicture.of("a", b"file", box).image_id for box in (None, None, (0, 0, 4, 4)))
    assert one == again != cropped
    assert one.startswith("a/")
    assert ProductPicture.of("b", b"file").image_id != one


@pytest.mark.parametrize("value", ["", " a", "a ", "a\n", "\ud800", "x" * 201, ".", "..", "a/image", 5, None])
def test_an_item_id_that_cannot_stand_in_a_url_is_refused(value: Any) -> None:
    with pytest.raises(QueryError, match="item_id"):
        check_item_id(value)


def test_attributes_and_versions_are_checked() -> None:
    assert check_attributes(["b", "a", "b"]) == ("b", "a")
    for wrong in ("colour:red", 5, None, [1], [""], ["x" * 101], ["a"] * 101):
        with pytest.raises(QueryError, match="attributes"):
            check_attributes(wrong)
    assert check_version(2**53 - 1) == 2**53 - 1
    for wrong in (0, -1, 2**53, 1.0, True, "1"):
        with pytest.raises(QueryError, match="version"):
            check_version(wrong)
