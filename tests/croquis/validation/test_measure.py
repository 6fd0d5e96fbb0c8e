"""What is measured of one file."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from croquis.catalog import images
from croquis.catalog.images import encode_png
from croquis.validation.fingerprints import as_thumbnails, thumbnail
from croquis.validation.measure import measure
from tests.support.catalogues.garment_catalogue import draw_garment
from tests.support.catalogues.planted_faults import file_of, garment, with_orientation


def test_a_sound_file() -> None:
    data = draw_garment(1)
    found = measure(data, 50)
    assert (found.width, found.height, found.mode, found.orientation, found.problem) == (48, 48, "RGB", None, None)
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(as_thumbnails([found.thumbnail or b""])[0], thumbnail(np.asarray(image)))


def test_sizes_are_of_the_upright_picture() -> None:
    found = measure(with_orientation(garment(2).resize((90, 60)), 6), 50)
    assert (found.width, found.height, found.orientation) == (60, 90, 6)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA"])
def test_the_mode_is_that_of_the_file(mode: str) -> None:
    assert measure(file_of(garment(3).convert(mode)), 50).mode == mode


def test_an_unknown_colour_mode_has_a_column_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MODES", ("RGB",))
    problem = measure(file_of(garment(3).convert("CMYK"), "JPEG"), 50).problem
    assert problem is not None
    assert problem[0] == "mode_problem"
    assert problem[1].startswith("the colour mode CMYK is none of RGB")


def test_nearly_one_colour_is_not_blank() -> None:
    picture = np.full((200, 200, 3), 250, dtype=np.uint8)
    assert measure(encode_png(picture), 50).problem == ("blank_problem", "every pixel is #fafafa")
    picture[100, 100] = 249
    assert measure(encode_png(picture), 50).problem is None


def test_a_bomb_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", lambda image: decoded.append(image.size))
    problem = measure(file_of(Image.new("1", (3000, 2000))), 5).problem
    assert problem is not None
    assert problem[0] == "size_problem"
    assert decoded == []
    measure(file_of(Image.new("1", (30, 20))), 5)
    assert decoded
