"""The server over a store: the same answers as over the bundle's own images, and products and versions as they come."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from croquis.bundle import Bundle
from croquis.catalog.filters import Filters
from croquis.catalog.images import decode_image, prepare_image, to_batch
from croquis.cli import main
from croquis.events.event import ProductEvent, event_body
from croquis.events.handler import Handler
from croquis.nets.encoder import describe_encoder, load_encoder
from croquis.params import load_params
from croquis.search.local_retriever import LocalRetriever
from croquis.serving.command import settings_of
from croquis.serving.server_settings import Access, ServeOptions, Settings, SettingsError
from croquis.store.fill import spec_of
from croquis.store.vector_store import StoreError
from croquis.store.versions import open_stores
from tests.support import tiny_retriever as tiny
from tests.support.coded_encoders import save_coded_encoder
from tests.support.indexes import index_of
from tests.support.serving.live_server import ADMIN, TOKEN, Serve, samples, wait_for
from tests.support.serving.store_answers import FILTERS, PROBABLE, asked, filled, same
from tests.support.store.product_events import upsert
from tests.support.tiny_retriever import photo, write_tiny_bundle

pytestmark = pytest.mark.scale


def binary_parts(folder: Path) -> dict[str, Any]:
    encoder = save_coded_encoder(folder / "binary", "binary", tiny.SIZE)
    pictures = [prepare_image(tiny.picture_of(row["image_id"]), tiny.SIZE) for row in tiny.gallery_rows()]
    vectors = load_encoder(encoder).encode(to_batch(pictures))
    metric = describe_encoder(encoder).metric
    return {"encoder_folder": encoder, "index": index_of(vectors, head="binary", metric=metric)}


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"faiss:{tmp_path / 'store'}"


RARE = {"overlap": "idf", "enabled": True}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dense", "probable", "rare", "rare by chance", "binary", "without a classifier"])
def test_a_store_answers_as_the_bundles_own_index(kind: str, serve: Serve, uri: str, tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "dense": {"rerank": tiny.RERANK | {"overlap": "jaccard"}},
        "probable": {"rerank": tiny.RERANK | PROBABLE},
        "rare": {"rerank": tiny.RERANK | RARE},
        "rare by chance": {"rerank": tiny.RERANK | PROBABLE | RARE | {"beta": 5.0}},
        "binary": {},
        "without a classifier": {"classifier_folder": None},
    }[kind]
    folder = write_tiny_bundle(tmp_path / "bundle", **(binary_parts(tmp_path) if kind == "binary" else changes))
    filled(uri, folder)
    own, stored = serve(champion=folder), serve(Settings(threads=2, store=uri), champion=folder)
    for mode in ("photo", "sketch", "sketch-direct"):
        for filters in FILTERS:
            for rerank in ("false",) if kind.startswith("without") else ("false", "true"):
                fields = {"mode": mode, "rerank": rerank, "k": 12} | ({"filters": filters} if filters else {})
                same(asked(stored, "/search", **fields), asked(own, "/search", **fields))
    same(asked(stored, "/search", crop="4,4,30,28", k=100), asked(own, "/search", crop="4,4,30,28", k=100))
    for path in ("/similar/item-green-2?k=5", "/similar/item-green-2?k=100&image_id=green-05"):
        same(stored.get(path).json(), own.get(path).json())
    for path in ("/items/item-red-0", "/catalogue/filters"):
        assert stored.get(path).json() == own.get(path).json()
    for path in ("/items/item-red-0/image", "/items/item-red-0/image?image_id=red-01"):
        assert stored.get(path).content == own.get(path).content
    for path in ("/items/nobody", "/items/nobody/image", "/similar/nobody", "/similar/item-red-0?image_id=blue-00"):
        ours, theirs = stored.get(path), own.get(path)
        assert (ours.status_code, ours.json()["field"]) == (theirs.status_code, theirs.json()["field"])
        assert ours.status_code == 404


def test_a_product_that_came_by_event_is_found_shown_and_gone_again(serve: Serve, uri: str, bundle: Path) -> None:
    filled(uri, bundle)
    client = serve(Settings(threads=2, store=uri))
    retriever = LocalRetriever.load(bundle)
    store = client.app.state.stores.open(retriever.bundle.hash)  # type: ignore[attr-defined]
    handler = Handler(retriever, store, load_params().validate_)
    new = upsert("new/1", 5, "blue-13", "blue-14", category="cape")
    assert new.product is not None
    handler.handle([event_body(new)])
    response = client.post("/search", files={"image": photo("blue-13")}, data={"k": 3, "rerank": "true"})
    first = response.json()["results"][0]
    assert (first["item_id"], first["category"], first["attributes"]) == ("new/1", "cape", ["colour:red"])
    assert first["image_id"] == new.product.pictures[0].image_id
    picture = client.get(first["image"])
    assert decode_image(picture.content).shape == decode_image(retriever.bundle.items.thumbnail(0)).shape
    listed = client.get("/items/new%2F1").json()
    assert sorted(each["image_id"] for each in listed["images"]) == sorted(p.image_id for p in new.product.pictures)
    asks = {"filters": '{"category": ["cape"]}'}
    found = client.post("/search", files={"image": photo("red-00")}, data=asks).json()["results"]
    assert {result["item_id"] for result in found} == {"new/1"}
    assert client.get("/similar/new%2F1?k=100").json()["results"][-1]["item_id"] != "new/1"
    nothing = client.post("/search", files={"image": photo()}, data={"filters": '{"category": ["boat"]}'})
    assert (nothing.status_code, nothing.json()["results"]) == (200, [])
    handler.handle([event_body(upsert("item-red-0", 1, "green-15"))])  # in the place of one that the bundle had
    assert len(client.get("/items/item-red-0").json()["images"]) == 1
    handler.handle([event_body(ProductEvent("new/1", 6, None))])
    assert client.get("/items/new%2F1").status_code == 404
    assert client.get(first["image"]).status_code == 404


@pytest.mark.slow
def test_versions_change_and_change_back_without_a_lost_request(serve: Serve, uri: str, bundle: Path) -> None:
    first, second = filled(uri, bundle, bundle)
    pointer = open_stores(uri)  # it opens no version: the server has them
    client = serve(Settings(threads=2, store=uri, watch_seconds=0.1, access=Access(admin_token=TOKEN)))
    ended, answers = threading.Event(), []

    def ask() -> None:
        while not ended.is_set():
            response = client.post("/search", files={"image": photo()}, data={"k": 1})
            answers.append((response.status_code, response.json().get("model", {}).get("store")))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for wanted in (first, second, first):
            pointer.publish(wanted)
            wait_for(lambda version=wanted: answers[-1:] == [(200, version)])
        assert pointer.rollback() == second
        client.post("/admin/reload", headers=ADMIN)
        assert client.get("/version").json()["models"][0]["store"] == second
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert {status for status, _ in answers} == {200}
    assert {store for _, store in answers} == {first, second}
    assert client.get("/readyz").json() == {"status": "ready", "stores": {"champion": second}}
    assert client.get("/healthz").json()["stores"] == {"champion": second}
    assert samples(client)[f'croquis_store_info{{label="champion",store="{second}"}}'] == 1


@pytest.mark.slow
def test_a_new_champion_searches_its_own_version_and_so_after_a_rollback(
    serve: Serve, uri: str, tmp_path: Path
) -> None:
    one, two = write_tiny_bundle(tmp_path / "one"), write_tiny_bundle(tmp_path / "two", classifier_folder=None)
    served = tmp_path / "served"
    served.symlink_to(one)
    (first,) = filled(uri, one)
    client = serve(Settings(store=uri, access=Access(admin_token=TOKEN)), champion=served)

    def serve_now(folder: Path) -> tuple[int, str | None]:
        fresh = tmp_path / "next"
        fresh.symlink_to(folder)
        fresh.replace(served)
        status = client.post("/admin/reload", headers=ADMIN).status_code
        return status, asked(client, "/search", k=1)["model"]["store"]

    assert serve_now(two) == (503, first)  # no version of it: the old champion goes on
    served.unlink()
    served.symlink_to(one)
    (second,) = filled(uri, two)  # now the current version, beside the one that is served
    assert client.post("/admin/reload", headers=ADMIN).json()[0]["changed"] is False
    assert serve_now(two) == (200, second)
    assert serve_now(one) == (200, first)  # the champion is rolled back, the store not yet
    assert open_stores(uri).rollback() == first
    assert serve_now(one) == (200, first)
    assert serve_now(two) == (200, second)


def test_an_empty_version_is_served(serve: Serve, uri: str, bundle: Path) -> None:
    stores = open_stores(uri)
    stores.publish(stores.create(spec_of(Bundle.load(bundle))).name)
    stores.close()
    client = serve(Settings(store=uri))
    for rerank in ("true", "false"):
        assert asked(client, "/search", rerank=rerank)["results"] == []
    assert client.get("/catalogue/filters").json() == {"category": [], "attributes": [], "colour": [], "product": []}
    assert client.get("/similar/item-red-0").status_code == 404


def test_several_models_search_the_versions_of_their_bundles(serve: Serve, uri: str, tmp_path: Path) -> None:
    one, two = write_tiny_bundle(tmp_path / "one"), write_tiny_bundle(tmp_path / "two", classifier_folder=None)
    names = filled(uri, two, one)
    client = serve(Settings(store=uri), champion=one, other=two)
    assert client.get("/readyz").json()["stores"] == {"champion": names[1], "other": names[0]}
    assert asked(client, "/search?model=other", k=2)["model"]["store"] == names[0]


def test_what_does_not_fit_is_refused_at_the_start(
    bundle: Path, uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*arguments: str, code: int = 1) -> str:
        assert main(["serve", "--bundle", str(bundle), *arguments]) == code
        return capsys.readouterr().err

    assert "has no current version of 'catalogue': create one, fill it and publish it" in refused("--store", uri)
    filled(uri, write_tiny_bundle(tmp_path / "other", classifier_folder=None))
    told = refused("--store", uri)
    assert "holds vectors of the bundle" in told
    assert "publish a version that was made with this" in told
    assert "is no store: give faiss:FOLDER" in refused("--store", "http://127.0.0.1")
    assert "--ingest needs --store" in refused("--ingest", "nats://127.0.0.1:1/products", code=2)
    with pytest.raises(SettingsError, match="products of a --store are changed by events"):
        Settings(store=uri, changes=tmp_path)


def test_the_store_is_looked_up_anew_by_default() -> None:
    watched = [
        settings_of(options).watch_seconds
        for options in (ServeOptions(), ServeOptions(store="faiss:s"), ServeOptions(store="faiss:s", watch=0))
    ]
    assert watched == [0, 5, 0]


def test_changes_by_request_are_refused_with_the_way_to_make_them(serve: Serve, uri: str, bundle: Path) -> None:
    filled(uri, bundle)
    client = serve(Settings(store=uri, access=Access(admin_token=TOKEN)))
    put = client.put("/items/x", files={"image": photo()}, data={"category": "coat"}, headers=ADMIN)
    for response in (put, client.delete("/items/item-red-0", headers=ADMIN)):
        assert (response.status_code, response.json()["type"]) == (403, "urn:croquis:problem:changes-by-events")
        assert "send an event" in response.json()["detail"]
    assert client.get("/items/item-red-0").status_code == 200


def test_a_store_that_fails_is_told_and_is_not_ready(
    serve: Serve, uri: str, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(uri, bundle)
    client = serve(Settings(store=uri))
    kept = client.app.state.fleet.get().retriever.gallery.kept  # type: ignore[attr-defined]

    def away(*_: Any) -> None:
        raise StoreError("the engine is away")

    for name in ("search", "get"):
        monkeypatch.setattr(kept, name, away)
    search = client.post("/search", files={"image": photo()})
    for response in (search, client.get("/readyz")):
        assert (response.status_code, response.json()["type"]) == (503, "urn:croquis:problem:store-unavailable")
        assert response.headers["retry-after"] == "5"
    assert client.get("/healthz").status_code == 200
    monkeypatch.undo()
    assert client.get("/readyz").status_code == 200


def test_a_bundles_gallery_fills_a_version(
    uri: str, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["store", "--store", uri, "fill", "--bundle", str(bundle), "--publish"]) == 0
    assert "36 images, published" in capsys.readouterr().out
    stores = open_stores(uri)
    store = stores.open(Bundle.load(bundle).hash)
    assert (store.count(), store.count(Filters(category=("coat",)))) == (36, 18)
    stores.close()
    assert main(["store", "--store", uri, "fill", "--bundle", str(tmp_path)]) == 1
    assert "is not a bundle" in capsys.readouterr().err
