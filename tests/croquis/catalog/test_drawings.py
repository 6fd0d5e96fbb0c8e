"""Names of drawings, and the box of their lines."""

from __future__ import annotations

import numpy as np
import pytest

from croquis.catalog.drawings import crop_to_ink, drawing_id, photo_of


@pytest.mark.parametrize("photo_id", ["a", "item-1/front", "of/of", "sketch-of/x"])
@pytest.mark.parametrize("number", [0, 1, 11])
def test_a_drawings_name_tells_its_photo(photo_id: str, number: int) -> None:
    assert photo_of(drawing_id(photo_id, number)) == photo_id


def test_names_differ_and_other_names_tell_nothing() -> None:
    assert len({drawing_id("a", number) for number in range(20)}) == 20
    assert drawing_id("a") == "sketch-of/a"
    for name in ("a", "item-1/flat", "sketch-of/", "my sketch-of/a", "sketch-x-of/a"):
        assert photo_of(name) is None


def test_a_drawing_is_cropped_to_its_lines() -> None:
    sheet = np.full((100, 80, 3), 255, dtype=np.uint8)
    sheet[30:70, 20:41] = 0
    sheet[5, 5] = 200  # a shadow of the paper is no line
    cropped = crop_to_ink(sheet)
    assert cropped.shape == (42, 23, 3)  # a margin of 2 % of 40, rounded
    assert (cropped[1:-1, 1:-1] == 0).all()
    assert (crop_to_ink(cropped) == cropped).all()


def test_lines_at_the_border_and_blank_sheets_stay() -> None:
    sheet = np.zeros((40, 60, 3), dtype=np.uint8)
    assert crop_to_ink(sheet).shape == sheet.shape
    blank = np.full((40, 60, 3), 255, dtype=np.uint8)
    assert crop_to_ink(blank) is blank
