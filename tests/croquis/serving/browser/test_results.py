"""Results: shared attributes, filters, more like this, one product, two sides, and what is said when something is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.serving.fake_answers import PRODUCTS
from tests.support.serving.fake_server import World
from tests.support.serving.page_actions import colours_of_cards, drag, one_search, settled, show

pytestmark = pytest.mark.slow


@pytest.fixture
def results(page: Any, two_colours: Path) -> Any:
    """The page with the results of a red half."""
    show(page, two_colours)
    drag(page, "#frame", (0.2, 0.4), (0.45, 0.9))
    page.locator(".score", has_text="1.000").first.wait_for()
    return page


def test_a_card_tells_rank_score_and_what_it_shares(results: Any) -> None:
    card = results.locator(".card").first
    assert card.get_by_role("button", name="Rank 1: dress item-000, show the product").is_visible()
    assert card.locator(".score").inner_text().split() == ["score", "1.000"]
    assert card.locator(".shared li").all_inner_texts() == ["long sleeve", "red"]
    assert card.locator("img").evaluate("async (image) => { await image.decode(); return image.naturalWidth; }") == 128


def test_filters_of_every_kind_are_sent_shown_and_removed(results: Any, world: World) -> None:
    before = len(world.asked)
    with one_search(results):
        results.locator("#filters > summary").click()
        for name in ("coat", "skirt"):
            results.locator(f"input[name=category][value={name}]").check()
        results.locator("input[name=colour][value=blue]").check()
        results.get_by_text("sleeve", exact=True).click()
        results.locator("input[value='sleeve:short']").check()
    settled(results, world, before + 1)
    sent = json.loads(world.asked[-1].fields["filters"])
    assert sent == {"category": ["coat", "skirt"], "attributes": ["sleeve:short"], "colour": ["blue"]}
    expected = {
        each.item_id
        for each in PRODUCTS
        if each.colour == "blue" and each.category != "dress" and each.sleeve == "short"
    }
    assert {card.get_attribute("data-item") for card in results.locator(".card").all()} == expected
    assert results.locator("#filter-count").inner_text() == "4"
    results.get_by_role("button", name="Remove the filter coat").click()
    settled(results, world, before + 2)
    assert json.loads(world.asked[-1].fields["filters"])["category"] == ["skirt"]
    results.get_by_role("button", name="Clear all filters").click()
    settled(results, world, before + 3)
    assert "filters" not in world.asked[-1].fields


def test_filters_that_nothing_passes_say_so(results: Any) -> None:
    results.locator("#filters > summary").click()
    results.get_by_text("sleeve", exact=True).click()
    for value in ("sleeve:short", "sleeve:long"):
        results.locator(f"input[value='{value}']").check()
    results.get_by_role("heading", name="Nothing passes the filters").wait_for()


def test_an_attribute_seen_in_the_picture_becomes_a_filter(results: Any, world: World) -> None:
    results.get_by_role("button", name="Show only long sleeve").click()
    settled(results, world, len(world.asked) + 1)
    assert json.loads(world.asked[-1].fields["filters"])["attributes"] == ["sleeve:long"]


def test_more_like_this_and_back(results: Any, world: World) -> None:
    before = len(world.asked)
    results.get_by_role("button", name="More like dress item-000").click()
    results.get_by_text("Like item-000", exact=True).wait_for()
    results.locator(".card[data-item=item-000]").wait_for(state="detached")
    results.locator(".card[data-item=item-004]").wait_for()
    assert colours_of_cards(results, 5) == ["red"] * 5
    assert "like=item-000" in results.url
    results.go_back()
    results.locator(".card[data-item=item-000]").wait_for()
    settled(results, world, before + 1)
    assert world.asked[-1].fields["crop"] == world.asked[-2].fields["crop"]


def test_a_link_to_more_like_this_works_by_itself(page: Any, world: World) -> None:
    page.goto(f"{world.url}?like=item-001&image=item-001%2Ffront")
    page.locator(".card[data-item=item-005]").wait_for()
    assert page.locator(".seen summary").inner_text() == "2 attributes of this product"
    page.get_by_role("button", name="Back to my search").click()
    page.get_by_role("heading", name="What are you looking for?").wait_for()


def test_one_product_opens_and_closes_and_filters(results: Any, world: World) -> None:
    before = len(world.asked)
    opener = results.locator(".card .picture").first
    opener.click()
    dialog = results.get_by_role("dialog", name="dress item-000")
    dialog.get_by_role("img", name="Picture 1 of 1").wait_for()
    results.keyboard.press("Escape")
    assert dialog.is_hidden()
    assert opener.evaluate("(node) => node === document.activeElement")
    opener.click()
    dialog.get_by_role("button", name="Show only red").click()
    settled(results, world, before + 1)
    assert json.loads(world.asked[-1].fields["filters"])["colour"] == ["red"]


def test_two_models_side_by_side(results: Any, world: World) -> None:
    before = len(world.asked)
    results.get_by_label("Compare with another").check()
    results.locator(".other").first.wait_for()
    settled(results, world, before + 2)
    assert {asked.model for asked in world.asked[-2:]} == {"champion", "dhd"}
    assert results.locator(".column h2").all_inner_texts() == ["siamese", "dhd"]
    first, second = (
        [card.get_attribute("data-item") for card in column.locator(".card").all()]
        for column in results.locator(".column").all()
    )
    both = set(first) & set(second)
    assert results.locator(".common").inner_text() == f"{len(both)} of 20 results on both sides"
    said = results.locator(".column").first.locator(".other").all_inner_texts()
    assert said == [f"other side: {second.index(item) + 1}" if item in both else "only here" for item in first]
    shared = next(item for item in first if item in both)
    results.locator(f".card[data-item={shared}]").first.hover()
    assert results.locator(".card.twin").count() == 2


def test_two_modes_side_by_side(page: Any, world: World) -> None:
    page.get_by_role("tab", name="Sketch").click()
    page.get_by_label("Compare with another").check()
    page.locator("#model-b").select_option("champion")
    page.locator("#mode-b").select_option("sketch-direct")
    page.get_by_role("button", name="T-shirt").click()
    page.locator(".other").first.wait_for()
    assert [asked.fields["mode"] for asked in world.asked[-2:]].count("sketch-direct") == 1
    assert page.locator(".column h2").all_inner_texts() == [
        "siamese, through the generator",
        "siamese, directly, as lines",
    ]
    assert page.locator(".column .painted").count() == 1


def test_while_it_searches_the_page_says_so(page: Any, world: World, two_colours: Path) -> None:
    world.hold.clear()
    page.set_input_files("#file", two_colours)
    page.locator(".column[aria-busy=true] .ghost").first.wait_for()
    assert page.get_by_text("Searching…").is_visible()
    world.hold.set()
    page.locator(".column:not([aria-busy]) .card").first.wait_for()
    assert page.locator(".ghost").count() == 0


def test_a_problem_is_shown_in_words_and_can_be_tried_again(page: Any, world: World, two_colours: Path) -> None:
    words = {"title": "Unprocessable", "detail": "crop = '9,9,9,9' holds no pixel", "field": "crop", "limit": "x1 < x2"}
    world.trouble = lambda number: (422, words, {}) if number == 1 else None
    page.set_input_files("#file", two_colours)
    alert = page.get_by_role("alert")
    alert.get_by_text("crop = '9,9,9,9' holds no pixel").wait_for()
    assert alert.get_by_text("crop x1 < x2.").is_visible()
    page.get_by_role("button", name="Try again").click()
    page.locator(".card").first.wait_for()


def test_a_busy_server_is_asked_again_when_it_said(page: Any, world: World, two_colours: Path) -> None:
    busy = (429, {"title": "Too Many Requests", "detail": "try again in 1 s"}, {"Retry-After": "1"})
    world.trouble = lambda number: busy if number <= 2 else None
    page.set_input_files("#file", two_colours)
    page.get_by_role("heading", name="The server is busy").wait_for()
    assert page.get_by_text("Trying again in 1 s.").is_visible()
    page.locator(".card").first.wait_for()
    settled(page, world, 3)


def test_a_server_that_wants_a_key_is_given_one(page: Any, world: World, two_colours: Path) -> None:
    def lock(route: Any) -> None:
        if route.request.headers.get("x-api-key") == "secret":
            route.continue_()
        else:
            route.fulfill(status=401, content_type="application/problem+json", body='{"title": "Unauthorized"}')

    page.route("**/search**", lock)
    page.route("**/catalogue/filters", lock)
    page.reload()
    page.get_by_text("The filters cannot be read: Unauthorized.").wait_for(state="attached")
    page.set_input_files("#file", two_colours)
    page.get_by_label("API key").fill("secret")
    page.get_by_role("button", name="Use this key").click()
    page.locator(".card").first.wait_for()
    page.locator("#filter-body input").first.wait_for(state="attached")
    assert len(world.asked) == 1


def test_a_server_that_is_gone_is_said_to_be(page: Any, two_colours: Path) -> None:
    page.route("**/search**", lambda route: route.abort())
    page.set_input_files("#file", two_colours)
    page.get_by_role("heading", name="The server cannot be reached").wait_for()
