"""Words through a text tower: what it finds, how it is fused with BM25 and pictures, stores, what is missing."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from croquis.bundle import Bundle, BundleError
from croquis.catalog.images import prepare_image, to_batch
from croquis.files import read_json, write_json
from croquis.search.answer import Hit
from croquis.search.bundle_nets import Nets
from croquis.search.local_retriever import LocalRetriever
from croquis.store.fill import fill
from croquis.store.stored_gallery import StoreGallery
from croquis.store.versions import open_stores
from tests.support import tiny_retriever as tiny
from tests.support.tiny_products import write_products_bundle
from tests.support.tiny_tower import add_tower, text_by_hand
from tests.support.tiny_words import bm25_by_hand, passing_ids, texts_by_hand

WORDS = {"tokenizer": "unicode", "weight": 0.5, "tower_weight": 0.25}
FILTERS: list[dict[str, Any] | None] = [None, {"category": "dress"}, {"colour": ["red", "blue"], "category": "coat"}]
QUERIES = ["crimson", "crimson dress", "acme azure long", "dress"]
Places = Mapping[str, int]


def needs_tokenizers() -> None:
    pytest.importorskip("tokenizers", reason="pip install 'croquis[text]'")


def towered(folder: Path, **changes: Any) -> Path:
    """The tiny bundle of products, without a classifier, with a text tower."""
    nets = add_tower(tiny.save_encoder(folder.with_name(f"{folder.name}-nets")))
    changes = {"words": WORDS, "classifier_folder": None, "encoder_folder": nets, **changes}
    return write_products_bundle(folder, **changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return towered(tmp_path_factory.mktemp("tower") / "bundle")


@pytest.fixture
def retriever(folder: Path) -> LocalRetriever:
    needs_tokenizers()
    return LocalRetriever.load(folder)


def told(hits: list[Hit]) -> list[tuple[str, float]]:
    return [(hit.image_id, round(hit.score, 5)) for hit in hits]


def ranked(scores: Mapping[str, float]) -> Places:
    """Place of each image from 1; equal scores share one."""
    rounded = {name: float(f"{score:.6g}") for name, score in scores.items()}
    return {name: 1 + sum(other > score for other in rounded.values()) for name, score in rounded.items()}


def by_tower(text: str, passing: set[str]) -> dict[str, float]:
    """Cosines by hand of the images that pass."""
    found = {}
    for image_id in passing:
        (pixels,) = to_batch([prepare_image(tiny.picture_of(image_id), tiny.SIZE)])
        cells = pixels.reshape(3, 4, 4, 4, 4).mean(axis=(2, 4)).ravel()
        found[image_id] = float(text_by_hand(text) @ cells / np.linalg.norm(cells))
    return found


def fused_by_hand(*rankings: tuple[Places, float]) -> dict[str, float]:
    total: dict[str, float] = {}
    for places, weight in rankings:
        for name, place in places.items():
            total[name] = total.get(name, 0.0) + weight / (60 + place)
    return total


def words_by_hand(text: str, filters: dict[str, Any] | None) -> tuple[Places, Places]:
    """By BM25 and by the tower, among the images that pass."""
    passing = passing_ids(filters)
    full_text = {name: score for name, score in bm25_by_hand(text, texts_by_hand()).items() if name in passing}
    return ranked(full_text), ranked(by_tower(text, passing))


def agrees(hits: list[Hit], expected: Mapping[str, float]) -> None:
    assert {hit.image_id for hit in hits} == set(expected)
    for hit in hits:
        assert hit.score == pytest.approx(expected[hit.image_id], rel=1e-5)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


@pytest.mark.parametrize("text", QUERIES)
@pytest.mark.parametrize("filters", FILTERS)
def test_words_and_tower_are_fused_by_reciprocal_ranks(
    retriever: LocalRetriever, text: str, filters: dict[str, Any] | None
) -> None:
    full_text, tower = words_by_hand(text, filters)
    hits = retriever.search(text=text, k=100, filters=filters)
    agrees(hits, fused_by_hand((full_text, 0.75), (tower, 0.25)))
    assert told(retriever.search(text=text, k=4, filters=filters)) == told(hits)[:4]


@pytest.mark.parametrize("filters", FILTERS)
def test_a_picture_is_fused_with_both(retriever: LocalRetriever, filters: dict[str, Any] | None) -> None:
    picture: Any = tiny.picture_of("green-03")
    alone = retriever.search(picture, k=36, filters=filters)
    pictured = {hit.image_id: 1 + sum(other.score > hit.score for other in alone) for hit in alone}
    full_text, tower = words_by_hand("azure coat", filters)
    expected = fused_by_hand((pictured, 0.5), (full_text, 0.375), (tower, 0.125))
    agrees(retriever.search(picture, text="azure coat", k=36, filters=filters), expected)


def test_words_that_stand_nowhere_find_what_they_mean(retriever: LocalRetriever) -> None:
    for word, colour in (("crimson", "red"), ("emerald", "green"), ("azure", "blue")):
        hits = retriever.search(text=word, k=12)
        assert {hit.image_id.partition("-")[0] for hit in hits} == {colour}
        grouped = retriever.search(text=word, k=6, group_by="item")
        assert [hit.item_id for hit in grouped] == list(dict.fromkeys(hit.item_id for hit in hits))


@pytest.mark.parametrize("group_by", ["none", "item"])
@pytest.mark.parametrize("filters", FILTERS)
def test_a_store_answers_as_the_bundle(
    retriever: LocalRetriever, tmp_path: Path, filters: dict[str, Any] | None, group_by: Any
) -> None:
    bundle = retriever.bundle
    stores = open_stores(f"faiss:{tmp_path}", "shop")
    stored = LocalRetriever(Nets(bundle), StoreGallery(bundle, fill(stores, bundle)), retriever.rerank)
    picture: Any = tiny.picture_of("red-04")
    for text in ("crimson coat", "acme"):
        how: dict[str, Any] = {"text": text, "k": 12, "filters": filters, "group_by": group_by}
        assert told(stored.search(**how)) == told(retriever.search(**how))
        assert told(stored.search(picture, **how)) == told(retriever.search(picture, **how))


def test_a_weight_of_0_leaves_the_words_themselves(tmp_path: Path) -> None:
    needs_tokenizers()
    found = LocalRetriever.load(towered(tmp_path / "bundle", words=WORDS | {"tower_weight": 0.0}))
    plain = LocalRetriever.load(towered(tmp_path / "plain", encoder_folder=tiny.save_encoder(tmp_path / "bare")))
    picture: Any = tiny.picture_of("blue-05")
    for text in QUERIES:
        assert found.search(text=text, k=36) == plain.search(text=text, k=36)
        assert found.search(picture, text=text, k=36) == plain.search(picture, text=text, k=36)


def test_a_bundle_without_a_tower_says_nothing_of_one(tmp_path: Path) -> None:
    plain = Bundle.load(towered(tmp_path / "plain", encoder_folder=tiny.save_encoder(tmp_path / "bare")))
    older = {name: value for name, value in WORDS.items() if name != "tower_weight"}
    stated = plain.manifest.to_json()
    assert stated["words"] == {"file": "words.sqlite", "rows": 36, **older}
    assert {"text", "tokenizer"}.isdisjoint(stated["encoder"])
    bare = tiny.save_encoder(tmp_path / "again-bare")
    assert Bundle.load(towered(tmp_path / "again", encoder_folder=bare, words=older)).hash == plain.hash


def test_without_the_package_words_are_searched_by_themselves(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with caplog.at_level(logging.WARNING):
        found = LocalRetriever.load(folder)
    assert [record.getMessage() for record in caplog.records] == [
        f"{folder}: words are searched without its text tower, as the package tokenizers is not installed: "
        "pip install 'croquis[text]'"
    ]
    found.bundle.open_all()
    found.warm_up()
    plain = LocalRetriever.load(towered(tmp_path / "plain", encoder_folder=tiny.save_encoder(tmp_path / "bare")))
    for text in QUERIES:
        assert found.search(text=text, k=36) == plain.search(text=text, k=36)


@pytest.mark.parametrize("name", ["text.onnx", "tokenizer.json"])
def test_the_manifest_guards_the_tower(tmp_path: Path, name: str) -> None:
    bundle = Bundle.load(towered(tmp_path / "bundle"))
    assert {"text.onnx", "tokenizer.json"} < set(bundle.manifest.files)
    content = (bundle.folder / name).read_bytes()
    (bundle.folder / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BundleError, match=f"{name} was changed"):
        Bundle.load(bundle.folder)
    (bundle.folder / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        Bundle.load(bundle.folder)


def test_a_weight_that_fits_no_bundle_is_refused(tmp_path: Path) -> None:
    bundle = Bundle.load(towered(tmp_path / "bundle"))
    assert bundle.manifest.to_json()["words"] == {"file": "words.sqlite", "rows": 36, **WORDS}
    values = read_json(bundle.folder / "manifest.json")
    write_json(bundle.folder / "manifest.json", values | {"words": values["words"] | {"tower_weight": 1.5}})
    with pytest.raises(BundleError, match=r"tower_weight = 1\.5, must be 0 to 1"):
        Bundle.load(bundle.folder)
    with pytest.raises(BundleError, match="tower_weight = 2"):
        towered(tmp_path / "wrong", words=WORDS | {"tower_weight": 2.0})
    plain = towered(tmp_path / "plain", encoder_folder=tiny.save_encoder(tmp_path / "bare"))
    values = read_json(plain / "manifest.json")
    write_json(plain / "manifest.json", values | {"words": values["words"] | {"tower_weight": 0.5}})
    with pytest.raises(BundleError, match="beside an encoder with a text tower, or absent"):
        Bundle.load(plain)
