"""What a test does on the search page: choose a photo, drag, wait, read the cards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.serving.fake_answers import PRODUCTS
from tests.support.serving.fake_server import World

PATIENCE_MS = 60_000


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


@contextmanager
def one_search(page: Any) -> Iterator[None]:
    """Stops the page's timers during the block, so that its actions lead to one search however slow the machine is."""
    page.clock.install(time=0)
    page.clock.pause_at(1)
    yield
    page.clock.resume()


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
