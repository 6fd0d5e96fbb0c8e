"""Products that are added, replaced and deleted while the server answers."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from croquis.bundle import Bundle
from croquis.catalog.images import encode_png
from croquis.catalog.product import LARGEST_VERSION, ProductPicture
from croquis.cli import main
from croquis.registry.bundle_options import ModelSourceError
from croquis.serving.app import create_app
from croquis.serving.client import AsyncClient, Client, ServerError
from croquis.serving.models.bundle_sources import BundleSource
from croquis.serving.server_settings import Access, Limits, Settings
from croquis.store.faiss_file import StoreFile
from croquis.store.faiss_store import FaissStores
from croquis.store.fill import spec_of
from croquis.store.products import ItemState, apply
from croquis.store.vector_store import StoreChange, StoredImage, StoreError
from tests.support.serving.live_server import ADMIN, TOKEN, Serve, listening, picture, replace_bundle
from tests.support.tiny_retriever import photo, write_tiny_bundle

NEW = "shop/new é"


def settings(folder: Path, **changes: Any) -> Settings:
    return Settings(**({"threads": 2, "changes": folder, "access": Access(admin_token=TOKEN)} | changes))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that is not the champion's."""
    return write_tiny_bundle(tmp_path_factory.mktemp("other") / "bundle", classifier_folder=None)


@pytest.fixture
def client(serve: Serve, other: Path, tmp_path: Path) -> TestClient:
    """Of a server with two different models."""
    return serve(settings(tmp_path / "changes"), other=other)


def put(client: TestClient, item_id: str, *images: bytes, **fields: Any) -> Any:
    files = [("image", ("a", image)) for image in images]
    form = {"category": "shirt", "attributes": '["colour:lime"]'} | fields
    path = f"/items/{item_id.replace('/', '%2F')}"
    return client.put(path, files=files, data=form, headers=ADMIN)


def found(client: TestClient, image: bytes, k: int = 100, **fields: Any) -> list[str]:
    model = fields.pop("model", "champion")
    response = client.post(f"/search?model={model}", files={"image": image}, data={"k": k} | fields)
    assert response.status_code == 200, response.text
    return [result["item_id"] for result in response.json()["results"]]


@pytest.mark.slow
def test_an_added_product_is_found_at_once_in_every_model(client: TestClient) -> None:
    response = put(client, NEW, picture(1), picture(2))
    assert response.status_code == 201
    assert (response.json()["item_id"], response.json()["version"]) == (NEW, 1)
    for model in ("champion", "other"):
        assert found(client, picture(1), 1, model=model) == [NEW]
        assert found(client, picture(2), 1, model=model) == [NEW]
        for filters in ({"category": ["shirt"]}, {"colour": ["lime"]}, {"attributes": ["colour:lime"]}):
            assert found(client, photo(), filters=json.dumps(filters), model=model) == [NEW, NEW]
        item = client.get(f"/items/{NEW}?model={model}").json()
        assert (item["category"], item["attributes"]) == ("shirt", ["colour:lime"])
        assert [image["image_id"] for image in item["images"]] == [
            image["image_id"] for image in response.json()["images"]
        ]
        values = client.get(f"/catalogue/filters?model={model}").json()
        assert {"name": "shirt", "count": 2} in values["category"]
        assert {"name": "lime", "count": 2} in values["colour"]
    for image in response.json()["images"]:
        assert client.get(image["url"]).headers["content-type"] == "image/jpeg"
    assert NEW not in {hit["item_id"] for hit in client.get(f"/similar/{NEW}?k=100").json()["results"]}
    assert NEW in {hit["item_id"] for hit in client.get("/similar/item-red-0?k=100").json()["results"]}
    assert found(client, picture(1), 1, rerank="true", mode="sketch-direct") == [NEW]


def test_a_product_of_the_bundle_can_be_replaced(client: TestClient) -> None:
    response = put(client, "item-red-0", picture(3))
    assert response.status_code == 200
    item = client.get("/items/item-red-0").json()
    assert [image["image_id"] for image in item["images"]] == [response.json()["images"][0]["image_id"]]
    assert (item["category"], item["attributes"]) == ("shirt", ["colour:lime"])
    assert found(client, picture(3), 1) == ["item-red-0"]
    assert found(client, photo("red-00")).count("item-red-0") == 1
    assert client.get("/items/item-red-0/image?image_id=red-00").status_code == 404
    assert put(client, "item-red-0", picture(4)).json()["version"] == 2
    assert found(client, picture(3)).count("item-red-0") == 1


def test_a_deleted_product_never_comes_back(client: TestClient) -> None:
    put(client, NEW, picture(1))
    for item_id in (NEW, "item-green-2"):
        response = client.delete(f"/items/{item_id.replace('/', '%2F')}", headers=ADMIN)
        assert response.status_code == 200, response.text
        assert response.json()["images"] == []
        for model in ("champion", "other"):
            for path in ("/items/{}", "/items/{}/image", "/similar/{}"):
                assert client.get(f"{path.format(item_id)}?model={model}").status_code == 404
            for image in (picture(1), photo("green-04")):
                assert item_id not in found(client, image, model=model)
            similar = client.get(f"/similar/item-red-0?k=100&model={model}").json()["results"]
            assert item_id not in {hit["item_id"] for hit in similar}
            assert "shirt" not in {value["name"] for value in client.get("/catalogue/filters").json()["category"]}
        assert client.delete(f"/items/{item_id}", headers=ADMIN).status_code == 404


def test_json_and_a_crop_box_work_too(client: TestClient) -> None:
    wide = np.concatenate([np.full((20, 30, 3), 255, np.uint8), np.full((20, 10, 3), (90, 10, 200), np.uint8)], axis=1)
    body = {
        "item_id": "by-json",
        "image": [base64.b64encode(encode_png(wide)).decode()],
        "category": "shirt",
        "attributes": ["colour:violet"],
        "crop": [30, 0, 40, 20],
    }
    response = client.post("/items", json=body, headers=ADMIN)
    assert response.status_code == 201, response.text
    assert found(client, encode_png(wide[:, 30:]), 1) == ["by-json"]
    again = client.post("/items", json=body, headers=ADMIN)
    assert (again.status_code, again.json()["type"]) == (409, "urn:croquis:problem:item-exists")


def test_an_older_version_never_overwrites_a_newer_one(client: TestClient) -> None:
    assert put(client, NEW, picture(1), version=5).json()["version"] == 5
    for version in (5, 4):
        response = put(client, NEW, picture(2), version=version)
        assert (response.status_code, response.json()["field"]) == (409, "version")
        assert client.delete(f"/items/{NEW}?version={version}", headers=ADMIN).status_code == 409
    assert found(client, picture(2), 1) == found(client, picture(1), 1) == [NEW]
    assert client.delete(f"/items/{NEW}?version=9", headers=ADMIN).json()["version"] == 9
    assert put(client, NEW, picture(2), version=8).status_code == 409
    assert NEW not in found(client, picture(1))
    # A deletion that comes before what it deletes.
    assert client.delete("/items/late?version=3", headers=ADMIN).status_code == 200
    assert put(client, "late", picture(1), version=2).status_code == 409
    assert put(client, "late", picture(1)).json()["version"] == 4


WRONG: list[tuple[dict[str, Any], int, str]] = [
    ({"images": [b""]}, 422, "image"),
    ({"images": [photo()] * 11}, 422, "body"),
    ({"images": [b"<svg xmlns='http://www.w3.org/2000/svg'/>"]}, 415, "image"),
    ({"images": [photo()[:60]]}, 422, "image"),
    ({"images": [bytes(2_000_001)]}, 413, "image"),
    ({"images": [photo(), photo("red-01")], "crop": "0,0,9,9"}, 422, "crop"),
    ({"crop": "40,40,50,50"}, 422, "crop"),
    ({"category": ""}, 422, "category"),
    ({"attributes": "red"}, 422, "attributes"),
    ({"attributes": '{"colour": "red"}'}, 422, "attributes"),
    ({"attributes": "[1]"}, 422, "attributes"),
    ({"version": "0"}, 422, "version"),
    ({"version": "1.5"}, 422, "version"),
    ({"k": "5"}, 422, "body"),
    ({"item_id": "x/image"}, 422, "item_id"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("change", "status", "field"), WRONG)
def test_what_is_wrong_is_named_and_changes_nothing(
    serve: Serve, tmp_path: Path, change: dict[str, Any], status: int, field: str
) -> None:
    client = serve(settings(tmp_path, limits=Limits(image_bytes=2_000_000)))
    fields = dict(change)
    images, item_id = fields.pop("images", [photo()]), fields.pop("item_id", "wrong")
    response = put(client, item_id, *images, **fields)
    assert (response.status_code, response.json()["field"]) == (status, field), response.text
    assert client.get(f"/items/{item_id}").status_code == 404
    assert client.delete(f"/items/{item_id}", headers=ADMIN).status_code in (404, 422)


def test_changes_need_the_token_and_a_folder(serve: Serve, tmp_path: Path) -> None:
    client = serve(settings(tmp_path))
    for headers in ({}, {"authorization": "Bearer wrong"}, {"x-api-key": TOKEN}):
        assert client.put("/items/a", files={"image": photo()}, headers=headers).status_code == 401
        assert client.post("/items", files={"image": photo()}, headers=headers).status_code == 401
        assert client.delete("/items/item-red-0", headers=headers).status_code == 401
    off = serve(settings(tmp_path, changes=None))
    for response in (put(off, "a", photo()), off.delete("/items/item-red-0", headers=ADMIN)):
        assert (response.status_code, response.json()["type"]) == (403, "urn:croquis:problem:changes-off")
        assert "--changes FOLDER" in response.json()["detail"]
    assert len(found(client, photo())) == 36


@pytest.mark.slow
def test_changes_outlive_the_server_and_reach_a_new_bundle(bundle: Path, other: Path, tmp_path: Path) -> None:
    served = tmp_path / "served"
    shutil.copytree(bundle, served)

    def started() -> TestClient:
        app = create_app({"champion": BundleSource(served)}, settings(tmp_path / "changes"))
        return TestClient(app, raise_server_exceptions=False)

    def answers(client: TestClient) -> Any:
        asked = [
            client.post("/search", files={"image": image}, data={"k": 50}).json() for image in (photo(), picture(2))
        ]
        return [asked, client.get("/items/item-blue-0").json(), client.get("/catalogue/filters").json()]

    def check(client: TestClient) -> None:
        assert found(client, picture(1), 1) == [NEW]
        assert found(client, picture(2), 1) == ["item-blue-0"]
        assert "item-red-0" not in found(client, photo("red-00"))
        assert len(found(client, photo())) == 34

    with started() as client:
        put(client, NEW, picture(1))
        put(client, "item-blue-0", picture(2))
        client.delete("/items/item-red-0", headers=ADMIN)
        check(client)
        first = answers(client)
    with started() as client:
        check(client)
        assert answers(client) == first
        before = client.get("/version").json()["models"][0]["bundle"]
        replace_bundle(served, other)
        (swap,) = client.post("/admin/reload", headers=ADMIN).json()
        assert (swap["changed"], swap["before"]["bundle"] != swap["after"]["bundle"]) == (True, True)
        assert client.get("/version").json()["models"][0]["bundle"] != before
        check(client)
        put(client, NEW, picture(5))
        assert found(client, picture(5), 1) == [NEW]


def test_a_change_during_a_reload_is_in_the_new_model(
    bundle: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = tmp_path / "served"
    shutil.copytree(bundle, served)
    source = BundleSource(served)
    app = create_app({"champion": source}, settings(tmp_path / "changes"))
    load = BundleSource.load

    def load_slowly(self: BundleSource) -> Any:
        loaded = load(self)
        put(client, NEW, picture(1))
        client.delete("/items/item-red-0", headers=ADMIN)
        return loaded

    with TestClient(app) as client:
        put(client, "before", picture(3))
        replace_bundle(served, other)
        monkeypatch.setattr(BundleSource, "load", load_slowly)
        assert client.post("/admin/reload", headers=ADMIN).json()[0]["changed"]
        assert found(client, picture(1), 1) == [NEW]
        assert found(client, picture(3), 1) == ["before"]
        assert "item-red-0" not in found(client, photo("red-00"))


@pytest.mark.slow
def test_a_search_sees_a_product_whole_or_not_at_all(client: TestClient) -> None:
    ended, seen = threading.Event(), []

    def ask() -> None:
        while not ended.is_set():
            seen.append(found(client, photo()).count("pair"))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(12):
        put(client, "pair", picture(number), picture(number + 100))
        if number % 3 == 2:
            client.delete("/items/pair", headers=ADMIN)
    ended.set()
    for thread in threads:
        thread.join()
    assert set(seen) <= {0, 2}
    assert 2 in seen


def test_what_cannot_be_kept_is_not_shown(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(StoreFile, "write", full)
    response = put(client, NEW, picture(1))
    assert (response.status_code, response.json()["type"]) == (507, "urn:croquis:problem:not-kept")
    assert client.delete("/items/item-red-0", headers=ADMIN).status_code == 507
    assert NEW not in found(client, picture(1))
    assert "item-red-0" in found(client, photo("red-00"))
    assert client.get("/items/item-red-0").status_code == 200


def test_a_change_that_only_some_models_have_is_told(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    write, files = StoreFile.write, []

    def full_at_the_second(file: StoreFile, change: StoreChange, stored: Any) -> None:
        files.append(file)
        if len(files) == 2:
            raise StoreError("the disk is full")
        write(file, change, stored)

    monkeypatch.setattr(StoreFile, "write", full_at_the_second)
    response = put(client, NEW, picture(1))
    assert response.status_code == 507
    assert response.json()["detail"].startswith("the change is kept for 1 of 2 models only")


def kept_by(folder: Path, bundle: Path, image: bytes) -> None:
    """The folder as a server of `bundle` left it that had a product with the picture `image`, which nobody decoded."""
    stores, shown = FaissStores("faiss:x", "catalogue", folder), ProductPicture.of(NEW, image)
    store = stores.create(spec_of(Bundle.load(bundle)))
    known = StoredImage(shown.image_id, NEW, 1, "shirt", "shop", ("colour:lime",))
    apply(store, [ItemState(NEW, 1, (known,), np.ones((1, 48), dtype=np.float32), pictures=(shown,))])
    stores.close()


def test_a_kept_picture_that_cannot_be_read_any_more_is_named(bundle: Path, other: Path, tmp_path: Path) -> None:
    kept_by(tmp_path, other, picture(1)[:60])
    with pytest.raises(ModelSourceError, match=r"'shop/new é' of the changed catalogue cannot be encoded: .* damaged"):
        create_app({"champion": BundleSource(bundle)}, settings(tmp_path))


def test_what_a_stop_left_in_one_version_is_in_all_after_a_start(serve: Serve, other: Path, tmp_path: Path) -> None:
    """Also after a stop while the first version was filled, of which nothing is taken for a gallery."""
    kept_by(tmp_path, other, picture(1))
    (tmp_path / "catalogue/.filling.partial").write_bytes(b"half")
    client = serve(settings(tmp_path))
    assert found(client, picture(1), 1) == [NEW]
    assert len(found(client, photo())) == 37
    assert len(list((tmp_path / "catalogue").glob("*.sqlite"))) == 1  # nobody searches that of the other bundle
    assert put(client, NEW, picture(2)).json()["version"] == 2


def test_what_an_earlier_version_kept_is_refused(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "catalogue.sqlite").write_bytes(b"SQLite format 3")
    assert main(["serve", "--bundle", str(bundle), "--changes", str(tmp_path), "--port", "0"]) == 1
    told = capsys.readouterr().err
    assert "catalogue.sqlite is the log of changes of an earlier version" in told
    assert "give --changes another folder, and send the changed products again" in told


def test_the_log_tells_changes_from_searches(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "croquis.serving.access"):
        put(client, NEW, picture(1))
        found(client, picture(1))
    entries = [json.loads(record.message) for record in caplog.records if record.name == "croquis.serving.access"]
    assert [(entry["method"], entry["path"], entry["client"]) for entry in entries] == [
        ("PUT", f"/items/{NEW}", "(admin)"),
        ("POST", "/search", "unknown"),
    ]


@pytest.fixture
def address(bundle: Path, tmp_path: Path) -> Iterator[str]:
    with listening(create_app({"champion": BundleSource(bundle)}, settings(tmp_path))) as address:
        yield address


@pytest.mark.slow
def test_both_clients_change_the_catalogue(address: str) -> None:
    async def change() -> None:
        async with AsyncClient(address, admin_token=TOKEN) as client:
            added = await client.add_item(NEW, picture(1), picture(2), category="shirt", attributes=["colour:lime"])
            assert (added.version, len(added.images)) == (1, 2)
            assert (await client.put_item(NEW, picture(3), category="shirt", version=7)).version == 7
            assert (await client.item(NEW)).attributes == []
            assert (await client.delete_item(NEW)).version == 8

    asyncio.run(change())
    with Client(address, admin_token=TOKEN) as client:
        added = client.add_item("b", picture(1), category="shirt", attributes=["colour:lime"], crop=(0, 0, 32, 16))
        assert client.item("b").images == added.images
        with pytest.raises(ServerError, match="409 Conflict: 'b' is there already"):
            client.add_item("b", picture(1), category="shirt")
        assert client.put_item("b", picture(2), category="shirt").version == 2
        assert client.search(picture(2), k=1).results[0].item_id == "b"
        assert client.delete_item("b").version == 3
    with Client(address) as client, pytest.raises(ServerError, match="401"):
        client.delete_item("item-red-0")


def test_a_folder_in_use_ends_the_start_with_a_reason(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept_by(tmp_path, bundle, picture(1))
    (version,) = FaissStores("faiss:x", "catalogue", tmp_path).versions()
    file = StoreFile(tmp_path / f"catalogue/{version}.sqlite")
    assert main(["serve", "--bundle", str(bundle), "--changes", str(tmp_path), "--port", "0"]) == 1
    assert f"{version}.sqlite cannot be used: database is locked" in capsys.readouterr().err
    file.close()


@pytest.mark.slow
def test_a_product_of_the_largest_version_can_be_counted_anew(serve: Serve, other: Path, tmp_path: Path) -> None:
    """No version is above it; a deletion without one takes the product out of every version, of the gallery's too."""
    folder = tmp_path / "changes"
    name = "item-red-0"
    with serve(settings(folder), other=other) as client:
        assert put(client, name, picture(1), version=LARGEST_VERSION).json()["version"] == LARGEST_VERSION
        assert client.delete(f"/items/{name}?version={LARGEST_VERSION}", headers=ADMIN).status_code == 409
        for asked in ({}, {"version": 5}, {"version": LARGEST_VERSION}):
            refused = put(client, name, picture(2), **asked)
            assert (refused.status_code, refused.json()["type"]) == (409, "urn:croquis:problem:largest-version")
            assert "DELETE it without a version" in refused.json()["detail"]
        assert put(client, name, picture(2), version=LARGEST_VERSION + 1).status_code == 422
        assert client.delete(f"/items/{name}", headers=ADMIN).json()["version"] == 1
        assert name not in found(client, picture(1))
        assert client.delete(f"/items/{name}", headers=ADMIN).status_code == 404
    with serve(settings(folder), other=other) as client:
        assert client.get(f"/items/{name}").status_code == 404
        assert put(client, name, picture(2)).json()["version"] == 2


def test_a_deletion_at_the_largest_version_can_be_counted_anew(client: TestClient) -> None:
    assert client.delete(f"/items/a?version={LARGEST_VERSION}", headers=ADMIN).json()["version"] == LARGEST_VERSION
    assert put(client, "a", picture(1)).status_code == 409
    assert client.delete("/items/a", headers=ADMIN).json()["version"] == 1
    assert put(client, "a", picture(1)).json()["version"] == 2


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda file: file.write_bytes(b""), "has 0 bytes, what it kept is not in it"),
        (lambda file: file.unlink(), "the current version of .* is not there: put a copy of it back"),
        (lambda file: file.write_bytes(file.read_bytes()[:8192] + bytes(40_000)), "cannot be"),
    ],
)
def test_a_damaged_folder_does_not_begin_anew(
    serve: Serve, bundle: Path, tmp_path: Path, damage: Callable[[Path], object], words: str
) -> None:
    with serve(settings(tmp_path)) as client:
        put(client, NEW, picture(1))
    (file,) = (tmp_path / "catalogue").glob("catalogue_*.sqlite")
    damage(file)
    with pytest.raises((ModelSourceError, StoreError), match=words) as refused:
        create_app({"champion": BundleSource(bundle)}, settings(tmp_path))
    assert str(file) in str(refused.value)
