"""Who uses keys, a screen reader, a phone or the dark can use the page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.serving.fake_server import PAGE, World
from tests.support.serving.page_actions import show

pytestmark = pytest.mark.slow

LEAST_CONTRAST = 4.5  # WCAG 2.2 AA, text
# Every visible text with its colour and the colours behind it, nearest first, as [r, g, b, a] in [0, 1].
TEXTS = """() => {
  const values = (text) => {
    const numbers = text.match(/[\\d.]+(e-?\\d+)?/g).map(Number);
    const [r, g, b] = text.startsWith("color(") ? numbers : numbers.map((number) => number / 255);
    return [r, g, b, numbers[3] ?? 1];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const texts = [];
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement, text = walker.currentNode.textContent.trim();
    if (!text || !node.checkVisibility({ visibilityProperty: true }) || node.closest(".unseen, noscript, option")) continue;
    const behind = [];
    for (let each = node; each; each = each.parentElement) behind.push(values(getComputedStyle(each).backgroundColor));
    texts.push({ text, colour: values(getComputedStyle(node).color), behind });
  }
  return texts;
}"""

# What has the focus, and whether an outline shows it; controls that are styled by their label show it there.
FOCUSED = """() => {
  const node = document.activeElement;
  const shown = node.id === "file" ? [document.querySelector("label[for=file]")]
    : [node, node.nextElementSibling, node.closest("label")].filter(Boolean);
  const seen = shown.map((each) => getComputedStyle(each))
    .some((style) => style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2);
  return { id: node.id || node.textContent.trim(), seen };
}"""
OVER_THE_EDGE = """(edge) => [...document.querySelectorAll("main *")]
  .filter((node) => node.checkVisibility() && !node.closest(".unseen, svg, .frame"))
  .filter((node) => node.getBoundingClientRect().right > edge + 0.5)
  .map((node) => node.outerHTML.slice(0, 80))"""
TOO_SMALL = """(least) => [...document.querySelectorAll("button, label.button, select, label.chip")]
  .filter((node) => node.checkVisibility() && node.getBoundingClientRect().height < least)
  .map((node) => node.outerHTML.slice(0, 80))"""
LEAST_TARGET = 31  # CSS pixels; WCAG 2.2 AA asks for 24


def luminance(colour: list[float]) -> float:
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(colour: list[float], behind: list[list[float]]) -> float:
    """The WCAG contrast of a text colour on layers, nearest first."""
    ground = [1.0, 1.0, 1.0]
    for *layer, alpha in reversed(behind):
        ground = [alpha * over + (1 - alpha) * under for over, under in zip(layer, ground, strict=True)]
    light, dark = sorted((luminance(colour[:3]), luminance(ground)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_of_known_pairs() -> None:
    assert contrast([0, 0, 0, 1], [[1, 1, 1, 1]]) == pytest.approx(21)
    assert contrast([0.4667] * 3 + [1], [[0, 0, 0, 0], [1, 1, 1, 1]]) == pytest.approx(4.48, abs=0.01)


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class TestInBothSchemes:
    @pytest.fixture
    def options(self, scheme: str) -> dict[str, Any]:
        return {"viewport": {"width": 1280, "height": 900}, "color_scheme": scheme, "reduced_motion": "reduce"}

    def test_every_text_has_contrast(self, page: Any, world: World, two_colours: Path, scheme: str) -> None:
        weak, seen = [], 0

        def check() -> None:
            nonlocal seen
            for each in page.evaluate(TEXTS):
                seen += 1
                if contrast(each["colour"], each["behind"]) < LEAST_CONTRAST:
                    weak.append((each["text"], round(contrast(each["colour"], each["behind"]), 2)))

        check()
        show(page, two_colours)
        page.locator("#filters > summary").click()
        page.locator("input[name=category]").first.check()
        page.get_by_label("Compare with another").check()
        page.locator(".other").first.wait_for()
        check()
        page.locator(".card .picture").first.click()
        page.locator("dialog .views img").first.wait_for()
        check()
        page.keyboard.press("Escape")
        page.get_by_role("tab", name="Sketch").click()
        page.get_by_role("button", name="Dress").first.click()
        page.locator("#painted").wait_for()
        check()
        world.trouble = lambda _: (500, {"title": "Internal Server Error", "detail": "its log says why"}, {})
        page.get_by_role("button", name="Skirt").click()
        page.locator(".error").first.wait_for()
        check()
        assert not weak
        assert seen > 300
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (int(re.findall(r"\d+", ground)[0]) < 60) == (scheme == "dark")

    def test_the_choice_of_a_scheme_is_kept(self, page: Any) -> None:
        before = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.locator("#theme").click()
        after = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert after != before
        page.reload()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == after


def unnamed(page: Any) -> list[str]:
    """The controls and pictures that a screen reader would have no name for, by the browser's own accessibility tree."""
    session = page.context.new_cdp_session(page)
    roles = {"button", "link", "checkbox", "radio", "slider", "combobox", "textbox", "tab", "application", "dialog"}
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    named = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"] and node.get("role", {}).get("value") in roles
    ]
    assert len(named) >= 5
    return [role for role, name in named if not name.strip()]


def test_every_control_has_a_name(page: Any, two_colours: Path) -> None:
    assert unnamed(page) == []
    show(page, two_colours)
    page.locator("#filters > summary").click()
    page.get_by_label("Compare with another").check()
    page.locator(".other").first.wait_for()
    assert unnamed(page) == []
    page.locator(".card .picture").first.click()
    page.locator("dialog .views img").first.wait_for()
    assert unnamed(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Sketch").click()
    assert unnamed(page) == []


def test_a_search_by_keys_alone_and_the_focus_is_always_seen(page: Any, world: World) -> None:
    order = []

    def tab_to(target: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            at = page.evaluate(FOCUSED)
            assert at["seen"], at["id"]
            order.append(at["id"])
            if at["id"] == target:
                return
        raise AssertionError(f"{target} is not reached; the way was {order}")

    tab_to("tab-photo")
    page.keyboard.press("ArrowRight")
    tab_to("pad")
    tab_to("Skirt")
    page.keyboard.press("Enter")
    page.locator(".card").first.wait_for()
    tab_to("k")
    tab_to("More like this")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Back to my search").wait_for()
    assert page.evaluate("document.activeElement.id") == "results"
    assert [asked.fields["mode"] for asked in world.asked] == ["sketch"]


class TestOnAPhone:
    @pytest.fixture
    def options(self) -> dict[str, Any]:
        phone = {"width": 360, "height": 740}
        return {"viewport": phone, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}

    def test_nothing_is_wider_than_the_screen_and_targets_fit_a_finger(self, page: Any, two_colours: Path) -> None:
        def check() -> None:
            assert page.evaluate("document.documentElement.scrollWidth") <= 360
            assert page.evaluate(OVER_THE_EDGE, 360) == []
            assert page.evaluate(TOO_SMALL, LEAST_TARGET) == []

        check()
        show(page, two_colours)
        page.locator("#filters > summary").tap()
        page.locator("#options > summary").tap()
        check()
        page.get_by_text("Compare with another").tap()
        page.locator(".other").first.wait_for()
        check()
        page.get_by_role("tab", name="Sketch").tap()
        page.get_by_role("button", name="Dress").first.tap()
        page.locator(".column .painted").first.wait_for()
        check()


def test_the_page_holds_to_its_policy_and_is_small() -> None:
    sources = {path.name: path.read_text() for path in PAGE.iterdir()}
    markup = sources["index.html"]
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", markup)
    assert not [name for name, text in sources.items() if re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)]
    assert sum(map(len, sources.values())) < 90_000
