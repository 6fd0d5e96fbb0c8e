"""Searches by words, alone and beside pictures: BM25 by hand, filters, products, re-ranking, old bundles, stores."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from croquis.bundle import Bundle, BundleError
from croquis.catalog.filters import QueryError
from croquis.files import read_json, write_json
from croquis.search.answer import Hit
from croquis.search.bundle_nets import Nets
from croquis.search.local_retriever import LocalRetriever
from croquis.store.fill import fill
from croquis.store.stored_gallery import StoreGallery
from croquis.store.vector_store import StoreChange
from croquis.store.versions import open_stores
from tests.support import tiny_retriever as tiny
from tests.support.tiny_products import columns_of, write_products_bundle
from tests.support.tiny_words import bm25_by_hand, passing_ids, texts_by_hand

WORDS = {"tokenizer": "unicode", "weight": 0.5}
QUERIES = ["dress", "acme red", "garment 3 celia coat", "long", "nothing of it", "Borel, 5!"]
FILTERS: list[dict[str, Any] | None] = [None, {"category": "dress"}, {"colour": ["red", "blue"], "category": "coat"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_products_bundle(tmp_path_factory.mktemp("words") / "bundle", words=WORDS)


@pytest.fixture(scope="module")
def retriever(folder: Path) -> LocalRetriever:
    return LocalRetriever.load(folder)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> LocalRetriever:
    """Without a classifier, so that texts alone count."""
    folder = tmp_path_factory.mktemp("plain") / "bundle"
    return LocalRetriever.load(write_products_bundle(folder, words=WORDS, classifier_folder=None))


@pytest.fixture(params=["faiss", pytest.param("milvus", marks=[pytest.mark.scale, pytest.mark.slow])])
def engine(request: pytest.FixtureRequest) -> str:
    """Milvus is Milvus Lite here."""
    if request.param == "milvus" and importlib.util.find_spec("milvus_lite") is None:
        pytest.skip("pymilvus is not installed: pip install '.[scale]'")
    return str(request.param)


def over_store(retriever: LocalRetriever, folder: Path, engine: str = "faiss") -> LocalRetriever:
    stores = open_stores(f"faiss:{folder}" if engine == "faiss" else f"milvus:{folder / 'lite.db'}", "shop")
    bundle = retriever.bundle
    return LocalRetriever(Nets(bundle), StoreGallery(bundle, fill(stores, bundle)), retriever.rerank)


def told(hits: list[Hit]) -> list[tuple[str, float]]:
    return [(hit.image_id, round(hit.score, 5)) for hit in hits]


def places(hits: list[Hit]) -> dict[str, int]:
    """Of images, where equal scores share one."""
    return {hit.image_id: 1 + sum(other.score > hit.score for other in hits) for hit in hits}


@pytest.mark.slow
@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("filters", FILTERS)
def test_words_rank_as_bm25_by_hand(plain: LocalRetriever, query: str, filters: dict[str, Any] | None) -> None:
    expected = bm25_by_hand(query, texts_by_hand())
    passing = {name: score for name, score in expected.items() if name in passing_ids(filters)}
    hits = plain.search(text=query, k=100, filters=filters)
    assert {hit.image_id for hit in hits} == set(passing)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    for hit in hits:
        assert hit.score == pytest.approx(passing[hit.image_id], rel=1e-4)
    assert told(plain.search(text=query, k=3, filters=filters)) == told(hits)[:3]


def test_products_are_grouped(plain: LocalRetriever) -> None:
    images = plain.search(text="acme dress", k=100)
    items = list(dict.fromkeys(hit.item_id for hit in images))
    assert [hit.item_id for hit in plain.search(text="acme dress", k=100, group_by="item")] == items
    assert [hit.item_id for hit in plain.search(text="acme dress", k=4, group_by="item")] == items[:4]


def test_words_that_nobody_wrote_are_seen_by_the_classifier(tmp_path: Path) -> None:
    table = tiny.tiny_parts(tmp_path / "parts")["gallery_table"]
    bare = [[name for name in names if "colour" not in name] for names in table.column("attributes").to_pylist()]
    place = table.schema.get_field_index("attributes")
    unlabelled = table.set_column(place, table.schema.field(place), [bare])
    found = LocalRetriever.load(tiny.write_tiny_bundle(tmp_path / "seen", gallery_table=unlabelled, words=WORDS))
    hits = found.search(text="red coat", k=6)
    assert {hit.image_id.partition("-")[0] for hit in hits} == {"red"}
    assert {hit.category for hit in hits} == {"coat"}
    blind = tiny.write_tiny_bundle(tmp_path / "blind", gallery_table=unlabelled, words=WORDS, classifier_folder=None)
    assert LocalRetriever.load(blind).search(text="red", k=6) == []


def test_picture_and_words_are_fused_by_reciprocal_ranks(retriever: LocalRetriever) -> None:
    picture: Any = tiny.picture_of("green-03")
    by_picture = places(retriever.search(picture, k=36))
    by_words = places(retriever.search(text="borel dress", k=36))
    hits = retriever.search(picture, text="borel dress", k=36)
    for hit in hits:
        parts = [1 / (60 + ranked[hit.image_id]) for ranked in (by_picture, by_words) if hit.image_id in ranked]
        assert hit.score == pytest.approx(sum(parts) / 2, rel=1e-5)
    assert len(hits) == 36
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert told(retriever.search(picture, text="borel dress", k=5)) == told(hits)[:5]
    assert told(retriever.search(picture, text="zzz", k=9))[0][0] == retriever.search(picture, k=1)[0].image_id


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_at_its_ends_the_weight_leaves_one_of_them(tmp_path: Path, weight: float) -> None:
    found = LocalRetriever.load(write_products_bundle(tmp_path / "bundle", words=WORDS | {"weight": weight}))
    picture: Any = tiny.picture_of("blue-06")
    both = found.search(picture, text="acme", k=36)
    alone = found.search(picture, k=36) if weight == 0 else found.search(text="acme", k=36)
    assert [hit.image_id for hit in both] == [hit.image_id for hit in alone]


@pytest.mark.slow
@pytest.mark.parametrize("rerank", [False, True])
@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize("group_by", ["none", "item"])
def test_a_store_answers_as_the_bundle(
    retriever: LocalRetriever, tmp_path: Path, rerank: bool, filters: dict[str, Any] | None, group_by: Any, engine: str
) -> None:
    stored = over_store(retriever, tmp_path, engine)
    views: Any = [tiny.picture_of("red-04"), tiny.picture_of("blue-08")]
    for text in ("acme red", "long dress"):
        how: dict[str, Any] = {"text": text, "k": 12, "filters": filters, "group_by": group_by}
        assert told(stored.search(**how)) == told(retriever.search(**how))
        for picture in (views[0], views):
            how["rerank"] = rerank
            assert told(stored.search(picture, **how)) == told(retriever.search(picture, **how))


def test_a_store_forgets_and_learns_words(retriever: LocalRetriever, tmp_path: Path, engine: str) -> None:
    stored = over_store(retriever, tmp_path, engine)
    kept = stored.gallery.kept  # type: ignore[attr-defined]
    first = retriever.search(text="acme", k=1)[0].image_id
    old, vector = kept.get([first])[first], kept.vectors([first])[first]
    new = dataclasses.replace(old, product={"title": "Zebra gown"}, version=1)
    kept.change(StoreChange([new], vector[None], [b""]))
    assert [hit.image_id for hit in stored.search(text="zebra", k=5)] == [first]
    assert first not in [hit.image_id for hit in stored.search(text="acme", k=36)]
    kept.delete([first])
    assert stored.search(text="zebra", k=5) == []
    assert first not in [hit.image_id for hit in stored.search(text="red", k=36)]


def test_an_old_bundle_answers_pictures_and_refuses_words(tmp_path: Path, retriever: LocalRetriever) -> None:
    old = LocalRetriever.load(write_products_bundle(tmp_path / "old"))
    assert not (old.bundle.folder / "words.sqlite").exists()
    assert "words" not in old.bundle.manifest.to_json()
    picture: Any = tiny.picture_of("red-01")
    assert told(old.search(picture, k=9)) == told(retriever.search(picture, k=9))
    with pytest.raises(QueryError, match="text = 'red' cannot be searched: this bundle was made without words; make"):
        old.search(picture, text="red")
    assert told(over_store(old, tmp_path / "store").search(text="acme", k=5)) == told(
        retriever.search(text="acme", k=5)
    )


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({}, "picture"),
        ({"text": "red", "mode": "sketch"}, "mode"),
        ({"text": "red", "rerank": True}, "rerank"),
        ({"text": "red", "bbox": [0, 0, 3, 3]}, "bbox"),
        ({"text": ""}, "text"),
        ({"text": "x" * 201}, "text"),
        ({"text": "red", "filters": {"category": "hat"}}, "filters.category"),
    ],
)
def test_wrong_questions_are_refused_by_field(retriever: LocalRetriever, asked: dict[str, Any], field: str) -> None:
    with pytest.raises(QueryError) as refused:
        retriever.search(**asked)
    assert refused.value.field == field


def test_words_are_a_part_of_the_bundle(folder: Path, tmp_path: Path) -> None:
    bundle = Bundle.load(folder)
    assert bundle.manifest.to_json()["words"] == {"file": "words.sqlite", "rows": 36, **WORDS}
    bundle.open_all()
    again = write_products_bundle(tmp_path / "again", words=WORDS)
    assert (again / "words.sqlite").read_bytes() == (folder / "words.sqlite").read_bytes()
    assert Bundle.load(again).hash == bundle.hash
    for key, value in (("tokenizer", "porter"), ("weight", 2.0), ("rows", 35)):
        values = read_json(again / "manifest.json")
        values["words"][key] = value
        write_json(tmp_path / "again" / "manifest.json", values | {"words": values["words"]})
        with pytest.raises(BundleError, match="words"):
            Bundle.load(again)
        write_json(again / "manifest.json", bundle.manifest.to_json())
    with pytest.raises(BundleError, match="weight = 3"):
        write_products_bundle(tmp_path / "wrong", words=WORDS | {"weight": 3.0})


def test_columns_that_are_links_are_not_searched(plain: LocalRetriever) -> None:
    assert plain.search(text="https", k=5) == plain.search(text="shop.example", k=5) == []
    assert "https" in columns_of("item-red-0")["link"]
    assert np.isfinite([hit.score for hit in plain.search(text="garment", k=36)]).all()
