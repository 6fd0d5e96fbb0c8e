"""What a product event says, read strictly from JSON.

{"kind": "upsert", "item_id": "coat-7", "version": 3, "category": "coat", "attributes": ["colour:navy"],
 "images": [{"data": "<base64>"}, {"path": "coat-7/back.jpg", "bbox": [10, 0, 200, 300]}]}
{"kind": "delete", "item_id": "coat-7", "version": 4}
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from croquis.catalog.base64_text import read_base64
from croquis.catalog.filters import QueryError
from croquis.catalog.product import (
    MOST_PICTURES,
    Box,
    Product,
    ProductPicture,
    check_attributes,
    check_category,
    check_item_id,
    check_version,
)

UPSERT, DELETE = "upsert", "delete"
FIELDS = {
    UPSERT: ("kind", "item_id", "version", "category", "attributes", "images"),
    DELETE: ("kind", "item_id", "version"),
}
IMAGE_FIELDS = ("data", "path", "bbox")
SHOWN = 80  # characters of a value in a reason


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
        values = json.loads(body)
    except ValueError as error:
        raise EventError(f"not JSON: {error}") from None
    if not isinstance(values, dict) or values.get("kind") not in FIELDS:
        raise EventError(f"must be an object whose kind is one of {', '.join(FIELDS)}")
    unknown = sorted(set(values) - set(FIELDS[values["kind"]]))
    if unknown:
        raise EventError(f"unknown fields {unknown[:5]}; a {values['kind']} has {', '.join(FIELDS[values['kind']])}")
    try:
        item_id, version = check_item_id(values.get("item_id")), check_version(values.get("version"))
        if values["kind"] == DELETE:
            return ProductEvent(item_id, version, None)
        category, attributes = check_category(values.get("category")), check_attributes(values.get("attributes", []))
        return ProductEvent(
            item_id, version, Product(item_id, category, attributes, _pictures(item_id, values, images))
        )
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
    return json.dumps(values, ensure_ascii=False).encode()


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
    """A picture of the folder; nothing outside it can be named."""
    if folder is None:
        raise EventError("images.path is given, and no folder is set: start with --images FOLDER, or send data")
    path = PurePosixPath(name) if isinstance(name, str) else PurePosixPath("..")
    if path.is_absolute() or ".." in path.parts or not (folder / path).resolve().is_relative_to(folder.resolve()):
        raise EventError(f"images.path {str(name)[:SHOWN]!r} leaves the folder of pictures")
    try:
        return (folder / path).read_bytes()
    except (OSError, ValueError) as error:
        raise EventError(f"images.path {str(name)[:SHOWN]!r} cannot be read: {type(error).__name__}") from None


def _box(value: Any) -> Box | None:
    if value is None:
        return None
    whole = isinstance(value, list) and len(value) == 4 and all(type(number) is int for number in value)
    if not whole:
        raise EventError("images.bbox must be four whole numbers x1, y1, x2, y2, pixels of the upright picture")
    return value[0], value[1], value[2], value[3]
