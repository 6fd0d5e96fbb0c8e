"""Malformed pictures and bodies, drawn from a seed: what a careless or hostile client may send to `POST /search`."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from croquis.serving.requests.request_models import SearchRequest
from tests.support.serving.live_server import as_file

BOUNDARY = b"frontier"
FORM = "multipart/form-data; boundary=frontier"
JSON = "application/json"


@dataclass(frozen=True)
class Body:
    """A request: its media type and its bytes."""

    media: str
    content: bytes


def form(image: bytes, **fields: bytes) -> bytes:
    parts = [b'Content-Disposition: form-data; name="image"; filename="a"\r\n\r\n' + image]
    parts += [
        b'Content-Disposition: form-data; name="%s"\r\n\r\n%s' % (name.encode(), value)
        for name, value in fields.items()
    ]
    return b"".join(b"--%s\r\n%s\r\n" % (BOUNDARY, part) for part in parts) + b"--%s--\r\n" % BOUNDARY


def seeds() -> list[bytes]:
    """Whole pictures of every kind and mode."""
    pixels = np.random.default_rng(1).integers(0, 256, (40, 30, 4), dtype=np.uint8)
    rgba = Image.fromarray(pixels)
    rgb = rgba.convert("RGB")
    exif = Image.Exif()
    exif[0x0112], exif[0x9286] = 6, "comment"
    frames = [rgb.convert("P"), rgb.transpose(Image.Transpose.ROTATE_180).convert("P")]
    return [
        as_file(rgb, "JPEG", exif=exif),
        as_file(rgb, "JPEG", progressive=True),
        as_file(rgb.convert("CMYK"), "JPEG"),
        as_file(rgba, "PNG"),
        as_file(rgb.convert("P"), "PNG", transparency=3),
        as_file(rgb.convert("1"), "PNG"),
        as_file(Image.new("I;16", (20, 20), 40_000), "PNG"),
        as_file(rgba, "WEBP", lossless=True),
        as_file(rgb, "WEBP", exif=exif),
        as_file(rgb, "BMP"),
        as_file(frames[0], "GIF"),
        as_file(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        as_file(rgb, "TIFF"),
    ]


def flip_bytes(rng: np.random.Generator, data: bytes) -> bytes:
    changed = bytearray(data)
    for place in rng.integers(0, len(data), rng.integers(1, 12)):
        changed[place] = rng.integers(0, 256)
    return bytes(changed)


def flip_head(rng: np.random.Generator, data: bytes) -> bytes:
    """The header holds sizes, offsets and counts."""
    return flip_bytes(rng, data[:64]) + data[64:]


def cut(rng: np.random.Generator, data: bytes) -> bytes:
    return data[: rng.integers(0, len(data))]


def splice(rng: np.random.Generator, data: bytes) -> bytes:
    start, end, to = [*sorted(rng.integers(0, len(data), 2)), rng.integers(0, len(data))]
    return data[:to] + data[start:end] * int(rng.integers(1, 4)) + data[to:]


def extreme_words(rng: np.random.Generator, data: bytes) -> bytes:
    """Writes the largest and smallest numbers somewhere near the start."""
    place, word = int(rng.integers(0, min(len(data), 80))), [b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0"]
    return data[:place] + word[rng.integers(0, 4)] + data[place + 4 :]


def bomb(rng: np.random.Generator, _: bytes) -> bytes:
    """A PNG that promises far more pixels than it has bytes; its checksums are right."""
    width, height = (int(2 ** rng.uniform(0, 31)) for _ in range(2))
    depth, colour = ((1, 0), (8, 2), (16, 6), (8, 3))[rng.integers(0, 4)]
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(rng.integers(0, 2)))
    text = zlib.compress(b"\0" * int(rng.integers(0, 3_000_000)))
    chunks = [
        (b"IHDR", header),
        (b"zTXt", b"k\0\0" + text),
        (b"IDAT", zlib.compress(b"\0" * 1_000_000)),
        (b"IEND", b""),
    ]
    packed = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def noise(rng: np.random.Generator, data: bytes) -> bytes:
    return data[: rng.integers(0, 12)] + rng.bytes(int(rng.integers(0, 400)))


Mutation = Callable[[np.random.Generator, bytes], bytes]
MUTATIONS: tuple[Mutation, ...] = (flip_bytes, flip_head, flip_head, cut, splice, extreme_words, bomb, noise)
ODD_VALUES = (
    *("", "-1", "1e9", "NaN", "null", "[]", "{}", '"', "\0", "é", "\ud800", "9" * 400, "true", "../../etc/passwd"),
    *("[1, 2, 3, 4]", '{"category": "dress"}'),
)
FIELD_NAMES = (*SearchRequest.model_fields, "path", "__class__")


def odd_json(rng: np.random.Generator, image: bytes) -> bytes:
    """A JSON object with a picture and some fields that make no sense, sometimes broken as text."""
    values = [*ODD_VALUES, None, True, -5, 2**70, 1e308, [[]], {"a": {"b": []}}, [1, 2, 3, 4], {"category": ["dress"]}]
    body = {"image": base64.b64encode(image).decode()}
    for _ in range(rng.integers(1, 5)):
        body[FIELD_NAMES[rng.integers(0, len(FIELD_NAMES))]] = values[rng.integers(0, len(values))]
    text = json.dumps(body).encode()
    return flip_bytes(rng, text) if rng.random() < 0.4 else text


def odd_form(rng: np.random.Generator, image: bytes) -> bytes:
    """A form with fields that make no sense, sometimes broken between its parts."""
    known = [name for name in FIELD_NAMES if name != "image"]
    names = rng.choice(known, rng.integers(1, 5), replace=False)
    fields = {str(n): ODD_VALUES[rng.integers(0, len(ODD_VALUES))].encode("utf-8", "surrogatepass") for n in names}
    content = form(image, **fields)
    return MUTATIONS[rng.integers(0, 5)](rng, content) if rng.random() < 0.5 else content


def hostile_bodies(count: int, seed: int = 0) -> Iterator[Body]:
    """`count` bodies: half malformed pictures in sound forms, a quarter odd forms, a quarter odd JSON."""
    rng, whole = np.random.default_rng(seed), seeds()
    for number in range(count):
        image = whole[number % len(whole)]
        if number % 4 == 2:
            yield Body(FORM, odd_form(rng, image))
        elif number % 4 == 3:
            yield Body(JSON, odd_json(rng, image))
        else:
            mode = (b"photo", b"sketch", b"sketch-direct")[rng.integers(0, 3)]
            mutate = MUTATIONS[rng.integers(0, len(MUTATIONS))]
            yield Body(FORM, form(mutate(rng, image), mode=mode, rerank=b"true"))


def largest_pictures(pixels: int) -> Iterator[bytes]:
    """Pictures as large as allowed, in the modes that take the most memory to decode."""
    side = int(pixels**0.5)
    for mode, kind, options in (
        ("RGBA", "PNG", {}),
        ("LA", "PNG", {}),
        ("P", "PNG", {"transparency": 0}),
        ("RGB", "JPEG", {"progressive": True}),
        ("CMYK", "JPEG", {}),
        ("RGBA", "WEBP", {"method": 0}),
        ("I;16", "PNG", {}),
        ("RGB", "GIF", {}),
    ):
        yield as_file(Image.new(mode, (side, side)), kind, **options)
