"""Words on the page: alone, beside a photo, and in a link that can be sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.serving.fake_server import World
from tests.support.serving.page_actions import settled, show

pytestmark = pytest.mark.slow


def test_words_alone_are_a_query_and_a_link(page: Any, world: World) -> None:
    page.get_by_label("Words").fill("red dress")
    page.locator(".card").first.wait_for()
    asked = world.asked[-1]
    assert (asked.fields["text"], asked.fields["mode"], asked.pictures) == ("red dress", "photo", [])
    assert "text=red+dress" in page.url
    page.reload()
    page.locator(".card").first.wait_for()
    assert page.get_by_label("Words").input_value() == "red dress"
    before = len(world.asked)
    page.get_by_label("Words").fill("")
    page.get_by_role("heading", name="What are you looking for?").wait_for()
    assert len(world.asked) == before


def test_words_go_with_a_photo(page: Any, world: World, two_colours: Path) -> None:
    show(page, two_colours)
    assert "text" not in world.asked[-1].fields
    before = len(world.asked)
    page.get_by_label("Words").fill("striped")
    settled(page, world, before + 1)
    assert world.asked[-1].fields["text"] == "striped"
    assert len(world.asked[-1].pictures) == 1
