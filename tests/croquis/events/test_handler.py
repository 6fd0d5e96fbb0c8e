"""Product events: what is read, what is refused and why, and what a batch of them does to a store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from croquis.catalog.product import Product, ProductPicture
from croquis.events.event import EventError, ProductEvent, event_body, parse_event
from croquis.events.event_command import store_of
from croquis.events.handler import Handler
from croquis.params import load_params
from croquis.search.local_retriever import LocalRetriever
from croquis.store.vector_store import Stored, StoredImage, StoreError, StoreSpec, VectorStore
from croquis.store.versions import Stores, open_stores
from tests.support import tiny_retriever as tiny
from tests.support.store.product_events import upsert
from tests.support.tiny_retriever import photo, write_tiny_bundle

pytestmark = pytest.mark.scale
RULES = {"min_side": 16}


@pytest.fixture(scope="module")
def retriever(tmp_path_factory: pytest.TempPathFactory) -> LocalRetriever:
    return LocalRetriever.load(write_tiny_bundle(tmp_path_factory.mktemp("events") / "bundle"))


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return open_stores(f"faiss:{tmp_path / 'store'}")


@pytest.fixture
def handler(retriever: LocalRetriever, stores: Stores) -> Handler:
    settings = load_params().validate_.model_copy(update=RULES)
    return Handler(retriever, store_of(stores, retriever, None, True, "flat"), settings)


def test_an_event_survives_the_way(tmp_path: Path) -> None:
    event = ProductEvent("a é", 3, Product("a é", "coat", ("x", "y"), (ProductPicture.of("a é", b"1", (1, 2, 3, 4)),)))
    assert parse_event(event_body(event)) == event
    assert parse_event(event_body(ProductEvent("a", 4, None))) == ProductEvent("a", 4, None)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.jpg").write_bytes(b"12")
    by_path = {"kind": "upsert", "item_id": "a", "version": 1, "category": "c", "images": [{"path": "in/a.jpg"}]}
    read = parse_event(json.dumps(by_path).encode(), tmp_path)
    assert read.product is not None
    assert read.product.pictures == (ProductPicture.of("a", b"12"),)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "replace"}, "kind is one of upsert, delete"),
        ({"price": 3}, r"unknown fields \['price'\]"),
        ({"version": 0}, "version = 0 must be a whole number from 1"),
        ({"version": True}, "version = True must be a whole number"),
        ({"item_id": " a"}, "item_id = ' a' must be 1 to 200 printable"),
        ({"category": None}, "category = 'NoneType'"),
        ({"attributes": "red"}, "attributes = 'red' must be a list of words"),
        ({"images": []}, "images must be a list of 1 to 10"),
        ({"images": [{"data": "?"}]}, "images.data is not base64"),
        ({"images": [{"data": "", "path": "a"}]}, "an image is an object with data"),
        ({"images": [{"path": "a.jpg"}]}, "no folder is set"),
        ({"images": [{"data": "", "bbox": [1, 2, 3]}]}, "bbox must be four whole numbers"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, object], words: str) -> None:
    sound = {"kind": "upsert", "item_id": "a", "version": 1, "category": "c", "images": [{"data": ""}]}
    with pytest.raises(EventError, match=words):
        parse_event(json.dumps(sound | changes).encode())


def test_paths_do_not_leave_the_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_text("x")
    (tmp_path / "in/link").symlink_to(tmp_path / "secret")
    event = {"kind": "upsert", "item_id": "a", "version": 1, "category": "c"}
    for name in ("../secret", "/etc/passwd", "link", 7, ""):
        with pytest.raises(EventError, match=r"leaves the folder|cannot be read"):
            parse_event(json.dumps(event | {"images": [{"path": name}]}).encode(), tmp_path / "in")


def test_a_batch_is_checked_embedded_and_stored(handler: Handler, retriever: LocalRetriever, stores: Stores) -> None:
    store = stores.open(retriever.bundle.hash)
    torn = ProductEvent("torn", 1, Product("torn", "dress", (), (ProductPicture.of("torn", photo()[:60]),)))
    bodies = [
        event_body(upsert("a", 2, "red-00", "blue-01")),
        b"{",
        event_body(upsert("a", 1, "green-03")),
        event_body(torn),
        event_body(upsert("b", 1, "green-05")),
    ]
    done = handler.handle(bodies)
    assert sorted(done.rejected) == [1, 3]
    assert done.rejected[1].startswith("not JSON")
    assert done.rejected[3].startswith("whole_file: ")
    assert (dict(done.counts), done.images) == ({"applied": 2, "stale": 1, "rejected": 2}, 3)
    found = store.search(retriever.encode_photos([tiny.picture_of("green-05")]), 1)[0][0]
    assert (found.image.item_id, found.score) == ("b", pytest.approx(1.0, abs=1e-6))
    assert [image.version for image in store.images_of(["a"])] == [2, 2]
    again = handler.handle(bodies)  # as after a kill between store and commit
    assert (dict(again.counts), store.count()) == ({"applied": 2, "stale": 1, "rejected": 2}, 3)
    assert handler.handle([event_body(ProductEvent("a", 3, None)), event_body(upsert("b", 2, "red-07"))]).images == 1
    assert {image.item_id for image, _ in pairs(store)} == {"b"}
    assert dict(handler.handle([event_body(upsert("a", 2, "red-00"))]).counts)["stale"] == 1
    stores.close()


def test_two_events_with_one_picture_do_not_meet(handler: Handler) -> None:
    twice = event_body(upsert("a", 1, "red-00"))
    assert handler.handle([twice, twice, event_body(upsert("b", 1, "red-00"))]).rejected == {}


def test_a_store_of_another_bundle_is_refused(retriever: LocalRetriever, stores: Stores) -> None:
    other = stores.create(StoreSpec("cd" * 32, "dense", "cosine", 48))
    with pytest.raises(StoreError, match=f"{other.name} was made with the bundle {'cd' * 6}"):
        Handler(retriever, other, load_params().validate_)


def pairs(store: VectorStore) -> list[tuple[StoredImage, Stored]]:
    return [(image, vector) for images, stored in store.scan() for image, vector in zip(images, stored, strict=True)]
