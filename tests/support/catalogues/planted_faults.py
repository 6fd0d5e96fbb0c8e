"""Every kind of fault that a row can have, ready to be planted: a name, the rows to add, and the reason each must get.

A fault is planted by adding rows of its own to a sound catalogue, so that what must come out is that catalogue, byte
for byte.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PIL import Image

from croquis.catalog.images import DEFAULT_LIMITS
from tests.support.catalogues.garment_catalogue import draw_garment

# A JPEG of a drawing of 48 pixels needs whole colours: with every second one left out it is another drawing.
COPIED: dict[str, Any] = {"quality": 90, "subsampling": 0}

Row = dict[str, Any]
Rows = list[Row]


@dataclass(frozen=True)
class Fault:
    """`plant(sound rows, number)` gives the rows to add; every one of them must get a reason that starts so."""

    name: str
    reason: str
    plant: Callable[[Rows, int], Rows]


def new_row(number: int, **changes: Any) -> Row:
    """A sound training photo of an item of its own, but for `changes`."""
    return {
        "image_id": f"planted/{number}",
        "item_id": f"planted-{number}",
        "domain": "shop",
        "split": "train",
        "role": "train",
        "category": "coat",
        "view": None,
        "attributes": [],
        "bbox": None,
        "landmarks": None,
        "image": draw_garment(50_000 + number),
    } | changes


def changed(**changes: Any) -> Callable[[Rows, int], Rows]:
    """A row with `changes`; one that costs much is given as a function, which is called when the fault is planted."""
    return lambda _, number: [new_row(number, **{key: it() if callable(it) else it for key, it in changes.items()})]


def file_of(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def noise(width: int, height: int) -> Image.Image:
    return Image.effect_noise((width, height), 60).convert("RGB")


def garment(seed: int) -> Image.Image:
    return Image.open(io.BytesIO(draw_garment(seed))).convert("RGB")


def with_orientation(image: Image.Image, tag: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = tag
    return file_of(image, "JPEG", exif=exif, quality=95)


def animation() -> bytes:
    return file_of(garment(1), "GIF", save_all=True, append_images=[garment(2), garment(3)])


def flipped_checksum(data: bytes) -> bytes:
    """A PNG with one bit of its first data chunk turned."""
    place = data.index(b"IDAT") + 20
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def test_photo(rows: Rows) -> Row:
    return next(row for row in rows if row["split"] == "test" and row["role"] == "gallery")


test_photo.__test__ = False  # type: ignore[attr-defined]


def copy_of_test(change: Callable[[Image.Image], bytes] | None) -> Callable[[Rows, int], Rows]:
    """A training photo that is a test photo, changed so."""

    def plant(rows: Rows, number: int) -> Rows:
        data = test_photo(rows)["image"]
        return [new_row(number, image=change(Image.open(io.BytesIO(data)).convert("RGB")) if change else data)]

    return plant


def resized(image: Image.Image) -> bytes:
    return file_of(image.resize((image.width * 2, image.height * 2), Image.Resampling.BICUBIC))


def mirrored(image: Image.Image) -> bytes:
    return file_of(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))


def twice(_: Rows, number: int) -> Rows:
    return [new_row(number), new_row(number, image=draw_garment(60_000), item_id="planted-other")]


def two_items(_: Rows, number: int) -> Rows:
    return [new_row(number), new_row(number, image_id=f"planted/{number}b", item_id="planted-second")]


def lonely_query(_: Rows, number: int) -> Rows:
    return [new_row(number, split="test", role="query", domain="consumer")]


FAULTS = (
    Fault("not a picture", "decodable: the file is none of", changed(image=b"<html>404 Not Found</html>")),
    Fault("another format", "decodable: the file is none of", changed(image=file_of(noise(40, 40), "TIFF"))),
    Fault("empty file", "decodable: the image is empty (0 bytes)", changed(image=b"")),
    Fault("cut off PNG", "whole_file: the image is truncated", changed(image=file_of(noise(40, 40))[:-900])),
    Fault("cut off JPEG", "whole_file: the image is truncated", changed(image=file_of(noise(90, 90), "JPEG")[:2000])),
    Fault("damaged", "whole_file: the image is truncated or damaged", changed(image=flipped_checksum(draw_garment(8)))),
    Fault("animation", "still_picture: the GIF is animated", changed(image=animation())),
    Fault(
        "too many pixels",
        "no_decompression_bomb: the image is 1200 x 1000 pixels",
        changed(image=lambda: file_of(noise(1200, 1000))),
    ),
    Fault(
        "decompression bomb",
        "no_decompression_bomb: the image has far more than",
        changed(image=lambda: file_of(Image.new("1", (20_000, 20_000)))),
    ),
    Fault(
        "too many bytes",
        "no_decompression_bomb: the image has 2",
        changed(image=draw_garment(7) + b"\0" * DEFAULT_LIMITS.max_bytes),
    ),
    Fault("too small", "short_side: 20", changed(image=file_of(noise(20, 60)))),
    Fault("too long", "long_side: 2100", changed(image=file_of(noise(30, 2100)))),
    Fault(
        "one colour", "not_blank: every pixel is #ffffff", changed(image=file_of(Image.new("RGB", (50, 50), "white")))
    ),
    Fault(
        "impossible orientation",
        "exif_orientation: EXIF orientation 9",
        changed(image=with_orientation(garment(9), 9)),
    ),
    Fault("box outside", "box_inside: [4, 4, 49, 40] in an image of 48 x 48", changed(bbox=[4, 4, 49, 40])),
    Fault("negative box", "box_inside: [-1, 0, 3, 3]", changed(bbox=[-1, 0, 3, 3])),
    Fault("box inside out", "box_inside: [30, 4, 20, 40]", changed(bbox=[30, 4, 20, 40])),
    Fault("box of three numbers", "box_inside: [1, 2, 3]", changed(bbox=[1, 2, 3])),
    Fault(
        "box of the picture before its turn",
        "box_inside: [0, 0, 90, 40] in an image of 45 x 96, but inside it as stored",
        changed(image=with_orientation(garment(10).resize((96, 45)), 6), bbox=[0, 0, 90, 40]),
    ),
    Fault(
        "landmark outside",
        "landmarks_inside: visible point (60, 9) in an image of 48 x 48",
        changed(landmarks=[5, 5, 0, 60, 9, 0, 90, 90, 2]),
    ),
    Fault("landmarks cut short", "landmarks_inside: 4 numbers", changed(landmarks=[5, 5, 0, 9])),
    Fault("landmark of unknown visibility", "landmarks_inside: visibility 7", changed(landmarks=[5, 5, 7])),
    Fault("blank label", "labels_sound: a blank label", changed(attributes=["sleeve:long", " "])),
    Fault("repeated label", "labels_sound: label 'fit:slim' more than once", changed(attributes=["fit:slim"] * 2)),
    Fault(
        "label held and unknown",
        "labels_sound: label 'fit:slim' both held and unknown",
        changed(attributes=["fit:slim"], unknown_attributes=["sleeve:long", "fit:slim"]),
    ),
    Fault("too many labels", "item_attributes: 101", changed(attributes=[f"word {n}" for n in range(101)])),
    Fault("no image_id", "image_id_present: ", changed(image_id="")),
    Fault("two rows with one image_id", "image_id_unique: planted/", twice),
    Fault("no item", "item_id_present: ", changed(item_id="")),
    Fault("no category", "category_present: ", changed(category="")),
    Fault("unknown domain", "domain_known: street", changed(domain="street")),
    Fault("unknown split", "split_known: tset", changed(split="tset")),
    Fault("unknown role", "role_known: probe", changed(role="probe")),
    Fault("role of another split", "role_fits_split: train in split test", changed(split="test")),
    Fault(
        "distractor of an unknown split",
        "distractor_known: gallery of val, also of tset",
        changed(split="val", role="gallery", also_gallery_of="tset"),
    ),
    Fault("copy of a test photo in train", "copy_in_later_split: same bytes as ", copy_of_test(None)),
    Fault(
        "re-encoded test photo in train",
        "near_copy_in_later_split: looks like ",
        copy_of_test(lambda image: file_of(image, "JPEG", **COPIED)),
    ),
    Fault("resized test photo in train", "near_copy_in_later_split: looks like ", copy_of_test(resized)),
    Fault("mirrored test photo in train", "near_copy_in_later_split: looks like ", copy_of_test(mirrored)),
    Fault("one file under two items", "one_photo_two_labels: same bytes as planted/", two_items),
    Fault("query without a gallery photo", "query_has_gallery: item_id planted-", lonely_query),
)
