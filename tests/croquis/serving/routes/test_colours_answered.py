"""A drawing in a colour over HTTP: by form, JSON and client, as the retriever answers; refused by field."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from croquis.catalog.filters import QueryError
from croquis.search.answer import Hit
from croquis.search.local_retriever import LocalRetriever
from croquis.serving.app import create_app
from croquis.serving.models.batching import batched
from croquis.serving.models.bundle_sources import BundleSource
from croquis.serving.models.loaded_model import load_model
from croquis.serving.remote_retriever import RemoteRetriever
from croquis.serving.server_settings import Settings
from tests.support.serving.live_server import Serve, listening
from tests.support.tiny_retriever import photo, save_colour_generator, write_tiny_bundle

BLUE = "#141ed2"
NONE = "needs a sketch generator that takes a colour, which this bundle lacks"
OTHER_MODE = "is for the mode sketch, whose generator paints in it, and not for photo"
UNKNOWN = "must be #rrggbb, a word of the catalogue (blue, green, red), or a colour name of CSS"


@pytest.fixture(scope="module")
def coloured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("colours")
    return write_tiny_bundle(folder / "bundle", generator_folder=save_colour_generator(folder / "painter"))


@pytest.fixture
def both(serve: Serve, bundle: Path, coloured: Path) -> TestClient:
    return serve(champion=bundle, painter=coloured)


def told(hits: list[Hit]) -> list[tuple[str, float]]:
    return [(hit.image_id, hit.score) for hit in hits]


def answered(response: Any) -> list[tuple[str, float]]:
    assert response.status_code == 200, response.text
    return [(each["image_id"], each["score"]) for each in response.json()["results"]]


def test_form_and_json_answer_as_the_library(both: TestClient, coloured: Path) -> None:
    retriever = LocalRetriever.load(coloured)
    asked: dict[str, Any] = {"mode": "sketch", "k": 5}
    expected = told(retriever.search(photo(), **asked, colour="blue"))
    assert expected != told(retriever.search(photo(), **asked))
    for colour in ("blue", BLUE):
        form = both.post("/search?model=painter", files={"image": photo()}, data={**asked, "colour": colour})
        assert answered(form) == expected
        body = {"image": base64.b64encode(photo()).decode(), **asked, "colour": colour}
        assert answered(both.post("/search?model=painter", json=body)) == expected
    empty = both.post("/search?model=painter", files={"image": photo()}, data={**asked, "colour": ""})
    assert answered(empty) == told(retriever.search(photo(), **asked))


def test_version_tells_which_colours_a_model_has_words_for(both: TestClient) -> None:
    models = {model["label"]: model["colours"] for model in both.get("/version").json()["models"]}
    assert models == {"champion": None, "painter": {"blue": BLUE, "green": "#1ec828", "red": "#dc1e1e"}}


@pytest.mark.parametrize(
    ("query", "fields", "limit"),
    [
        ("", {"mode": "sketch", "colour": "red"}, NONE),
        ("?model=painter", {"colour": "red"}, OTHER_MODE),
        ("?model=painter", {"mode": "sketch", "colour": "reddish"}, UNKNOWN),
    ],
)
def test_a_colour_that_nothing_paints_is_refused(
    both: TestClient, query: str, fields: dict[str, str], limit: str
) -> None:
    refused = both.post(f"/search{query}", files={"image": photo()}, data=fields)
    assert (refused.status_code, refused.json()["field"], refused.json()["limit"]) == (422, "colour", limit)


def test_a_remote_retriever_answers_and_refuses_as_the_bundle(coloured: Path) -> None:
    local = LocalRetriever.load(coloured)
    with listening(create_app({"champion": BundleSource(coloured)}, Settings(threads=2))) as address:
        remote = RemoteRetriever.load(address)
        asked: dict[str, Any] = {"k": 5, "mode": "sketch", "colour": "green"}
        assert told(remote.search(photo(), **asked)) == told(local.search(photo(), **asked))
        for wrong in ({"mode": "sketch", "colour": "reddish"}, {"mode": "photo", "colour": "red"}):
            messages = []
            for retriever in (local, remote):
                with pytest.raises(QueryError) as refused:
                    retriever.search(photo(), **wrong)  # type: ignore[arg-type]
                messages.append(str(refused.value))
            assert messages[0] == messages[1]
        remote.close()


def test_queries_of_several_colours_and_none_are_joined(coloured: Path) -> None:
    single = load_model(coloured)
    joined = batched(single, 8)
    colours = [None, "red", "blue", BLUE, "green", None] * 4

    def ask(colour: str | None) -> list[tuple[str, float]]:
        return told(joined.retriever.search(photo(), k=5, mode="sketch", colour=colour))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, colours))
    expected = [told(single.retriever.search(photo(), k=5, mode="sketch", colour=colour)) for colour in colours]
    assert found == expected
