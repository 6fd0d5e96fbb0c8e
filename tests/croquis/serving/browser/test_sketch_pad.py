"""The sketch pad: drawn on by mouse, touch and keys; erased, taken back, cleared; what the generator made is shown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.serving.fake_server import World
from tests.support.serving.page_actions import drag, one_search, settled

pytestmark = pytest.mark.slow

ACROSS = ((0.2, 0.5), (0.8, 0.5))
DOWN = ((0.5, 0.2), (0.5, 0.4))


@pytest.fixture
def pad(page: Any) -> Any:
    page.get_by_role("tab", name="Sketch").click()
    page.get_by_role("heading", name="Draw a garment").wait_for()
    return page


def test_models_that_have_seen_no_drawing_are_offered_none(page: Any, world: World) -> None:
    assert page.get_by_role("tab", name="Sketch").is_visible()
    world.modes = ["photo"]
    page.reload()
    page.locator("[data-drawings=none]").wait_for()
    assert not page.get_by_role("tab", name="Sketch").is_visible()
    assert page.get_by_role("button", name="Draw instead").count() == 0
    assert "draw it" not in page.locator("body").inner_text().lower()
    assert page.get_by_role("tabpanel").is_visible()


def dark(picture: np.ndarray, x: float, y: float) -> bool:
    """Whether the drawing has ink at a place, in fractions of its sides."""
    return bool(picture[int(y * picture.shape[0]), int(x * picture.shape[1])].mean() < 128)


def test_a_drawing_is_searched_for_through_the_generator_and_shown(pad: Any, world: World) -> None:
    drag(pad, "#pad", *ACROSS)
    settled(pad, world, 1)
    (asked,) = world.asked
    assert (asked.fields["mode"], asked.fields["generated"]) == ("sketch", "true")
    assert asked.picture.shape == (512, 512, 3)
    assert dark(asked.picture, 0.5, 0.5)
    assert dark(asked.picture, 0.25, 0.5)
    assert not dark(asked.picture, 0.1, 0.5)
    assert not dark(asked.picture, 0.5, 0.45)
    painted = pad.get_by_role("img", name="What the generator made of your drawing")
    assert painted.is_visible()
    assert painted.evaluate("(image) => image.naturalWidth") == 64
    assert "by siamese version 3 through the generator in" in pad.locator("#results .meta").inner_text()
    assert pad.locator(".card").count() == 20


def test_a_drawing_goes_the_way_that_the_server_names_first(page: Any, world: World) -> None:
    world.modes = ["photo", "sketch-direct", "sketch"]
    page.reload()
    page.get_by_role("tab", name="Sketch").click()
    drag(page, "#pad", *ACROSS)
    settled(page, world, 1)
    assert world.asked[0].fields["mode"] == "sketch-direct"
    assert "by siamese version 3 directly, as lines in" in page.locator("#results .meta").inner_text()
    assert page.locator("#painted").is_hidden()


def test_the_eraser_takes_ink_away_and_undo_and_redo_bring_it_back(pad: Any, world: World) -> None:
    drag(pad, "#pad", *ACROSS)
    settled(pad, world, 1)
    pad.get_by_role("radio", name="Eraser").check()
    drag(pad, "#pad", (0.5, 0.3), (0.5, 0.7))
    settled(pad, world, 2)
    assert not dark(world.asked[1].picture, 0.5, 0.5)
    assert dark(world.asked[1].picture, 0.3, 0.5)
    pad.get_by_role("button", name="Undo").click()
    settled(pad, world, 3)
    np.testing.assert_array_equal(world.asked[2].picture, world.asked[0].picture)
    pad.get_by_role("button", name="Redo").click()
    settled(pad, world, 4)
    np.testing.assert_array_equal(world.asked[3].picture, world.asked[1].picture)


def test_a_wider_pen_leaves_more_ink(pad: Any, world: World) -> None:
    drag(pad, "#pad", *ACROSS)
    settled(pad, world, 1)
    pad.locator("#width").focus()
    for _ in range(14):
        pad.keyboard.press("ArrowRight")
    assert pad.locator("#width-shown").inner_text() == "21"
    with one_search(pad):
        pad.get_by_role("button", name="Undo").click()
        drag(pad, "#pad", *ACROSS)
    settled(pad, world, 2)
    thin, wide = ((asked.picture[:, 256, 0] < 128).sum() for asked in world.asked)
    assert (thin, wide) == (pytest.approx(7, abs=1), pytest.approx(21, abs=1))


def test_clear_empties_the_pad_and_asks_nothing(pad: Any, world: World) -> None:
    drag(pad, "#pad", *ACROSS)
    settled(pad, world, 1)
    pad.get_by_role("button", name="Clear").click()
    pad.get_by_role("heading", name="Draw a garment").wait_for()
    assert pad.locator("#painted").is_hidden()
    assert pad.get_by_role("button", name="Undo").is_disabled()
    settled(pad, world, 1)


def test_one_can_draw_with_the_keyboard(pad: Any, world: World) -> None:
    pad.locator("#pad").focus()
    with one_search(pad):
        pad.keyboard.press("Space")
        for _ in range(10):
            pad.keyboard.press("ArrowDown")
        assert pad.locator("#nib.down").is_visible()
        pad.keyboard.press("Space")
    settled(pad, world, 1)
    top = 512 // 3
    column = world.asked[0].picture[:, 256, 0] < 128
    assert column[top : top + 120].all()
    assert not column[top + 130 :].any()
    pad.keyboard.press("Control+z")
    pad.get_by_role("heading", name="Draw a garment").wait_for()


def test_a_finger_draws_and_a_pressed_stylus_draws_wider(pad: Any, world: World) -> None:
    script = """([kind, pressure, y]) => {
      const pad = document.querySelector("#pad"), box = pad.getBoundingClientRect();
      const send = (name, x) => pad.dispatchEvent(new PointerEvent(name, {
        pointerId: 1, pointerType: kind, isPrimary: true, pressure, button: name === "pointermove" ? -1 : 0, bubbles: true,
        clientX: box.left + x * box.width, clientY: box.top + y * box.height }));
      pad.setPointerCapture = () => {};
      send("pointerdown", 0.2); send("pointermove", 0.5); send("pointermove", 0.8); send("pointerup", 0.8);
    }"""
    with one_search(pad):
        for kind, pressure, y in (("touch", 0.0, 0.25), ("pen", 0.1, 0.5), ("pen", 1.0, 0.75)):
            pad.evaluate(script, [kind, pressure, y])
    settled(pad, world, 1)
    column = world.asked[0].picture[:, 256, 0] < 128
    finger, light, hard = (int(column[int(512 * y) - 20 : int(512 * y) + 20].sum()) for y in (0.25, 0.5, 0.75))
    assert light < finger < hard


def test_an_outline_starts_a_drawing_and_the_mode_can_be_direct(pad: Any, world: World) -> None:
    pad.get_by_role("button", name="Skirt").click()
    settled(pad, world, 1)
    assert world.asked[0].picture.mean() < 254
    pad.locator("#mode-a").select_option("sketch-direct")
    settled(pad, world, 2)
    assert world.asked[1].fields["mode"] == "sketch-direct"
    assert "generated" not in world.asked[1].fields
    assert pad.locator("#painted").is_hidden()


def test_a_drawing_is_painted_in_a_colour_of_the_palette(page: Any, world: World) -> None:
    world.colours = {"light-blue": "#96bcde", "red": "#be262c"}
    page.reload()
    page.get_by_role("tab", name="Sketch").click()
    palette = page.get_by_role("group", name="Colour to paint it in")
    assert palette.locator("label").all_inner_texts() == ["any colour", "light-blue", "red"]
    drag(page, "#pad", *ACROSS)
    settled(page, world, 1)
    assert "colour" not in world.asked[0].fields
    with one_search(page):
        palette.get_by_text("red").click()
    settled(page, world, 2)
    assert world.asked[1].fields["colour"] == "#be262c"
    page.locator("#mode-a").select_option("sketch-direct")
    settled(page, world, 3)
    assert "colour" not in world.asked[2].fields
    assert not palette.is_visible()
    page.locator("#mode-a").select_option("sketch")
    settled(page, world, 4)
    assert world.asked[3].fields["colour"] == "#be262c"
    page.locator("#model-a").select_option("dhd")
    settled(page, world, 5)
    assert "colour" not in world.asked[4].fields
    assert not palette.is_visible()


def test_there_is_no_palette_where_no_generator_takes_a_colour(pad: Any) -> None:
    assert not pad.locator("#palette").is_visible()
