"""Profiles, texts and thumbnails of a picture never decide on sound pixels; damaged pixels are damaged still."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from croquis.catalog.images import AnimatedImageError, DamagedImageError, decode_image, read_image

PIXELS = np.random.default_rng(1).integers(0, 256, (24, 16, 3), dtype=np.uint8)


def encoded(kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, kind, **options)
    return stream.getvalue()


def chunk(kind: bytes, content: bytes, wrong: int = 0) -> bytes:
    checksum = zlib.crc32(kind + content) ^ wrong
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png(*chunks: bytes) -> bytes:
    """The picture with more chunks behind its header, which is 33 bytes with the signature."""
    data = encoded("PNG")
    return data[:33] + b"".join(chunks) + data[33:]


def jpeg(marker: int, content: bytes) -> bytes:
    data = encoded("JPEG", quality=95)
    return data[:2] + struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content + data[2:]


MEGABYTES = zlib.compress(b"a" * 3_000_000)
TEXT = b"XML:com.adobe.xmp\0"
PNGS = {
    "a megabyte of XMP": chunk(b"iTXt", TEXT + b"\0\0\0\0" + b"<x/>" * 500_000),
    "compressed XMP": chunk(b"iTXt", TEXT + b"\1\0\0\0" + MEGABYTES),
    "a compressed comment": chunk(b"zTXt", b"Comment\0\0" + MEGABYTES),
    "a megabyte of profile": chunk(b"iCCP", b"icc\0\0" + MEGABYTES),
    "a profile that is none": chunk(b"iCCP", b"icc\0\0not compressed"),
    "a profile of another method": chunk(b"iCCP", b"icc\0\7" + MEGABYTES),
    "a wrong checksum of a text": chunk(b"tEXt", b"Author\0me", wrong=1),
    "a wrong checksum of a date": chunk(b"tIME", bytes(7), wrong=1),
    "a wrong checksum of EXIF": chunk(b"eXIf", b"MM\0*", wrong=1),
    "a short resolution": chunk(b"pHYs", b"\0"),
    "a short gamma": chunk(b"gAMA", b"\0"),
    "short chromaticities": chunk(b"cHRM", b"\0\0\0"),
}


@pytest.mark.parametrize("name", PNGS)
def test_sound_pixels_of_a_png_are_read_whatever_stands_beside_them(name: str):
    np.testing.assert_array_equal(decode_image(png(PNGS[name])), PIXELS)


JPEGS = {
    "a short JFIF segment": (0xE0, b"JFIF"),
    "a short Adobe segment": (0xEE, b"Adobe"),
    "EXIF that is none": (0xE1, b"Exif\0\0nonsense"),
    "XMP that is none": (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x"),
    "a part of a profile": (0xE2, b"ICC_PROFILE\0"),
    "a short Photoshop segment": (0xED, b"Photoshop 3.0\x008BIM"),
    "a short list of pictures": (0xE2, b"MPF\0"),
}


@pytest.mark.parametrize("name", JPEGS)
def test_sound_pixels_of_a_jpeg_are_read_whatever_stands_beside_them(name: str):
    np.testing.assert_array_equal(decode_image(jpeg(*JPEGS[name])), decode_image(encoded("JPEG", quality=95)))


def test_the_orientation_is_kept_when_the_rest_is_taken_out():
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded("PNG", exif=exif)
    harmful = turned[:33] + PNGS["a megabyte of profile"] + turned[33:]
    assert read_image(harmful).orientation == 6
    assert decode_image(harmful).shape == (16, 24, 3)


def test_damaged_pixels_and_animations_are_refused_still():
    data = png(PNGS["a megabyte of XMP"])
    with pytest.raises(DamagedImageError):
        decode_image(data[:-40])
    frames = [Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)]
    stream = io.BytesIO()
    frames[0].save(stream, "PNG", save_all=True, append_images=frames[1:])
    moving = stream.getvalue()
    with pytest.raises(AnimatedImageError):
        decode_image(moving[:33] + PNGS["a megabyte of XMP"] + moving[33:])
