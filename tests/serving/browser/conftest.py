"""The search page in a real browser, against a server whose answers the tests know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engines import BROWSERS, chromium
from tests.serving.browser.fake_answers import COLOURS, PRODUCTS, encoded
from tests.serving.browser.fake_server import World, start

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One per file: as long as Playwright runs, its event loop counts as running, and no other test may start one."""
    path = chromium()
    if path is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is here: make engines")
    with sync_api.sync_playwright() as playwright:
        # Without a sandbox: it cannot be had in most containers, and the page is our own.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    world.hold.set()
    server = start(world)
    world.url = f"http://127.0.0.1:{server.server_port}/"
    yield world
    world.hold.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def options() -> dict[str, Any]:
    """Of the browser's window; tests override it."""
    return {"viewport": {"width": 1280, "height": 900}}


@pytest.fixture
def page(browser: Any, world: World, options: dict[str, Any]) -> Iterator[Any]:
    """The page, opened; at the end it must have raised no error, and broken no rule of its policy."""
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if "Content Security" in message.text else None)
    page.goto(world.url)
    page.locator("#compare:not([disabled])").wait_for(state="attached")
    page.locator("#filter-body input").first.wait_for(state="attached")
    yield page
    context.close()
    assert not wrong


@pytest.fixture
def two_colours(tmp_path: Path) -> Path:
    """A photo 200 x 100, its left half red, its right half blue."""
    pixels = np.empty((100, 200, 3), np.uint8)
    pixels[:, :100], pixels[:, 100:] = COLOURS["red"], COLOURS["blue"]
    path = tmp_path / "two colours.png"
    path.write_bytes(encoded(pixels, "PNG"))
    return path


def show(page: Any, photo: Path) -> None:
    """Chooses a photo and waits for its results."""
    page.set_input_files("#file", photo)
    page.locator(".card").first.wait_for()


def settled(page: Any, world: World, searches: int) -> None:
    """Waits until the server has had so many searches and the last results are shown."""
    for _ in range(PATIENCE_MS // 100):
        if len(world.asked) >= searches and not page.locator(".column[aria-busy]").count():
            break
        page.wait_for_timeout(100)
    assert len(world.asked) == searches


def drag(page: Any, selector: str, *points: tuple[float, float]) -> None:
    """Presses the mouse at the first point and moves it over the others; fractions of the element's sides."""
    box = page.locator(selector).bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up()


def colours_of_cards(page: Any, count: int) -> list[str]:
    """The colours of the first products shown."""
    known = {product.item_id: product.colour for product in PRODUCTS}
    return [known[card.get_attribute("data-item")] for card in page.locator(".card").all()[:count]]
