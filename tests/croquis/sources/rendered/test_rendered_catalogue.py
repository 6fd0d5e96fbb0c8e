"""The rendered catalogue as its readers see it: rows, splits, roles, bytes."""

from __future__ import annotations

import io
import multiprocessing
from itertools import islice

import numpy as np
import pytest
from PIL import Image

from croquis.catalog.table import ROLES, Catalog, CatalogWriter
from croquis.sources.rendered import catalogue as catalogue_module
from croquis.sources.rendered import rows, vocabulary
from croquis.sources.rendered.catalogue import item_rows
from croquis.sources.rendered.item_sheet import write_sheet
from croquis.sources.rendered.rendered_settings import Rendered

SEED = 11
PARAMS = Rendered(
    items=20,
    size=48,
    shop_views=["front", "back", "detail"],
    consumer_photos=2,
    sketches=True,
    twin_share=0.3,
    shared_print_share=0.2,
    difficulty=1.0,
    lighting=1.0,
    val_share=0.25,
    test_share=0.25,
)


@pytest.fixture(scope="module")
def catalogue() -> list[dict]:
    return list(rows(PARAMS, SEED, workers=0))


def picture(row: dict) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(row["image"])))


@pytest.mark.slow
def test_same_seed_gives_the_same_bytes_in_any_number_of_processes(catalogue):
    pooled = list(rows(PARAMS, SEED, workers=2))
    assert pooled == catalogue


@pytest.mark.slow
def test_another_seed_gives_other_garments(catalogue):
    other = list(islice(rows(PARAMS, SEED + 1, workers=0), 5))
    assert [row["image"] for row in other] != [row["image"] for row in catalogue[:5]]


@pytest.mark.slow
def test_more_items_leave_the_first_ones_as_they_are(catalogue):
    wider = islice(rows(PARAMS.model_copy(update={"items": 40}), SEED, workers=0), len(catalogue))
    assert list(wider) == catalogue


def test_rows_fit_the_catalogue_schema(catalogue, tmp_path):
    with CatalogWriter(tmp_path / "raw") as writer:
        writer.write_all(catalogue)
    read = Catalog.open(tmp_path / "raw")
    assert len(read) == len(catalogue)
    assert list(read.images([3, 7])) == [catalogue[3]["image"], catalogue[7]["image"]]


def test_image_ids_are_unique_and_named_after_their_item(catalogue):
    ids = [row["image_id"] for row in catalogue]
    assert len(set(ids)) == len(ids)
    assert {"item-000000/shop-front", "item-000000/consumer-1"} <= set(ids)
    assert all(row["image_id"].split("/")[0] == row["item_id"] for row in catalogue)


def test_no_item_is_in_two_splits_and_every_split_is_there(catalogue):
    splits: dict[str, set[str]] = {}
    for row in catalogue:
        splits.setdefault(row["item_id"], set()).add(row["split"])
    assert all(len(found) == 1 for found in splits.values())
    assert set.union(*splits.values()) == {"train", "val", "test"}


def test_roles_follow_split_domain_and_view(catalogue):
    for row in catalogue:
        assert row["role"] in ROLES
        if row["split"] == "train":
            assert row["role"] == "train"
            assert row["domain"] != "sketch"
        else:
            is_gallery = row["domain"] == "shop" and row["view"] in {"front", "back"}
            assert row["role"] == ("gallery" if is_gallery else "query")


def test_every_query_item_has_gallery_photos(catalogue):
    gallery = {row["item_id"] for row in catalogue if row["role"] == "gallery"}
    queries = {row["item_id"] for row in catalogue if row["role"] == "query"}
    assert queries
    assert queries <= gallery


def test_images_decode_at_the_asked_size(catalogue):
    assert {Image.open(io.BytesIO(row["image"])).size for row in catalogue} == {(48, 48)}


def test_boxes_lie_in_the_photo_and_hold_the_garment(catalogue):
    for row in catalogue:
        if row["domain"] == "sketch" or row["view"] == "detail":
            assert row["bbox"] is None
            continue
        x1, y1, x2, y2 = row["bbox"]
        assert 0 <= x1 < x2 <= 48
        assert 0 <= y1 < y2 <= 48
        if row["domain"] == "shop":
            assert max(x2 - x1, y2 - y1) > 0.75 * 48


def test_attributes_are_of_the_vocabulary_and_shared_by_all_photos_of_an_item(catalogue):
    known, by_item = set(vocabulary()), {}
    assert len(known) >= 40
    for row in catalogue:
        assert set(row["attributes"]) <= known
        assert by_item.setdefault(row["item_id"], row["attributes"]) == row["attributes"]


def test_flats_are_dark_thin_lines_on_white(catalogue):
    flats = [picture(row) for row in catalogue if row["domain"] == "sketch"]
    assert len(flats) == len({row["item_id"] for row in catalogue if row["split"] != "train"})
    for image in flats:
        assert image.ndim == 2
        assert np.median(image) == 255
        assert 0.02 < (image < 200).mean() < 0.35


def test_consumer_photos_are_harder_than_shop_photos(catalogue):
    """The corners of a shop photo are its empty ground; those of a consumer photo are a place."""
    spread = {"shop": [], "consumer": []}
    for row in catalogue:
        if row["domain"] in spread and row["view"] != "detail":
            corners = picture(row)[:6, :6].reshape(-1, 3).mean(axis=0)
            spread[row["domain"]].append(corners)
    assert np.std(spread["consumer"], axis=0).mean() > 5 * np.std(spread["shop"], axis=0).mean()


@pytest.mark.slow
def test_no_detail_view_means_no_shop_query():
    bare = PARAMS.model_copy(update={"shop_views": ["front"], "sketches": False, "consumer_photos": 1})
    found = list(rows(bare, SEED, workers=0))
    assert {(row["domain"], row["role"]) for row in found if row["split"] == "test"} == {
        ("shop", "gallery"),
        ("consumer", "query"),
    }
    assert len(found) == 40


def test_front_must_be_among_the_views():
    with pytest.raises(ValueError, match="shop_views"):
        rows(PARAMS.model_copy(update={"shop_views": ["back"]}), SEED, workers=0)


def test_a_catalogue_of_100_000_items_starts_at_once(monkeypatch: pytest.MonkeyPatch):
    """The first photos of an item need that item alone."""
    rendered = []
    monkeypatch.setattr(catalogue_module, "item_rows", lambda *given: rendered.append(given[2]) or item_rows(*given))
    stream = rows(PARAMS.model_copy(update={"items": 100_000}), SEED, workers=0)
    first = list(islice(stream, 3))
    stream.close()
    assert first[0]["image_id"] == "item-000000/shop-front"
    assert rendered == [0]


@pytest.mark.slow
def test_a_stream_that_is_left_early_ends_its_processes():
    stream = rows(PARAMS, SEED, workers=1)
    assert next(stream)["image_id"] == "item-000000/shop-front"
    stream.close()
    assert not multiprocessing.active_children()


def test_the_contact_sheet_holds_six_pictures_per_item(tmp_path):
    write_sheet(tmp_path / "sheet.png", PARAMS, SEED, count=2, side=32)
    image = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert image.shape == (2 * 38 + 6, 6 * 38 + 6, 3)
    columns = [image[:, 6 + 38 * k : 38 + 38 * k] for k in range(6)]
    assert all((column < 200).any() for column in columns)
