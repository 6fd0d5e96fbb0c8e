"""What a product event says, read strictly from JSON.

{"kind": "upsert", "item_id": "coat-7", "version": 3, "category": "coat", "attributes": ["colour:navy"],
 "images": [{"data": "<base64>"}, {"path": "coat-7/back.jpg", "bbox": [10, 0, 200, 300]}],
 "product": {"title": "Navy coat", "price": 149.0, "link": "https://shop.example/coat-7"}}
{"kind": "delete", "item_id": "coat-7", "version": 4}
"""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from croquis.catalog.base64_text import read_base64
from croquis.catalog.filters import QueryError
from croquis.catalog.images import DEFAULT_LIMITS
from croquis.catalog.product import (
    MOST_PICTURES,
    Box,
    Product,
    ProductPicture,
    check_attributes,
    check_category,
    check_item_id,
    check_product,
    check_version,
)
from croquis.catalog.product_columns import PRODUCT
from croquis.strict_json import check_values

UPSERT, DELETE = "upsert", "delete"
FIELDS = {
    UPSERT: ("kind", "item_id", "version", "category", "attributes", "images", PRODUCT),
    DELETE: ("kind", "item_id", "version"),
}
IMAGE_FIELDS = ("data", "path", "bbox")
SHOWN = 80  # characters of a value in a reason
LARGEST_CORNER = 2**31 - 1  # of a box: the table of images keeps 32 bits


class EventError(ValueError):
    """An event that can never be applied; the message is the reason that the dead-letter topic gives."""


@dataclass(frozen=True)
class ProductEvent:
    """A product as it is from a version on; `product` is None when it was deleted."""

    item_id: str
    version: int
    product: Product | None


def parse_event(body: bytes, images: Path | None = None) -> ProductEvent:
    """Reads and checks a message.

    Args:
        images: the folder that paths of pictures are relative to; None when events must carry the pictures.

    Raises:
        EventError: naming the field and what is allowed.
    """
    try:
        check_values(body)
        values = json.loads(body.decode("utf-8-sig"), object_pairs_hook=_members, parse_constant=_refused_number)
    except (ValueError, RecursionError) as error:
        raise EventError(f"not JSON: {error}") from None
    if not isinstance(values, dict) or values.get("kind") not in list(FIELDS):
        raise EventError(f"must be an object whose kind is one of {', '.join(FIELDS)}")
    unknown = sorted(set(values) - set(FIELDS[values["kind"]]))
    if unknown:
        raise EventError(f"unknown fields {unknown[:5]}; a {values['kind']} has {', '.join(FIELDS[values['kind']])}")
    try:
        item_id, version = check_item_id(values.get("item_id")), check_version(values.get("version"))
        if values["kind"] == DELETE:
            return ProductEvent(item_id, version, None)
        category, attributes = check_category(values.get("category")), check_attributes(values.get("attributes", []))
        columns = check_product(values.get(PRODUCT) or {})
        pictures = _pictures(item_id, values, images)
        return ProductEvent(item_id, version, Product(item_id, category, attributes, pictures, columns))
    except QueryError as error:
        raise EventError(str(error)) from None


def event_body(event: ProductEvent) -> bytes:
    """An event as a message that carries its pictures; `parse_event` of it gives an equal event."""
    values: dict[str, Any] = {"kind": DELETE, "item_id": event.item_id, "version": event.version}
    if event.product is not None:
        images = [
            {"data": base64.b64encode(picture.data).decode()} | ({"bbox": picture.bbox} if picture.bbox else {})
            for picture in event.product.pictures
        ]
        labels = {"category": event.product.category, "attributes": event.product.attributes}
        values |= {"kind": UPSERT, **labels, "images": images}
        if event.product.columns:
            values[PRODUCT] = dict(event.product.columns)
    return json.dumps(values, ensure_ascii=False).encode()


def _members(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object; refused where a name comes twice, because either value could be meant."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a name comes twice in one object")
    return members


def _refused_number(word: str) -> Any:
    raise ValueError(f"{word} is no number of JSON")


def _pictures(item_id: str, values: Mapping[str, Any], folder: Path | None) -> tuple[ProductPicture, ...]:
    images = values.get("images")
    if not isinstance(images, list) or not 1 <= len(images) <= MOST_PICTURES:
        raise EventError(f"images must be a list of 1 to {MOST_PICTURES} objects")
    pictures = [_picture(item_id, image, folder) for image in images]
    return tuple({picture.image_id: picture for picture in pictures}.values())


def _picture(item_id: str, image: Any, folder: Path | None) -> ProductPicture:
    if not isinstance(image, dict) or set(image) - set(IMAGE_FIELDS) or ("data" in image) == ("path" in image):
        raise EventError("an image is an object with data (base64) or path, and a bbox where only a part counts")
    data = _decoded(image["data"]) if "data" in image else _read(image["path"], folder)
    return ProductPicture.of(item_id, data, _box(image.get("bbox")))


def _decoded(text: Any) -> bytes:
    if not isinstance(text, str):
        raise EventError(f"images.data must be base64 text, not {type(text).__name__}")
    try:
        return read_base64(text)
    except ValueError as error:
        raise EventError(f"images.data {error}") from None


def _read(name: Any, folder: Path | None) -> bytes:
    """A picture file of the folder; nothing outside it can be named, and nothing but a file is read."""
    if folder is None:
        raise EventError("images.path is given, and no folder is set: start with --images FOLDER, or send data")
    shown = repr(name)[:SHOWN]
    path = PurePosixPath(name) if isinstance(name, str) else PurePosixPath("..")
    try:
        found = (folder / path).resolve()
        if path.is_absolute() or ".." in path.parts or not found.is_relative_to(folder.resolve()):
            raise EventError(f"images.path {shown} leaves the folder of pictures")
        return _file_bytes(found, shown)
    except EventError:
        raise
    except (OSError, RuntimeError, ValueError) as error:  # loops of links, NUL, half a surrogate pair
        raise EventError(f"images.path {shown} cannot be read: {type(error).__name__}") from None


def _file_bytes(path: Path, shown: str) -> bytes:
    """A file's content; what waits for a writer, has no end or is larger than any picture is not read."""

    def at_once(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NONBLOCK)

    with open(path, "rb", opener=at_once) as stream:
        about, most = os.fstat(stream.fileno()), DEFAULT_LIMITS.max_bytes
        if not stat.S_ISREG(about.st_mode):
            raise EventError(f"images.path {shown} is no file")
        if about.st_size > most:
            raise EventError(f"images.path {shown} has {about.st_size} bytes, the limit is {most}")
        return stream.read(most)


def _box(value: Any) -> Box | None:
    if value is None:
        return None
    whole = isinstance(value, list) and len(value) == 4 and all(type(number) is int for number in value)
    if not whole or any(abs(number) > LARGEST_CORNER for number in value):
        raise EventError(
            "images.bbox must be four whole numbers x1, y1, x2, y2, pixels of the upright picture, "
            f"none above {LARGEST_CORNER}"
        )
    return value[0], value[1], value[2], value[3]
