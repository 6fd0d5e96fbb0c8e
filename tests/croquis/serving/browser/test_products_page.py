"""Products on the page: their own columns, several photos as one query, another colour, and links that can be sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import numpy as np
import pytest

from tests.support.serving.fake_answers import COLOURS, PRODUCTS, encoded
from tests.support.serving.fake_server import World
from tests.support.serving.page_actions import colours_of_cards, drag, settled, show

pytestmark = pytest.mark.slow
KNOWN = {product.item_id: product for product in PRODUCTS}


@pytest.fixture
def blue(tmp_path: Path) -> Path:
    path = tmp_path / "blue.png"
    path.write_bytes(encoded(np.full((60, 40, 3), COLOURS["blue"], np.uint8), "PNG"))
    return path


def asked_address(page: Any) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def test_a_card_shows_title_price_and_link(page: Any, two_colours: Path) -> None:
    show(page, two_colours)
    card = page.locator(".card[data-item=item-005]")
    assert card.locator(".name span").first.inner_text() == "Soft skirt 5"
    assert card.locator(".price").inner_text() == "12.50"
    assert card.locator(".id").inner_text() == "skirt · item-005"
    link = card.get_by_role("link", name="Open the page of Soft skirt 5")
    told = {name: link.get_attribute(name) for name in ("href", "rel", "target")}
    assert told == {"href": "https://shop.example/item-005", "rel": "noopener noreferrer", "target": "_blank"}
    assert page.locator(".card[data-item=item-004] .open").count() == 0  # a link of JavaScript
    assert page.locator(".card[data-item=item-003] .price").count() == 0
    card.locator(".picture").click()
    dialog = page.get_by_role("dialog", name="Soft skirt 5")
    dialog.locator("dl.own").wait_for()
    names, values = (dialog.locator(f"dl.own {tag}").all_inner_texts() for tag in ("dt", "dd"))
    assert dict(zip(names, values, strict=True)) == {
        "title": "Soft skirt 5",
        "price": "12.5",
        "sale": "no",
        "link": "https://shop.example/item-005",
    }


def test_products_are_shown_once_unless_every_photo_is_wanted(page: Any, world: World, two_colours: Path) -> None:
    show(page, two_colours)
    assert world.asked[-1].fields["group_by"] == "item"
    before = len(world.asked)
    page.locator("#show").select_option("every photo")
    settled(page, world, before + 1)
    assert world.asked[-1].fields["group_by"] == "none"
    assert asked_address(page) == {"show": "none"}


def test_several_photos_are_one_query(page: Any, world: World, two_colours: Path, blue: Path) -> None:
    show(page, two_colours)
    before = len(world.asked)
    page.set_input_files("#more", [blue, blue])
    settled(page, world, before + 1)
    drag(page, "#frame", (0.2, 0.4), (0.45, 0.9))
    settled(page, world, before + 2)
    first, *others = world.asked[-1].pictures
    assert "crop" not in world.asked[-1].fields
    np.testing.assert_allclose(first.reshape(-1, 3).mean(axis=0), COLOURS["red"], atol=6)  # cut by the page, as a JPEG
    assert [picture.shape for picture in others] == [(60, 40, 3)] * 2
    page.get_by_role("button", name="Take photo 3 away").click()
    settled(page, world, before + 3)
    assert len(world.asked[-1].pictures) == 2
    page.set_input_files("#file", blue)
    settled(page, world, before + 4)
    assert len(world.asked[-1].pictures) == 1
    assert page.locator("#views").is_hidden()


def test_the_same_in_another_colour(page: Any, world: World, blue: Path) -> None:
    show(page, blue)
    before = len(world.asked)
    page.get_by_role("group", name="The same in another colour").get_by_role("button", name="red").click()
    settled(page, world, before + 1)
    assert json.loads(world.asked[-1].fields["filters"]) == {"colour": ["red"]}
    page.get_by_role("group", name="The same in another colour").get_by_role("button", name="yellow").click()
    settled(page, world, before + 2)
    assert json.loads(world.asked[-1].fields["filters"]) == {"colour": ["yellow"]}
    page.locator(".card .more").first.click()
    page.get_by_role("heading", name="More like this").wait_for()
    page.locator(".column:not([aria-busy]) .card").first.wait_for()
    assert set(colours_of_cards(page, 4)) == {"yellow"}
    page.get_by_role("button", name="Remove the filter yellow").click()
    page.get_by_role("button", name="Remove the filter yellow").wait_for(state="detached")
    assert asked_address(page)["like"] in KNOWN


def test_columns_of_products_are_filters(page: Any, world: World, two_colours: Path) -> None:
    show(page, two_colours)
    before = len(world.asked)
    page.locator("#filters > summary").click()
    page.get_by_label("price from").fill("12")
    page.get_by_label("price from").blur()
    settled(page, world, before + 1)
    page.get_by_text("sale", exact=True).click()
    page.locator("input[data-column=sale][value=true]").check()
    settled(page, world, before + 2)
    assert json.loads(world.asked[-1].fields["filters"]) == {"product": {"price": {"min": 12}, "sale": [True]}}
    assert page.locator("#filter-count").inner_text() == "2"
    page.get_by_role("button", name="Remove the filter price from 12").click()
    settled(page, world, before + 3)
    assert json.loads(world.asked[-1].fields["filters"]) == {"product": {"sale": [True]}}
    assert json.loads(asked_address(page)["filters"]) == {"product": {"sale": [True]}}


def test_a_link_brings_product_filters_and_settings(page: Any, world: World) -> None:
    filters = {"colour": ["red"], "product": {"price": {"max": 18}}}
    sent = {"like": "item-001", "image": "item-001/front", "filters": json.dumps(filters), "k": "40", "show": "none"}
    page.goto(f"{world.url}?{urlencode(sent)}")
    page.locator(".card").first.wait_for()
    page.get_by_role("button", name="Remove the filter red").wait_for()
    assert page.locator("#k").input_value() == "40"
    assert page.locator("#show").input_value() == "none"
    assert json.loads(asked_address(page)["filters"]) == filters
    shown = [KNOWN[card.get_attribute("data-item")] for card in page.locator(".card").all()]
    assert {product.colour for product in shown} == {"red"}
    assert all(product.columns["price"] <= 18 for product in shown)
    page.get_by_role("button", name="Back to my search").click()
    assert "like" not in asked_address(page)


@pytest.mark.parametrize("query", ["filters=%7B", "filters=[1]", "k=7&show=brand", "filters={%22product%22:3}"])
def test_an_address_of_somebody_else_breaks_nothing(page: Any, world: World, query: str, blue: Path) -> None:
    page.goto(f"{world.url}?{query}")
    page.locator("#filter-body input").first.wait_for(state="attached")
    show(page, blue)
    assert world.asked[-1].fields["k"] == "20"


def test_the_size_of_pictures_is_kept_and_small_ones_are_not_blown_up(page: Any, two_colours: Path) -> None:
    page.get_by_label("Pictures").select_option("large")
    show(page, two_colours)
    page.locator(".card img[style]").first.wait_for()
    large = page.locator(".card").first.bounding_box()["width"]
    assert page.locator(".card img").first.bounding_box()["width"] <= 128 * 1.5
    page.reload()
    assert page.get_by_label("Pictures").input_value() == "large"
    page.get_by_label("Pictures").select_option("small")
    show(page, two_colours)
    assert page.locator(".card").first.bounding_box()["width"] < large


class TestOnAPhone:
    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}

    def test_results_are_in_sight(self, page: Any, two_colours: Path) -> None:
        show(page, two_colours)
        card = page.locator(".card .picture").first.bounding_box()
        assert card["y"] + card["height"] <= 844
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
