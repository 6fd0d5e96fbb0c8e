"""What a change of the catalogue says, read strictly from the fields of a form or of a JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from croquis.catalog.product import (
    MOST_PICTURES,
    Product,
    ProductPicture,
    check_attributes,
    check_category,
    check_item_id,
    check_version,
)
from croquis.serving.answers.problems import invalid_field
from croquis.serving.requests.search_request import SHOWN, read_crop, read_json, read_picture
from croquis.serving.server_settings import Limits

FIELDS = ("image", "category", "attributes", "crop", "version")


@dataclass(frozen=True)
class ItemRequest:
    """A checked request; `version` is None when the server shall count."""

    product: Product
    version: int | None

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any], limits: Limits, item_id: str | None = None) -> Self:
        """Reads fields whose values are text (of a form) or JSON values.

        Args:
            item_id: as the path says; None when the field `item_id` does.

        Raises:
            Problem: naming the first field that is unknown, missing or wrong.
            QueryError: likewise.
        """
        known = FIELDS if item_id is not None else ("item_id", *FIELDS)
        for name in fields:
            if name not in known:
                raise invalid_field("body", name[:SHOWN], f"is not a field; known: {', '.join(known)}")
        given = {name: value for name, value in fields.items() if value is not None and value != ""}
        named = check_item_id(given.get("item_id") if item_id is None else item_id)
        category = check_category(given.get("category"))
        attributes = check_attributes(_listed(given.get("attributes", [])))
        version = None if "version" not in given else read_version(given["version"])
        product = Product(named, category, attributes, _pictures(named, given, limits))
        return cls(product, version)


def read_version(value: object) -> int:
    """A whole number from 1 to 2**53 - 1, or its digits.

    Raises:
        QueryError: otherwise.
    """
    digits = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 16
    return check_version(int(str(value)) if digits else value)


def _pictures(item_id: str, given: Mapping[str, Any], limits: Limits) -> tuple[ProductPicture, ...]:
    """The pictures, each once, in the order given."""
    image = given.get("image")
    values = image if isinstance(image, list) else [image]
    if not 1 <= len(values) <= MOST_PICTURES:
        raise invalid_field("image", len(values), f"must be 1 to {MOST_PICTURES} picture files")
    box = None if "crop" not in given else read_crop(given["crop"])
    if box is not None and len(values) > 1:
        raise invalid_field("crop", "...", f"is for one picture, {len(values)} were sent: send them cropped")
    pictures = [ProductPicture.of(item_id, read_picture(value, limits), box) for value in values]
    return tuple({picture.image_id: picture for picture in pictures}.values())


def _listed(value: object) -> object:
    return read_json("attributes", value) if isinstance(value, str) else value
