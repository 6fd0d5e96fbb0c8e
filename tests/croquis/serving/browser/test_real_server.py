"""The search page in front of the real server: what the retriever finds is what the page shows."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from croquis.catalog.images import decode_image
from croquis.search.local_retriever import LocalRetriever
from croquis.serving.app import create_app
from croquis.serving.models.bundle_sources import BundleSource
from croquis.serving.server_settings import Settings
from tests.support.serving.live_server import listening
from tests.support.serving.page_actions import PATIENCE_MS, drag
from tests.support.tiny_retriever import photo

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(bundle: Path) -> Iterator[str]:
    with listening(create_app({"champion": BundleSource(bundle)}, Settings(threads=2))) as address:
        yield address


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page, opened; nothing that it does may go wrong."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("response", lambda response: wrong.append(response.url) if response.status >= 400 else None)
    page.goto(address)
    page.locator("#filter-body input").first.wait_for(state="attached")
    yield page
    context.close()
    assert not wrong


def shown(page: Any) -> list[str]:
    """The items on the cards, and every thumbnail of them has been painted."""
    page.locator(".card").first.wait_for()
    for image in page.locator(".card img").all():
        image.scroll_into_view_if_needed()
        while not image.evaluate("(image) => image.naturalWidth"):
            page.wait_for_timeout(50)
    return [card.get_attribute("data-item") for card in page.locator(".card").all()]


def test_a_photo_finds_what_the_retriever_finds(page: Any, retriever: LocalRetriever, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(photo("green-04"))
    page.set_input_files("#file", tmp_path / "photo.png")
    assert shown(page) == [hit.item_id for hit in retriever.search(photo("green-04"), k=20, group_by="item")]
    assert page.locator("#results .meta").inner_text().startswith("18 results by siamese in")


def test_a_drawing_finds_what_the_generator_made_of_it(page: Any, retriever: LocalRetriever) -> None:
    page.get_by_role("tab", name="Sketch").click()
    with page.expect_response("**/search*") as answered:
        drag(page, "#pad", (0.2, 0.2), (0.8, 0.8))
    assert answered.value.json()["mode"] == "sketch-direct"  # what is best where nothing was measured
    with page.expect_response("**/search*") as answered:
        page.locator("#mode-a").select_option("sketch")
    answer = answered.value.json()
    assert answer["mode"] == "sketch"
    assert shown(page) == [result["item_id"] for result in answer["results"]]
    painted = page.get_by_role("img", name="What the generator made of your drawing")
    painted.wait_for()
    with urllib.request.urlopen(painted.get_attribute("src")) as data:  # a data URL
        made = decode_image(data.read())
    assert made.shape == (8, 8, 3)
    red, green = made[0, 7, :2]
    assert (red, green) == (255, 51)  # the generator tints paper red
    assert made[4, 4].sum() < made[0, 7].sum()  # the line, from corner to corner of its box
    assert shown(page) == [hit.item_id for hit in retriever.search(np.asarray(made), k=20, group_by="item")]


def test_the_documentation_is_swagger_ui_from_this_server(page: Any, address: str, tmp_path: Path) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{address}/docs")
    page.locator(".opblock").first.wait_for()
    document = httpx.get(f"{address}/openapi.json", trust_env=False).json()
    assert page.locator(".opblock").count() == sum(map(len, document["paths"].values()))
    page.locator("#operations-search-search_search_post .opblock-summary-control").click()
    page.locator(".try-out__btn").click()
    (tmp_path / "photo.png").write_bytes(photo("green-04"))
    page.set_input_files(".opblock-body input[type=file]", tmp_path / "photo.png")
    with page.expect_response("**/search*") as answered:
        page.locator(".execute").click()
    assert answered.value.json()["results"][0]["image_id"] == "green-04"
    assert all(url.startswith((address, "data:", "blob:")) for url in asked)
