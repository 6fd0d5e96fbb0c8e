"""Items, pictures, similar items and the values of the filters."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from croquis.search.local_retriever import LocalRetriever
from tests.support.tiny_retriever import gallery_rows


def test_an_item_lists_its_images_and_they_are_there(client: TestClient, retriever: LocalRetriever) -> None:
    item = client.get("/items/item-red-0").json()
    assert (item["item_id"], item["category"]) == ("item-red-0", "dress")
    assert item["attributes"] == ["colour:red", "sleeve:long"]
    assert [image["image_id"] for image in item["images"]] == ["red-00", "red-01"]
    for image in item["images"]:
        response = client.get(image["url"])
        assert response.content == retriever.bundle.items.thumbnail(retriever.bundle.items.row(image["image_id"]))
        assert response.headers["content-type"] == "image/jpeg"
    first = client.get("/items/item-red-0/image")
    assert first.content == retriever.bundle.items.thumbnail(retriever.bundle.items.row("red-00"))


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/items/nobody", "item_id"),
        ("/items/nobody/image", "item_id"),
        ("/similar/nobody", "item_id"),
        ("/items/item-red-0/image?image_id=blue-00", "image_id"),
        ("/similar/item-red-0?image_id=blue-00", "image_id"),
        ("/items/..%2f..%2fetc%2fpasswd/image", "item_id"),
    ],
)
def test_what_is_not_there_is_named(client: TestClient, path: str, field: str) -> None:
    response = client.get(path)
    assert (response.status_code, response.json()["field"]) == (404, field)


def test_similar_are_other_items_in_the_retrievers_order(client: TestClient, retriever: LocalRetriever) -> None:
    answer = client.get("/similar/item-green-2?k=5").json()
    hits = [hit for hit in retriever.similar("green-04", k=35) if hit.item_id != "item-green-2"][:5]
    assert [(r["image_id"], r["score"]) for r in answer["results"]] == [(hit.image_id, hit.score) for hit in hits]
    assert [result["rank"] for result in answer["results"]] == [1, 2, 3, 4, 5]
    assert answer["query_attributes"] == ["colour:green", "sleeve:short"]
    other = client.get("/similar/item-green-2?k=5&image_id=green-05").json()
    assert other["results"] != answer["results"]
    everything = client.get("/similar/item-green-2?k=100").json()["results"]
    assert len(everything) == 34
    assert "item-green-2" not in {result["item_id"] for result in everything}


def test_similar_checks_k(client: TestClient) -> None:
    for k in ("0", "101", "x"):
        response = client.get(f"/similar/item-green-2?k={k}")
        assert (response.status_code, response.json()["field"]) == (422, "k")


def test_filter_values_are_counted(client: TestClient) -> None:
    rows = gallery_rows()
    values = client.get("/catalogue/filters").json()
    assert values["category"] == [{"name": "coat", "count": 18}, {"name": "dress", "count": 18}]
    assert values["colour"] == [{"name": name, "count": 12} for name in ("blue", "green", "red")]
    for value in values["attributes"]:
        assert value["count"] == sum(value["name"] in row["attributes"] for row in rows)
    assert [value["name"] for value in values["attributes"]] == ["sleeve:long", "sleeve:short"]
