"""Photos that a JPEG's decoder scales: at the right scale, the right part, and within the limits of the full size."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from croquis.catalog.images import (
    BoxError,
    DamagedImageError,
    DecodeLimits,
    OversizedImageError,
    crop,
    decode_image,
    decode_inside,
    prepare_file,
    prepare_image,
)
from croquis.catalog.picture_files.jpeg_scale import scaled_box
from tests.support.catalogues.drafted_photos import DRAFT, PHOTOS, Box, saved

SIZE = 16
each_photo = pytest.mark.parametrize(("data", "box", "scale"), PHOTOS.values(), ids=PHOTOS)


@each_photo
def test_without_a_draft_a_photo_is_decoded_in_full(data: bytes, box: Box, scale: int):
    np.testing.assert_array_equal(decode_inside(data, box), crop(decode_image(data), box))
    if scale == 1:
        np.testing.assert_array_equal(decode_inside(data, box, draft=DRAFT), decode_inside(data, box))


@each_photo
def test_the_smallest_scale_that_leaves_enough_is_asked_for(data: bytes, box: Box, scale: int):
    full, drafted = decode_inside(data, box).shape, decode_inside(data, box, draft=DRAFT).shape
    assert full[0] / scale == pytest.approx(drafted[0], abs=1)
    assert full[1] / scale == pytest.approx(drafted[1], abs=1)
    assert max(full) < 2 * DRAFT or max(drafted[:2]) >= DRAFT or scale == 1
    assert max(drafted[:2]) < 2 * DRAFT + 2 or scale in (1, 8)


@each_photo
def test_the_same_part_is_seen_in_the_same_colours(data: bytes, box: Box, scale: int):
    full, drafted = decode_inside(data, box), decode_inside(data, box, draft=DRAFT)
    height, width, _ = drafted.shape
    scaled = np.asarray(Image.fromarray(full).resize((width, height), Image.Resampling.BOX), dtype=np.float64)
    assert np.abs(scaled - drafted).mean() < 5
    assert np.abs(scaled - drafted[::-1]).mean() > 20
    assert (scale > 1) == (full.shape != drafted.shape)


@pytest.mark.parametrize(("data", "box"), [(data, box) for data, box, _ in PHOTOS.values()], ids=PHOTOS)
def test_a_file_is_prepared_as_its_pixels_are(data: bytes, box: Box):
    pixels = decode_inside(data, box, draft=DRAFT)
    np.testing.assert_array_equal(prepare_file(data, SIZE, box, DRAFT), prepare_image(pixels, SIZE))


def test_limits_are_those_of_the_full_size():
    with pytest.raises(OversizedImageError, match="303 x 200"):
        decode_inside(PHOTOS["baseline"][0], None, DecodeLimits(max_pixels=10_000), DRAFT)


@pytest.mark.parametrize("draft", [0, DRAFT])
def test_a_torn_file_and_a_box_beside_the_photo_are_refused(draft: int):
    data = PHOTOS["baseline"][0]
    with pytest.raises(DamagedImageError, match="truncated"):
        decode_inside(data[: len(data) // 2], None, draft=draft)
    with pytest.raises(BoxError, match="holds no pixel of the 303 x 200 image"):
        decode_inside(data, [400, 0, 500, 10], draft=draft)


def test_a_thread_of_a_photo_is_still_a_photo():
    assert decode_inside(saved(1, (1000, 3)), None, draft=DRAFT).shape == (2, 500, 3)
    assert decode_inside(saved(1), [0, 50, 303, 51], draft=DRAFT).shape == (1, 76, 3)


def test_a_scaled_box_is_never_empty_and_never_leaves_the_image():
    generator = np.random.default_rng(5)
    for _ in range(300):
        width, height, scale = generator.integers(1, 400), generator.integers(1, 400), generator.choice([2, 4, 8])
        x1, y1 = generator.integers(0, width), generator.integers(0, height)
        x2, y2 = generator.integers(x1, width) + 1, generator.integers(y1, height) + 1
        now = -(-width // scale), -(-height // scale)
        left, top, right, bottom = scaled_box((x1, y1, x2, y2), (width, height), now)
        assert 0 <= left < right <= now[0]
        assert 0 <= top < bottom <= now[1]
        assert abs(left - x1 * now[0] / width) <= 1
        assert abs(bottom - y2 * now[1] / height) <= 1
