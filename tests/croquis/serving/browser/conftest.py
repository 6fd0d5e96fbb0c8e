"""The search page in a real browser, against a server whose answers the tests know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.chromium import open_browser
from tests.support.serving.fake_answers import COLOURS, encoded
from tests.support.serving.fake_server import World, start
from tests.support.serving.page_actions import PATIENCE_MS


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One per file: as long as Playwright runs, its event loop counts as running, and no other test may start one."""
    with open_browser() as browser:
        yield browser


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
