"""`POST /search` answers what the retriever answers, in every way of asking."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from croquis.catalog.images import decode_image, encode_png
from croquis.search.local_retriever import Filters, LocalRetriever
from croquis.serving.answers.answer_models import SearchAnswer
from tests.support.serving.live_server import Serve
from tests.support.tiny_retriever import photo, picture_of, write_tiny_bundle


def ask(client: TestClient, image: bytes, query: str = "", **fields: Any) -> dict[str, Any]:
    response = client.post(f"/search{query}", files={"image": image}, data=fields)
    assert response.status_code == 200, response.text
    return response.json()  # type: ignore[no-any-return]


def scored(answer: dict[str, Any]) -> list[tuple[str, str, float]]:
    return [(result["image_id"], result["item_id"], result["score"]) for result in answer["results"]]


@pytest.mark.parametrize("rerank", [False, True])
@pytest.mark.parametrize("mode", ["photo", "sketch", "sketch-direct"])
def test_ids_and_scores_are_the_retrievers(
    client: TestClient, retriever: LocalRetriever, mode: Any, rerank: bool
) -> None:
    answer = ask(client, photo("green-05"), k=7, mode=mode, rerank=json.dumps(rerank))
    hits = retriever.search(photo("green-05"), k=7, mode=mode, rerank=rerank)
    assert scored(answer) == [(hit.image_id, hit.item_id, hit.score) for hit in hits]
    assert [result["rank"] for result in answer["results"]] == list(range(1, 8))
    assert answer["mode"] == mode
    named = {"name": "siamese", "version": "local", "bundle": retriever.bundle.hash, "store": None}
    assert answer["model"] == named


def test_defaults_are_twenty_photos_without_extras(client: TestClient, retriever: LocalRetriever) -> None:
    answer = ask(client, photo())
    assert scored(answer) == [(h.image_id, h.item_id, h.score) for h in retriever.search(photo(), k=20)]
    assert answer["generated"] is None
    assert answer["timings"] is None


def test_filters_by_category_attributes_and_colour(client: TestClient, retriever: LocalRetriever) -> None:
    filters = {"category": ["coat"], "colour": ["red", "blue"], "attributes": ["sleeve:short"]}
    answer = ask(client, photo(), k=36, filters=json.dumps(filters))
    wanted = Filters(category=("coat",), colour=("red", "blue"), attributes=("sleeve:short",))
    assert scored(answer) == [(h.image_id, h.item_id, h.score) for h in retriever.search(photo(), k=36, filters=wanted)]
    assert {result["category"] for result in answer["results"]} == {"coat"}
    nothing = ask(client, photo(), filters='{"attributes": ["colour:red", "colour:blue"]}')
    assert nothing["results"] == []


def test_a_crop_box_is_the_same_as_a_cut_picture(client: TestClient) -> None:
    whole = picture_of("blue-07")
    cut = ask(client, encode_png(np.ascontiguousarray(whole[4:28, 2:30])), k=9)
    boxed = ask(client, encode_png(whole), k=9, crop="2,4,30,28")
    assert scored(boxed) == scored(cut)
    assert scored(boxed) != scored(ask(client, encode_png(whole), k=9))


def test_a_json_body_is_the_same_as_a_form(client: TestClient) -> None:
    asked = {"k": 5, "mode": "sketch", "rerank": True, "crop": [0, 0, 32, 16], "filters": {"category": "dress"}}
    body = {"image": base64.b64encode(photo()).decode(), **asked, "generated": True}
    response = client.post("/search", json=body)
    for crop in ("0,0,32,16", "[0, 0, 32, 16]"):
        form = {"k": 5, "mode": "sketch", "rerank": "true", "crop": crop, "generated": "true"}
        assert response.json() == ask(client, photo(), filters='{"category": ["dress"]}', **form)


def test_what_the_generator_painted_comes_along(client: TestClient, retriever: LocalRetriever) -> None:
    answer = ask(client, photo("red-03"), mode="sketch", generated="true")
    head, _, data = answer["generated"].partition(",")
    assert head == "data:image/png;base64"
    painted = decode_image(base64.b64decode(data))
    np.testing.assert_array_equal(painted, retriever.nets.generate([picture_of("red-03")])[0])
    assert ask(client, photo("red-03"), mode="photo", generated="true")["generated"] is None


def test_attributes_of_the_query_and_what_results_share(client: TestClient, retriever: LocalRetriever) -> None:
    answer = ask(client, photo("green-02"), k=36, describe="true")
    assert answer["query_attributes"] == ["colour:green"]
    for result in answer["results"]:
        shared = ["colour:green"] if result["image_id"].startswith("green") else []
        assert result["shared_attributes"] == shared
    described = retriever.answer(photo("green-02"), k=36, describe=True).hits
    assert [tuple(result["shared_attributes"]) for result in answer["results"]] == [
        hit.shared_attributes for hit in described
    ]
    undescribed = ask(client, photo("green-02"), k=36)
    assert undescribed["query_attributes"] == []
    assert not any(result["shared_attributes"] for result in undescribed["results"])
    assert scored(undescribed) == scored(answer)


@pytest.mark.parametrize("fields", [{}, {"mode": "sketch", "generated": "true", "timings": "true", "describe": "true"}])
def test_an_answer_is_what_its_model_writes(client: TestClient, fields: dict[str, str]) -> None:
    """The model is not made for each answer."""
    body = client.post("/search", files={"image": photo()}, data=fields).content
    assert SearchAnswer.model_validate_json(body, strict=True).model_dump_json().encode() == body


def test_a_search_asks_the_last_model_that_is_named(serve: Serve, bundle: Path, tmp_path: Path) -> None:
    client = serve(champion=bundle, other=write_tiny_bundle(tmp_path / "other"))
    answer = ask(client, photo(), "?model=nobody&model=other", k=1)
    assert answer["results"][0]["image"].endswith("&model=other")


def test_timings_on_request(client: TestClient) -> None:
    timings = ask(client, photo(), timings="true", rerank="true")["timings"]
    assert set(timings) == {"decode_ms", "encode_ms", "search_ms", "rerank_ms"}
    assert all(value > 0 for value in timings.values())


def test_the_pictures_of_results_are_where_they_say(client: TestClient, retriever: LocalRetriever) -> None:
    for result in ask(client, photo(), k=3)["results"]:
        response = client.get(result["image"])
        assert response.headers["content-type"] == "image/jpeg"
        assert response.content == retriever.bundle.items.thumbnail(retriever.bundle.items.row(result["image_id"]))


def test_a_second_model_answers_under_its_label(serve: Serve, tmp_path: Path) -> None:
    other = write_tiny_bundle(tmp_path / "other", generator_folder=None, classifier_folder=None)
    client = serve(challenger=other)
    answer = ask(client, photo(), "?model=challenger", k=3)
    assert (
        answer["model"]["bundle"] == LocalRetriever.load(other).bundle.hash != ask(client, photo())["model"]["bundle"]
    )
    assert answer["query_attributes"] == []
    assert all(result["image"].endswith("&model=challenger") for result in answer["results"])
    assert client.get(answer["results"][0]["image"]).status_code == 200
    refused = client.post("/search?model=challenger", files={"image": photo()}, data={"mode": "sketch"})
    assert (refused.status_code, refused.json()["field"]) == (422, "mode")
    unknown = client.post("/search?model=nobody", files={"image": photo()}).json()
    assert (unknown["field"], unknown["limit"]) == ("model", "is not loaded; loaded: champion, challenger")
