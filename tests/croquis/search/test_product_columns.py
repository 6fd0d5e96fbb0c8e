"""The products' own columns: kept with every kind of index and in stores, in answers, and as exact filters."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from croquis.bundle import Bundle
from croquis.bundle.gallery_file import ItemsError
from croquis.catalog.filters import Filters, QueryError, as_filters
from croquis.catalog.product_columns import ColumnFilter, ProductError, check_columns
from croquis.search.bundle_nets import Nets
from croquis.search.local_retriever import LocalRetriever
from croquis.store.faiss_file import OLDER
from croquis.store.faiss_store import FaissStore
from croquis.store.fill import fill
from croquis.store.snapshot import load_snapshot, save_snapshot
from croquis.store.stored_gallery import StoreGallery
from croquis.store.versions import Stores, open_stores
from tests.support import tiny_retriever as tiny
from tests.support.indexes import index_of
from tests.support.tiny_products import BRANDS, columns_of, write_products_bundle

ASKED: list[dict[str, Any]] = [
    {"brand": "Acme"},
    {"brand": ["Borel", BRANDS[2]]},
    {"brand": "Nobody's"},
    {"price": {"min": 20, "max": 35.0}},
    {"price": {"min": 40}},
    {"price": {"max": 12.5}},
    {"price": [10, 12.5, 99]},
    {"sale": True},
    {"sale": [False], "brand": "Acme", "price": {"min": 0}},
    {"title": "Red garment 2"},
]


def passing(asked: dict[str, Any]) -> set[str]:
    """The oracle, by hand."""

    def passes(value: Any, wanted: Any) -> bool:
        if isinstance(wanted, dict):
            return value is not None and wanted.get("min", -np.inf) <= value <= wanted.get("max", np.inf)
        return value in (wanted if isinstance(wanted, list) else [wanted])

    rows = tiny.gallery_rows()
    return {
        row["image_id"]
        for row in rows
        if all(passes(columns_of(row["item_id"]).get(name), wanted) for name, wanted in asked.items())
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_products_bundle(tmp_path_factory.mktemp("products") / "bundle")


@pytest.fixture(scope="module")
def retriever(folder: Path) -> LocalRetriever:
    return LocalRetriever.load(folder)


def check_filters(retriever: LocalRetriever, asked: dict[str, Any]) -> None:
    picture: Any = tiny.picture_of("green-03")
    everything = retriever.search(picture, k=36)
    expected = [hit.image_id for hit in everything if hit.image_id in passing(asked)]
    found = retriever.search(picture, k=36, filters={"product": asked})
    if retriever.bundle.index.kind == "flat":
        assert [hit.image_id for hit in found] == expected
    assert {hit.image_id for hit in found} == passing(asked)
    assert all(dict(hit.product) == columns_of(hit.item_id) for hit in found)
    dresses = retriever.search(picture, k=36, filters={"product": asked, "category": "dress"}, group_by="item")
    assert len(dresses) == len({hit.item_id for hit in found if hit.category == "dress"})


@pytest.mark.slow
@pytest.mark.parametrize("asked", ASKED)
def test_filters_by_columns_are_exact(retriever: LocalRetriever, asked: dict[str, Any]) -> None:
    check_filters(retriever, asked)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["hnsw", "ivfpq"])
def test_they_are_for_other_kinds_of_index(tmp_path: Path, retriever: LocalRetriever, kind: str) -> None:
    settings = {"ivf_lists": 2, "ivf_probes": 1, "pq_subspaces": 24, "pq_bits": 4}
    index = index_of(retriever.bundle.index.vectors(), metric="cosine", kind=kind, **settings)
    other = LocalRetriever.load(write_products_bundle(tmp_path / "bundle", index=index))
    for asked in ASKED:
        check_filters(other, asked)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Any:
    opened = open_stores(f"faiss:{tmp_path_factory.mktemp('stores')}", "shop")
    yield opened
    opened.close()


def stored(folder: Path, keep: Callable[[Bundle], Any]) -> LocalRetriever:
    bundle = Bundle.load(folder)
    return LocalRetriever(Nets(bundle), StoreGallery(bundle, keep(bundle)), bundle.manifest.rerank)


@pytest.mark.slow
def test_a_store_keeps_them(folder: Path, stores: Stores, tmp_path: Path) -> None:
    first = fill(stores, Bundle.load(folder))
    save_snapshot(first, tmp_path / "saved")
    again = load_snapshot(tmp_path / "saved", stores)
    for store in (first, again):
        retriever = stored(folder, lambda _, store=store: store)  # type: ignore[misc]
        for asked in ASKED:
            check_filters(retriever, asked)
            assert store.count(as_filters({"product": asked})) == len(passing(asked))
    kept = first.get(["red-00"])["red-00"]
    assert dict(kept.product) == columns_of(kept.item_id)
    first.delete(["red-00"])
    assert "red-00" not in {hit.image_id for hit in stored(folder, lambda _: first).search(tiny.picture_of("red-00"))}
    assert first.count(as_filters({"product": {"title": "Red garment 0"}})) == 1


@pytest.mark.parametrize("version", OLDER)
def test_a_store_of_a_schema_before_is_opened(folder: Path, tmp_path: Path, version: int) -> None:
    stores = open_stores(f"faiss:{tmp_path}", "shop")
    name = fill(stores, Bundle.load(folder)).name
    stores.close()
    file = next(tmp_path.glob("**/*.sqlite"))
    with sqlite3.connect(file) as connection:
        connection.execute("drop table texts")
        if version == OLDER[0]:
            connection.execute("drop table cells")
        connection.execute(f"pragma user_version = {version}")
    connection.close()
    opened = open_stores(f"faiss:{tmp_path}", "shop")
    store = opened.look_at(name)
    assert isinstance(store, FaissStore)
    image = store.get(["red-00"])["red-00"]
    assert (image.item_id, image.product == {}) == ("item-red-0", version == OLDER[0])
    assert len(store.search_words("red", 36, Filters(), ())) == 12
    assert len(store.search_words("acme", 36, Filters(), ())) == (0 if version == OLDER[0] else 8)
    opened.close()


def test_a_bundle_without_columns_opens_and_says_what_it_lacks(tmp_path: Path) -> None:
    retriever = LocalRetriever.load(tiny.write_tiny_bundle(tmp_path / "bundle"))
    hits = retriever.search(tiny.picture_of("red-00"), k=3)
    assert [hit.product for hit in hits] == [{}, {}, {}]
    with pytest.raises(QueryError, match=r"filters\.product = 'price' is no column; known: none"):
        retriever.search(tiny.picture_of("red-00"), filters={"product": {"price": 3}})


@pytest.mark.parametrize(
    ("product", "message"),
    [
        ({"colour": "red"}, "filters.product = 'colour' is no column; known: title, price, brand, sale, link"),
        ({"title": {"min": 3}}, "filters.product.title = .* must be of the type text"),
        ({"price": "cheap"}, "filters.product.price = .* must be of the type number"),
        ({"sale": 1}, "filters.product.sale = .* must be of the type boolean"),
        ({"price": {"from": 3}}, 'filters.product.price = .* a range must be numbers such as {"min": 10, "max": 50}'),
        ({"price": []}, "filters.product.price = .* must be a value, a list of 1 to 100 values, or a range"),
        ({"price": float("nan")}, "filters.product.price = nan must be a value"),
        ("price", "filters.product = 'price' must be an object"),
    ],
)
def test_a_wrong_filter_is_named(retriever: LocalRetriever, product: Any, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        retriever.search(tiny.picture_of("red-00"), filters={"product": product})


def test_filters_are_sent_as_they_were_asked() -> None:
    asked = {"category": ["coat"], "product": {"brand": ["Acme"], "price": {"max": 50.0}, "sale": [True]}}
    assert Filters.from_mapping(asked).to_mapping() == asked
    assert Filters.from_mapping({}).to_mapping() == {}
    assert Filters.from_mapping({"product": {}}).empty
    assert not ColumnFilter.of("price", 1).passes({"price": True})
    assert not ColumnFilter.of("sale", True).passes({"sale": 1.0})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "must be an object"),
        ({"title": ["a"]}, "column 'title': must be a text, a finite number, true or false"),
        ({"price": float("inf")}, "column 'price'"),
        ({"price": 10**400}, "column 'price'"),
        ({"title": "x" * 1001}, "column 'title': 1001 characters are too many, at most 1000 are kept"),
        ({f"c{number}": 1 for number in range(21)}, "21 product columns are too many, at most 20"),
        ({"": 1}, "a product column ''"),
    ],
)
def test_columns_have_limits(values: Any, message: str) -> None:
    with pytest.raises(ProductError, match=message):
        check_columns(values)
    assert check_columns({"a": None, "b": 2}) == {"b": 2.0}


def test_a_gallery_with_another_column_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa

    table = tiny.tiny_parts(tmp_path / "parts")["gallery_table"]
    wrong = table.append_column("product", pa.array([{"sizes": [1]}] * len(table)))
    with pytest.raises(ItemsError, match="must hold texts, numbers and booleans"):
        tiny.write_tiny_bundle(tmp_path / "bundle", gallery_table=wrong)
