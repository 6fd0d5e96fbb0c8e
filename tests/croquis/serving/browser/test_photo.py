"""A photo on the page: chosen, dropped, pasted, cropped by pointer and keys, refused in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.serving.fake_server import World
from tests.support.serving.page_actions import colours_of_cards, drag, one_search, settled, show

pytestmark = pytest.mark.slow

PUT = """([kind, name]) => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 60, height: 40 });
  const context = canvas.getContext("2d");
  context.fillStyle = "rgb(232, 190, 70)";
  context.fillRect(0, 0, 60, 40);
  return new Promise((done) => canvas.toBlob((blob) => {
    const files = new DataTransfer();
    files.items.add(new File([blob], name, { type: "image/png" }));
    const event = kind === "paste"
      ? new ClipboardEvent("paste", { clipboardData: files, bubbles: true })
      : new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true });
    document.body.dispatchEvent(event);
    done();
  }));
}"""


def test_a_photo_is_searched_for_whole_and_untouched(page: Any, world: World, two_colours: Path) -> None:
    assert page.get_by_role("heading", name="What are you looking for?").is_visible()
    show(page, two_colours)
    settled(page, world, 1)
    (asked,) = world.asked
    np.testing.assert_array_equal(asked.picture, np.asarray(Image.open(two_colours)))
    assert asked.fields == {"k": "20", "group_by": "item", "mode": "photo", "timings": "true", "describe": "true"}
    assert page.locator(".card").count() == 20
    assert page.locator("#results .meta").inner_text() == "20 results by siamese version 3 in 4 ms"
    assert page.locator("#announcer").inner_text() == "20 results."


@pytest.mark.parametrize("kind", ["paste", "drop"])
def test_a_photo_can_be_pasted_and_dropped(page: Any, world: World, kind: str) -> None:
    page.get_by_role("tab", name="Sketch").click()
    page.evaluate(PUT, [kind, "yellow.png"])
    page.locator(".card").first.wait_for()
    assert page.get_by_role("tab", name="Photo").get_attribute("aria-selected") == "true"
    assert world.asked[-1].picture.shape == (40, 60, 3)
    assert colours_of_cards(page, 6) == ["yellow"] * 6


def test_a_box_drawn_over_the_photo_is_the_crop(page: Any, world: World, two_colours: Path) -> None:
    show(page, two_colours)
    drag(page, "#frame", (0.6, 0.1), (0.95, 0.9))
    settled(page, world, 2)
    box = [int(side) for side in world.asked[1].fields["crop"].split(",")]
    assert box == pytest.approx([120, 10, 190, 90], abs=2)
    assert colours_of_cards(page, 6) == ["blue"] * 6


def test_the_box_moves_and_its_corners_resize_it(page: Any, world: World, two_colours: Path) -> None:
    show(page, two_colours)
    drag(page, "#frame", (0.6, 0.1), (0.9, 0.9))
    settled(page, world, 2)
    drag(page, "#frame", (0.75, 0.5), (0.15, 0.5))
    settled(page, world, 3)
    assert [int(side) for side in world.asked[2].fields["crop"].split(",")] == pytest.approx([0, 10, 60, 90], abs=2)
    assert colours_of_cards(page, 6) == ["red"] * 6
    drag(page, "#frame", (0.3, 0.9), (0.5, 1.0))
    settled(page, world, 4)
    assert [int(side) for side in world.asked[3].fields["crop"].split(",")] == pytest.approx([0, 10, 100, 100], abs=2)
    page.get_by_role("button", name="Whole picture").click()
    settled(page, world, 5)
    assert "crop" not in world.asked[4].fields


def test_keys_shrink_and_move_the_box(page: Any, world: World, two_colours: Path) -> None:
    show(page, two_colours)
    page.locator("#crop").focus()
    with one_search(page):
        for _ in range(20):
            page.keyboard.press("Shift+ArrowLeft")
        for _ in range(30):
            page.keyboard.press("ArrowRight")
    settled(page, world, 2)
    assert [int(side) for side in world.asked[1].fields["crop"].split(",")] == pytest.approx([120, 0, 200, 100], abs=2)
    assert colours_of_cards(page, 6) == ["blue"] * 6
    assert "From 60 % to 100 % across" in page.locator("#crop-place").inner_text()


def test_the_crop_of_a_turned_photo_is_in_upright_pixels(page: Any, world: World, tmp_path: Path) -> None:
    pixels = np.zeros((60, 120, 3), np.uint8)
    pixels[:, :60] = (190, 38, 44)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying, to be turned clockwise: red is on top
    Image.fromarray(pixels).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    show(page, tmp_path / "turned.jpg")
    drag(page, "#frame", (0.3, 0.15), (0.9, 0.45))
    settled(page, world, 2)
    assert [int(side) for side in world.asked[1].fields["crop"].split(",")] == pytest.approx([18, 18, 54, 54], abs=2)
    assert colours_of_cards(page, 6) == ["red"] * 6


def test_what_is_no_picture_or_too_large_is_refused_in_words(page: Any, world: World, tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("not a picture")
    page.set_input_files("#file", tmp_path / "notes.jpg")
    refused = page.locator("#photo-error")
    refused.wait_for()
    assert "notes.jpg is no picture" in refused.inner_text()
    (tmp_path / "large.jpg").write_bytes(bytes(1_000_001))
    page.set_input_files("#file", tmp_path / "large.jpg")
    page.locator("#photo-error", has_text="1.0 MB at most").wait_for()
    assert world.asked == []
