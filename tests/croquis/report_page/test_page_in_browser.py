"""The page of results in a real browser: charts are drawn, panels change, nothing is logged or requested."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.chromium import open_browser

PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_browser() as browser:
        yield browser


@pytest.fixture
def opened(browser: Any, results_text: str, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Opens the page with all charts drawn; at the end nothing was logged and no address asked."""
    file, noticed, contexts = tmp_path / "results.html", [], []
    file.write_text(results_text, encoding="utf-8")

    def open_page(**options: Any) -> Any:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: noticed.append(str(error)))
        page.on("console", lambda message: noticed.append(message.text))
        page.on("request", lambda request: noticed.append(request.url) if "://" in request.url[:8] else None)
        page.goto(file.as_uri())
        page.locator("body[data-drawn]").wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert noticed == [file.as_uri()] * len(contexts)


@pytest.mark.slow
@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_every_chart_is_drawn_and_the_page_is_as_wide_as_the_screen(
    opened: Callable[..., Any], viewport: dict[str, int]
) -> None:
    page = opened(viewport=viewport)
    assert page.locator(".canvas").count() == page.locator(".canvas svg").count() == 10
    marks = ".mark-symbol path, .mark-rect path, .mark-line path"
    for name in page.locator(".canvas").evaluate_all("each => each.map(one => one.id)"):
        assert page.locator(f"#{name}").locator(marks).count() > 0, name
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    for chart in page.locator(".canvas svg").all():
        assert chart.bounding_box()["width"] <= viewport["width"]


def test_panels_change_and_their_pictures_are_filled_in(opened: Callable[..., Any]) -> None:
    page = opened(viewport=DESKTOP)
    errors = page.locator("#errors")
    assert errors.locator('[data-key="Worst queries"] [data-key="siamese"] .row').first.is_visible()
    errors.locator("label:visible", has_text="method").locator("select").select_option("histogram")
    assert errors.locator('[data-key="Worst queries"] [data-key="histogram"] .row').first.is_visible()
    assert not errors.locator('[data-key="Worst queries"] [data-key="siamese"]').is_visible()
    errors.get_by_role("tab", name="Two methods side by side").click()
    both = errors.locator('[data-key="siamese|histogram"]')
    assert both.is_visible()
    errors.locator("label:visible", has_text="first").locator("select").select_option("histogram")
    assert not both.is_visible()  # the same method twice
    assert errors.get_by_text("Choose two different methods").is_visible()
    errors.locator("label:visible", has_text="second").locator("select").select_option("siamese")
    assert both.is_visible()
    broken = "all => all.filter(one => one.checkVisibility() && !(one.complete && one.naturalWidth)).length"
    page.wait_for_function(f"({broken})([...document.querySelectorAll('img')]) === 0")


def test_the_map_shows_the_photo_of_a_point(opened: Callable[..., Any]) -> None:
    page = opened(viewport=DESKTOP)
    page.locator("#chart-map .mark-symbol.role-mark path").first.hover(force=True)
    page.wait_for_function("document.querySelector('#tip img')?.naturalWidth === 96")
    text = page.locator("#tip").inner_text()
    assert [line.split(":")[0] for line in text.splitlines()] == ["category", "item", "domain"]


@pytest.mark.slow
def test_the_page_is_dark_where_the_system_is(opened: Callable[..., Any]) -> None:
    colours = []
    for scheme in ("light", "dark"):
        page = opened(viewport=DESKTOP, color_scheme=scheme)
        ink = page.locator("#chart-curves .role-axis-label text").first.evaluate("one => getComputedStyle(one).fill")
        colours.append((page.evaluate("getComputedStyle(document.body).backgroundColor"), ink))
    assert colours == [("rgb(255, 255, 255)", "rgb(27, 31, 36)"), ("rgb(18, 20, 23)", "rgb(232, 234, 237)")]
