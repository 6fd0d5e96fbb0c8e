"""What decoding costs is bounded by counting: a costly file is refused, or its costly parts never reach the decoder."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageFile

from croquis.catalog.decode_workers import WORKER_MEMORY, DecodeWorkers
from croquis.catalog.image_errors import AnimatedImageError, CostlyImageError
from croquis.catalog.images import DecodeLimits, decode_image, read_image
from croquis.catalog.picture_files.orientation import orientation_of
from croquis.catalog.picture_files.stripping import bare_file
from tests.support.costly_pictures import (
    METADATA,
    READ_AS_USUAL,
    REFUSED,
    chunk,
    encoded,
    gif_with,
    png_with,
    scans,
    tiny,
)

SIDE = 24
NOISE = Image.fromarray(np.random.default_rng(3).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))
TURNED = b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\5\0\0\0\0\0\0"  # an EXIF block of orientation 5
DECODE_SECONDS = 10.0  # as the server has it


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(_: ImageFile.ImageFile) -> None:
        raise AssertionError("the pixels were decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)


@pytest.mark.usefixtures("no_decoding")
@pytest.mark.parametrize("name", REFUSED)
def test_a_costly_file_is_refused_before_it_is_decoded(name: str) -> None:
    with pytest.raises(CostlyImageError, match="save it"):
        decode_image(REFUSED[name], DecodeLimits(10_000_000, 12_500_000))


@pytest.mark.parametrize("name", READ_AS_USUAL)
def test_the_decoder_sees_only_what_pixels_need(name: str) -> None:
    data = READ_AS_USUAL[name]
    kind = "PNG" if data.startswith(b"\x89PNG") else "JPEG"
    assert len(bare_file(data).data) <= len(tiny(kind))
    np.testing.assert_array_equal(decode_image(data), decode_image(tiny(kind)))


@pytest.mark.slow
@pytest.mark.parametrize("name", METADATA)
def test_metadata_take_no_time_whatever_stands_in_them(name: str) -> None:
    workers = DecodeWorkers(1, DECODE_SECONDS, WORKER_MEMORY)
    try:
        with workers.decoded(METADATA[name](), DecodeLimits()) as pixels:
            np.testing.assert_array_equal(pixels, decode_image(tiny("WEBP" if "WEBP" in name else "PNG")))
    finally:
        workers.close()


@pytest.mark.parametrize("times", [1, 2, 3, 100_000])
def test_orientation_is_found_behind_prefixes(times: int) -> None:
    assert orientation_of(b"Exif\0\0" * times + TURNED, None) == 5


def test_scans_up_to_the_limit_are_read() -> None:
    assert decode_image(scans(100)).shape == (64, 64, 3)


def test_scans_of_what_follows_a_picture_do_not_count() -> None:
    behind = encoded(NOISE, "JPEG") + b"\xff\xda\0\x08" * 500
    np.testing.assert_array_equal(decode_image(behind), decode_image(encoded(NOISE, "JPEG")))


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_frames_are_counted_without_looking_into_them(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    NOISE.save(stream, kind, save_all=True, append_images=[Image.new("RGB", NOISE.size)] * 2)
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("opened"))
    with pytest.raises(AnimatedImageError):
        decode_image(stream.getvalue())


@pytest.mark.usefixtures("no_decoding")
def test_a_stated_number_of_frames_is_believed() -> None:
    with pytest.raises(AnimatedImageError):
        decode_image(png_with(chunk(b"acTL", b"\x7f\xff\xff\xff\0\0\0\0")))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_orientation_is_found_in_exif_and_in_xmp(kind: str) -> None:
    exif = Image.Exif()
    exif[0x010E], exif[0x0112], exif[0x8298] = "text " * 20, 6, "more"
    packet = b'<x:xmpmeta><rdf:Description tiff:Orientation="8"/></x:xmpmeta>'
    assert read_image(encoded(NOISE, kind, exif=exif)).orientation == 6
    if kind != "PNG":  # Pillow writes none into a PNG
        assert read_image(encoded(NOISE, kind, xmp=packet)).orientation == 8
    big = b"Exif\0\0" + TURNED
    assert read_image(encoded(NOISE, kind, exif=big)).orientation == 5


@pytest.mark.parametrize("packed", [False, True])
def test_orientation_is_found_in_the_texts_of_a_png(packed: bool) -> None:
    from PIL.PngImagePlugin import PngInfo

    exif = Image.Exif()
    exif[0x0112] = 3
    raw, xmp = PngInfo(), PngInfo()
    raw.add_text("Raw profile type exif", f"\nexif\n{len(exif.tobytes()):8}\n{exif.tobytes().hex()}\n", zip=packed)
    xmp.add_itxt("XML:com.adobe.xmp", "<tiff:Orientation>4</tiff:Orientation>", zip=packed)
    assert read_image(encoded(NOISE, "PNG", pnginfo=raw)).orientation == 3
    assert read_image(encoded(NOISE, "PNG", pnginfo=xmp)).orientation == 4


def test_the_transparency_of_a_gif_is_kept() -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([0, 0, 0, 10, 200, 30])
    picture.putdata([0, 1])
    data = encoded(picture, "GIF", transparency=0, comment=b"x" * 600)
    assert decode_image(data)[0].tolist() == [[255, 255, 255], [10, 200, 30]]
    assert decode_image(gif_with(b"\x21\xfe\x01a\0")).tolist() == decode_image(tiny("GIF")).tolist()
