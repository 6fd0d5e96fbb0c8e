"""Words over HTTP: alone and beside pictures, by form and JSON, as the retriever answers them; refused by field."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from croquis.catalog.filters import QueryError
from croquis.search.answer import Hit
from croquis.search.local_retriever import LocalRetriever
from croquis.serving.remote_retriever import RemoteRetriever
from tests.support.serving.live_server import Serve, listening
from tests.support.tiny_products import write_products_bundle
from tests.support.tiny_retriever import photo

WORDS = {"tokenizer": "unicode", "weight": 0.5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_products_bundle(tmp_path_factory.mktemp("words") / "bundle", words=WORDS)


def told(hits: list[Hit]) -> list[Any]:
    return [(hit.image_id, hit.item_id, round(hit.score, 6), hit.shared_attributes, dict(hit.product)) for hit in hits]


def answered(response: Any) -> list[Any]:
    assert response.status_code == 200, response.text
    return [(each["image_id"], round(each["score"], 6)) for each in response.json()["results"]]


def test_form_and_json_answer_as_the_library(folder: Path, serve: Serve) -> None:
    client, retriever = serve(champion=folder), LocalRetriever.load(folder)
    expected = [(hit.image_id, round(hit.score, 6)) for hit in retriever.search(text="acme red", k=7)]
    asked = {"text": "acme red", "k": 7, "timings": True, "generated": True}
    by_form = client.post("/search", files={name: (None, str(value).lower()) for name, value in asked.items()})
    for response in (client.post("/search", json=asked), by_form):
        assert answered(response) == expected
        assert response.json()["generated"] is None
        assert set(response.json()["timings"]) == {"decode_ms", "encode_ms", "search_ms", "rerank_ms"}
    beside = {"image": base64.b64encode(photo("blue-08")).decode(), "text": "acme", "k": 5, "group_by": "item"}
    hits = retriever.search(photo("blue-08"), text="acme", k=5, group_by="item")
    assert answered(client.post("/search", json=beside)) == [(hit.image_id, round(hit.score, 6)) for hit in hits]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "image"),
        ({"text": ""}, "image"),
        ({"text": " "}, "text"),
        ({"text": "a" * 201}, "text"),
        ({"text": "a " * 21}, "text"),
        ({"text": 3}, "text"),
        ({"text": "a\0b"}, "text"),
        ({"text": "red", "mode": "sketch"}, "mode"),
        ({"text": "red", "rerank": True}, "rerank"),
        ({"image": [], "k": 3}, "image"),
        ({"text": "red", "filters": {"category": "hat"}}, "filters.category"),
    ],
)
def test_wrong_words_are_refused_by_field(folder: Path, serve: Serve, fields: dict[str, Any], field: str) -> None:
    refused = serve(champion=folder).post("/search", json=fields)
    assert (refused.status_code, refused.json()["field"]) == (422, field), refused.text


def test_a_bundle_without_words_says_the_remedy(client: TestClient) -> None:
    refused = client.post("/search", json={"text": "red"})
    assert refused.status_code == 422
    assert "this bundle was made without words; make it again" in refused.json()["detail"]


def test_the_remote_retriever_answers_as_the_bundle(folder: Path, serve: Serve) -> None:
    local = LocalRetriever.load(folder)
    with listening(serve(champion=folder).app) as url:
        remote = RemoteRetriever.load(url)
        for how in ({}, {"group_by": "item"}, {"filters": {"colour": ["red", "blue"], "category": "dress"}}):
            asked: dict[str, Any] = {"text": "borel garment", "k": 9, **how}
            assert told(remote.search(**asked)) == told(local.search(**asked))
            assert told(remote.search(photo("green-03"), **asked)) == told(local.search(photo("green-03"), **asked))
        for wrong in ({"text": ""}, {"text": "a", "rerank": True}, {}, {"text": "a", "filters": {"category": "hat"}}):
            said = []
            for retriever in (local, remote):
                with pytest.raises(QueryError) as refused:
                    retriever.search(**wrong)
                said.append((refused.value.field, refused.value.limit))
            assert said[0] == said[1]
        remote.close()
