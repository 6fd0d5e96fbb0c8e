"""Decoding is safe and uniform; preparation is anti-aliased and keeps the aspect."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from croquis.catalog.images import (
    DecodeLimits,
    ImageError,
    costs_little,
    crop,
    decode_image,
    encode_jpeg,
    encode_png,
    from_batch,
    prepare_image,
    to_batch,
)
from tests.support.costly_pictures import scans


def quadrants() -> np.ndarray:
    """16 x 24: red, green / blue, white."""
    image = np.zeros((16, 24, 3), dtype=np.uint8)
    image[:8, :12], image[:8, 12:] = (255, 0, 0), (0, 255, 0)
    image[8:, :12], image[8:, 12:] = (0, 0, 255), (255, 255, 255)
    return image


def noise(height: int = 40, width: int = 30, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def file_of(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format=kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_lossless_files_come_back_exactly(kind: str) -> None:
    image = noise()
    assert np.array_equal(decode_image(file_of(Image.fromarray(image), kind)), image)


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {"quality": 95}), ("WEBP", {"lossless": True}), ("GIF", {})])
def test_other_formats_come_back_close(kind: str, options: dict[str, object]) -> None:
    decoded = decode_image(file_of(Image.fromarray(quadrants()), kind, **options))
    assert decoded.dtype == np.uint8
    # JPEG blurs the borders of colours, so only the middles of the quadrants are compared.
    assert np.abs(decoded[4::8, 6::12].astype(int) - quadrants()[4::8, 6::12]).max() <= 12


def stored_for(upright: np.ndarray, orientation: int) -> np.ndarray:
    """What a camera held that way would have stored, from the EXIF standard: row 0 and column 0 of the upright picture."""
    transposed = upright.transpose(1, 0, 2)
    return {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: transposed,
        6: transposed[::-1],  # shown after a quarter turn clockwise
        7: transposed[::-1, ::-1],
        8: transposed[:, ::-1],
    }[orientation]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(stored_for(quadrants(), orientation))
    assert np.array_equal(decode_image(file_of(Image.fromarray(stored), "PNG", exif=exif)), quadrants())


def test_grey_palette_and_one_bit_become_rgb() -> None:
    grey = Image.fromarray(noise()[:, :, 0])
    expected = np.repeat(np.asarray(grey)[:, :, None], 3, axis=2)
    assert np.array_equal(decode_image(file_of(grey, "PNG")), expected)
    assert np.array_equal(decode_image(file_of(grey.convert("P"), "PNG")), expected)
    ink = Image.fromarray((np.asarray(grey) > 128).astype(np.uint8) * 255).convert("1")
    assert set(np.unique(decode_image(file_of(ink, "PNG")))) == {0, 255}


def test_alpha_is_laid_on_white() -> None:
    rgba = Image.new("RGBA", (4, 1))
    rgba.putdata([(255, 0, 0, 255), (255, 0, 0, 0), (0, 0, 0, 128), (0, 0, 255, 255)])
    decoded = decode_image(file_of(rgba, "PNG"))[0]
    assert decoded[0].tolist() == [255, 0, 0]
    assert decoded[1].tolist() == [255, 255, 255]
    assert np.abs(decoded[2].astype(int) - 127).max() <= 1
    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 0, 10, 200, 30])
    palette.putdata([0, 1])
    assert decode_image(file_of(palette, "PNG", transparency=0))[0].tolist() == [[255, 255, 255], [10, 200, 30]]


def test_sixteen_bit_grey_keeps_the_high_byte() -> None:
    values = np.array([[0, 255, 256, 32_768, 65_535]], dtype=np.uint16)
    decoded = decode_image(file_of(Image.fromarray(values), "PNG"))
    assert decoded[0, :, 0].tolist() == [0, 0, 1, 128, 255]


def test_cmyk_becomes_rgb() -> None:
    image = Image.fromarray(np.full((16, 16, 3), (200, 40, 90), dtype=np.uint8)).convert("CMYK")
    decoded = decode_image(file_of(image, "JPEG", quality=95))
    assert np.abs(decoded.astype(int) - (200, 40, 90)).max() <= 6


def test_phone_pictures_with_a_second_image_are_the_first_one() -> None:
    first, second = Image.fromarray(quadrants()), Image.new("RGB", (24, 16))
    data = file_of(first, "MPO", save_all=True, append_images=[second])
    assert decode_image(data)[3, 3, 0] > 200


def png_claiming(width: int, height: int) -> bytes:
    """A small PNG file whose header promises a huge picture."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"\0" * 64, "none of JPEG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", "none of JPEG"),
        (b"%PDF-1.7 ...", "none of JPEG"),
        (png_claiming(8000, 8000), "8000 x 8000 pixels, the limit is 50000000"),
        (png_claiming(60_000, 60_000), "the 50000000 pixels allowed"),
        (png_claiming(100, 100), "truncated or damaged"),
        (encode_jpeg(noise())[:400], "truncated or damaged"),
        (encode_png(noise())[:600], "truncated or damaged"),
        (b"\xff\xd8\xff", "none of JPEG"),
    ],
)
def test_what_is_not_a_whole_picture_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        decode_image(data)


def test_limits_are_named() -> None:
    data = encode_png(noise())
    with pytest.raises(ImageError, match=f"has {len(data)} bytes, the limit is 100"):
        decode_image(data, DecodeLimits(max_bytes=100))
    with pytest.raises(ImageError, match="30 x 40 pixels, the limit is 1199"):
        decode_image(data, DecodeLimits(max_pixels=1199))
    assert decode_image(data, DecodeLimits(max_bytes=len(data), max_pixels=1200)).shape == (40, 30, 3)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_animations_are_refused(kind: str) -> None:
    frames = [Image.fromarray(noise(seed=seed)) for seed in range(3)]
    with pytest.raises(ImageError, match="animated"):
        decode_image(file_of(frames[0], kind, save_all=True, append_images=frames[1:]))


def test_formats_outside_the_list_are_refused() -> None:
    for kind in ("TIFF", "PPM", "ICO", "PDF"):
        with pytest.raises(ImageError, match="none of"):
            decode_image(file_of(Image.fromarray(noise()), kind))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_does_not_hide_the_picture() -> None:
    data = file_of(Image.fromarray(quadrants()), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff garbage")
    assert decode_image(data).shape == (16, 24, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_damaged_files_raise_nothing_but_image_error(kind: str) -> None:
    whole = file_of(Image.fromarray(noise()), kind)
    random = np.random.default_rng(5)
    outcomes = set()
    for _ in range(150):
        data = bytearray(whole)
        for place in random.integers(0, min(len(data), 300), size=6):
            data[place] = random.integers(0, 256)
        try:
            outcomes.add(decode_image(bytes(data[: random.integers(20, len(data) + 1)])).dtype.name)
        except ImageError:
            outcomes.add("refused")
    assert "refused" in outcomes


def test_prepare_keeps_the_aspect_and_fills_with_white() -> None:
    wide = np.zeros((10, 40, 3), dtype=np.uint8)
    prepared = prepare_image(wide, 32)
    assert prepared.shape == (32, 32, 3)
    assert (prepared[:12] == 255).all()
    assert (prepared[20:] == 255).all()
    assert (prepared[12:20] == 0).all()


def test_prepare_of_a_square_of_the_right_size_changes_nothing() -> None:
    image = noise(24, 24)
    assert np.array_equal(prepare_image(image, 24), image)


def test_prepare_is_anti_aliased() -> None:
    stripes = np.zeros((256, 256, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    prepared = prepare_image(stripes, 32)
    assert np.abs(prepared.astype(int) - 127).max() <= 6


def test_prepare_crops_to_the_clipped_box() -> None:
    image = quadrants()
    assert (prepare_image(image, 8, [12, -5, 99, 8]) == prepare_image(np.ascontiguousarray(image[:8, 12:]), 8)).all()
    assert np.array_equal(crop(image, [0, 8, 12, 16]), image[8:, :12])


@pytest.mark.parametrize("box", [[5, 5, 5, 9], [30, 0, 40, 5], [8, 8, 2, 12]])
def test_an_empty_box_is_refused(box: list[int]) -> None:
    with pytest.raises(ImageError, match="holds no pixel of the 24 x 16 image"):
        prepare_image(quadrants(), 8, box)


def test_a_box_needs_four_numbers() -> None:
    with pytest.raises(ImageError, match="3 numbers"):
        prepare_image(quadrants(), 8, [1, 2, 3])


def test_a_line_of_pixels_can_be_prepared() -> None:
    assert prepare_image(np.zeros((1, 900, 3), dtype=np.uint8), 32).shape == (32, 32, 3)


@pytest.mark.parametrize("image", [np.zeros((4, 4)), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)])
def test_arrays_that_are_no_pictures_are_refused(image: np.ndarray) -> None:
    with pytest.raises(ImageError, match="must be uint8"):
        prepare_image(image, 8)


def test_to_batch_is_channels_first_from_zero_to_one() -> None:
    images = [noise(8, 8, seed) for seed in range(3)]
    batch = to_batch(images)
    assert batch.shape == (3, 3, 8, 8)
    assert batch.dtype == np.float32
    assert batch.flags.c_contiguous
    assert batch[1, 2, 5, 6] == np.float32(images[1][5, 6, 2]) / np.float32(255)
    assert all(np.array_equal(one, other) for one, other in zip(from_batch(batch), images, strict=True))


def test_to_batch_refuses_nothing_and_mixed_shapes() -> None:
    with pytest.raises(ImageError, match="one shape"):
        to_batch([])
    with pytest.raises(ImageError, match="one shape"):
        to_batch([noise(8, 8), noise(9, 9)])


def test_what_costs_little_shows_by_parts_and_header() -> None:
    limits = DecodeLimits(100_000, 1000, 1000)
    small = file_of(Image.new("RGB", (20, 20)), "PNG")
    assert costs_little(small, limits)
    assert costs_little(b"no picture", limits)
    assert costs_little(b"", limits)
    assert not costs_little(file_of(Image.new("RGB", (40, 40)), "PNG"), limits)
    assert not costs_little(small, DecodeLimits(10, 1000, 1000))
    assert not costs_little(scans(50, side=20), limits)
