"""Products over HTTP: grouped answers and several pictures in one request, as the retriever answers them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from croquis.catalog.filters import QueryError
from croquis.catalog.product import MOST_PICTURES
from croquis.search.local_retriever import Hit, LocalRetriever
from croquis.serving.remote_retriever import RemoteRetriever
from croquis.serving.server_settings import Access, Settings
from tests.support.serving.live_server import ADMIN, TOKEN, Serve, listening
from tests.support.tiny_products import BRANDS, columns_of, write_products_bundle
from tests.support.tiny_retriever import photo

VIEWS = [photo("red-04"), photo("blue-08")]
Told = list[tuple[int, str, str, float]]


def ask(client: TestClient, *images: bytes, **fields: Any) -> Any:
    return client.post("/search", files=[("image", ("picture", image)) for image in images], data=fields)


def told(response: Any) -> Told:
    assert response.status_code == 200, response.text
    return [(each["rank"], each["image_id"], each["item_id"], each["score"]) for each in response.json()["results"]]


def of(hits: list[Hit]) -> Told:
    return [(hit.rank, hit.image_id, hit.item_id, hit.score) for hit in hits]


@pytest.mark.parametrize("most", [1, 2])
def test_k_counts_products(client: TestClient, retriever: LocalRetriever, most: int) -> None:
    found = told(ask(client, photo("green-05"), k=7, group_by="item", max_per_item=most))
    assert found == of(retriever.search(photo("green-05"), k=7, group_by="item", max_per_item=most))
    assert len({item_id for _, _, item_id, _ in found}) == 7
    assert len(found) == 7 * most


@pytest.mark.parametrize("combine", ["max", "mean"])
@pytest.mark.parametrize("rerank", [True, False])
def test_several_pictures_are_one_query(
    client: TestClient, retriever: LocalRetriever, combine: Any, rerank: bool
) -> None:
    asked = {"k": 9, "group_by": "item", "combine": combine, "rerank": rerank}
    response = ask(client, *VIEWS, **{**asked, "rerank": str(rerank).lower()}, describe="true", timings="true")
    assert told(response) == of(retriever.search(VIEWS, **asked))
    assert all(value >= 0 for value in response.json()["timings"].values())
    body = {"image": [base64.b64encode(view).decode() for view in VIEWS], **asked}
    assert told(client.post("/search", json=body)) == told(response)


def test_similar_products_are_of_other_items(client: TestClient, retriever: LocalRetriever) -> None:
    found = told(client.get("/similar/item-green-2?k=5&group_by=item&image_id=green-05"))
    assert found == of(retriever.similar("green-05", 5, item_id="item-green-2", group_by="item"))
    assert "item-green-2" not in [item_id for _, _, item_id, _ in found]


def test_similar_products_pass_filters(client: TestClient, retriever: LocalRetriever) -> None:
    asked = {"k": 5, "group_by": "item", "image_id": "green-05", "filters": '{"colour": ["red"]}'}
    found = told(client.get("/similar/item-green-2", params=asked))
    how = {"item_id": "item-green-2", "group_by": "item"}
    assert found == of(retriever.similar("green-05", 5, {"colour": ["red"]}, **how))  # type: ignore[arg-type]
    for wrong in ("{", '{"size": "m"}', '{"colour": ["mauve"]}'):
        refused = client.get("/similar/item-green-2", params={"filters": wrong})
        assert (refused.status_code, refused.json()["field"].partition(".")[0]) == (422, "filters")


@pytest.mark.parametrize(
    ("images", "fields", "field"),
    [
        (VIEWS, {"crop": "0,0,9,9"}, "crop"),
        (VIEWS[:1], {"group_by": "brand"}, "group_by"),
        (VIEWS[:1], {"max_per_item": 11}, "max_per_item"),
        (VIEWS[:1], {"combine": "median"}, "combine"),
        (VIEWS * 6, {}, "body"),
        ([VIEWS[0], b"no picture"], {}, "image"),
    ],
)
def test_what_is_wrong_is_named(client: TestClient, images: list[bytes], fields: Any, field: str) -> None:
    response = ask(client, *images, **fields)
    assert response.status_code in (415, 422), response.text
    assert response.json()["field"] == field


def test_as_many_pictures_as_a_product_may_have(client: TestClient) -> None:
    assert len(told(ask(client, *(photo(f"red-{number:02d}") for number in range(MOST_PICTURES)), k=3))) == 3


def test_a_remote_retriever_asks_for_products_too(client: TestClient, retriever: LocalRetriever) -> None:
    with listening(client.app) as address:
        remote = RemoteRetriever.load(address)
        for asked in ({"group_by": "item", "max_per_item": 2}, {"combine": "mean"}, {}):
            assert of(remote.search(VIEWS, k=4, **asked)) == of(retriever.search(VIEWS, k=4, **asked))
        remote.close()


@pytest.fixture(scope="module")
def owned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_products_bundle(tmp_path_factory.mktemp("owned") / "bundle")


def test_columns_of_products_are_in_answers_and_filters(serve: Serve, owned: Path) -> None:
    client = serve(champion=owned)
    filters = json.dumps({"product": {"price": {"min": 20, "max": 30}, "brand": ["Acme", "Borel"]}})
    results = ask(client, VIEWS[0], k=36, filters=filters).json()["results"]
    assert results
    for result in results:
        assert result["product"] == columns_of(result["item_id"])
        assert 20 <= result["product"]["price"] <= 30
    assert client.get("/items/item-red-0").json()["product"] == columns_of("item-red-0")
    listed = {column["name"]: column for column in client.get("/catalogue/filters").json()["product"]}
    assert (listed["price"]["kind"], listed["price"]["min"], listed["price"]["max"]) == ("number", 10.0, 52.5)
    assert [each["name"] for each in listed["brand"]["values"]] == sorted(BRANDS)
    refused = ask(client, VIEWS[0], filters='{"product": {"price": "cheap"}}').json()
    assert (refused["field"], refused["limit"]) == ("filters.product.price", "must be of the type number")


def test_a_remote_retriever_filters_by_columns(serve: Serve, owned: Path) -> None:
    local, asked = LocalRetriever.load(owned), {"product": {"price": {"max": 20}, "sale": True}}
    with listening(serve(champion=owned).app) as address:
        remote = RemoteRetriever.load(address)
        assert remote.search(VIEWS[0], filters=asked) == local.search(VIEWS[0], filters=asked)
        for wrong in ({"product": {"colour": "red"}}, {"product": {"price": "cheap"}}):
            errors = []
            for retriever in (remote, local):
                with pytest.raises(QueryError) as raised:
                    retriever.search(VIEWS[0], filters=wrong)
                errors.append((raised.value.field, raised.value.limit))
            assert errors[0] == errors[1]
        remote.close()


def test_a_changed_product_has_columns_of_its_own(serve: Serve, owned: Path, tmp_path: Path) -> None:
    settings = Settings(threads=2, changes=tmp_path / "changes", access=Access(admin_token=TOKEN))
    client = serve(settings, champion=owned)
    columns = {"title": "Née coat", "price": 77, "sale": False, "note": None}
    fields = {"category": "coat", "product": json.dumps(columns)}
    kept = {"title": "Née coat", "price": 77.0, "sale": False}
    assert client.put("/items/new", files={"image": VIEWS[0]}, data=fields, headers=ADMIN).status_code == 201
    assert client.get("/items/new").json()["product"] == kept
    (found,) = ask(client, VIEWS[0], filters='{"product": {"price": 77}}').json()["results"]
    assert (found["item_id"], found["product"]) == ("new", kept)
    body = {"category": "coat", "image": base64.b64encode(VIEWS[1]).decode(), "product": {"price": 1}}
    assert client.put("/items/new", json=body, headers=ADMIN).status_code == 200
    assert client.get("/items/new").json()["product"] == {"price": 1.0}
    refused = client.put("/items/new", json={**body, "product": {"title": "x" * 1001}}, headers=ADMIN)
    assert (refused.status_code, refused.json()["field"]) == (422, "product")
    assert ask(client, VIEWS[0], filters='{"product": {"price": 77}}').json()["results"] == []
    old = ask(client, VIEWS[0], k=36, filters='{"product": {"brand": "Acme"}}').json()["results"]
    assert {each["product"]["brand"] for each in old} == {"Acme"}
