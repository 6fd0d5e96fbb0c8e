"""A product submitted by a client, validated field by field."""

from __future__ import annotations

import contextlib
import hashlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from croquis.arrays import Uint8Image
from croquis.catalog.filters import QueryError
from croquis.catalog.images import DecodeLimits, decode_inside
from croquis.catalog.product_columns import PRODUCT, Columns, ProductError, Value, check_columns

COLOUR = "colour:"  # how attributes of the catalogue's colour group begin
LONGEST_ID = 200
LONGEST_WORD = 100
MOST_ATTRIBUTES = 100
MOST_PICTURES = 10
LOWEST_VERSION = 1
LARGEST_VERSION = 2**53 - 1  # what every JSON reader keeps exactly

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class ProductPicture:
    """One picture of a product.

    Attributes:
        image_id: see `picture_id`.
        data: the file as it came.
        bbox: x1, y1, x2, y2 of the garment in pixels of the upright picture; None for all of it.
    """

    image_id: str
    data: bytes
    bbox: Box | None = None

    @classmethod
    def of(cls, item_id: str, data: bytes, bbox: Box | None = None) -> ProductPicture:
        """A picture with the id that follows from product, file and box."""
        return cls(picture_id(item_id, data, bbox), data, bbox)


@dataclass(frozen=True)
class Product:
    """What is known of a product; `attributes` are words such as `colour:red`, each once, `columns` its own columns."""

    item_id: str
    category: str
    attributes: tuple[str, ...]
    pictures: tuple[ProductPicture, ...]
    columns: Columns = field(default_factory=dict, hash=False)


def picture_id(item_id: str, data: bytes, bbox: Box | None) -> str:
    """The id of a picture: its product's, and what is seen of it. The same picture has the same id whenever it comes."""
    digest = hashlib.sha256(repr(bbox).encode() + data).hexdigest()
    return f"{item_id}/{digest[:16]}"


@contextlib.contextmanager
def opened(picture: ProductPicture, draft: int = 0) -> Iterator[Uint8Image]:
    """What is inside the box, uint8 (H, W, 3), of a picture whose size was checked when it came; `draft` as in
    `croquis.catalog.images.decode_inside`.

    Raises:
        ImageError: when it cannot be decoded.
    """
    yield decode_inside(picture.data, picture.bbox, DecodeLimits(len(picture.data), sys.maxsize), draft)


def check_item_id(value: Any) -> str:
    """`value` when it may name a product: text without control characters that can stand in the path of a URL.

    Raises:
        QueryError: otherwise.
    """
    item_id = _check_text("item_id", value, LONGEST_ID)
    if item_id in (".", "..") or item_id.endswith("/image"):
        raise QueryError("item_id", item_id, "must not be '.' or '..' and must not end with '/image'")
    return item_id


def check_category(value: Any) -> str:
    """`value` when it may name a category.

    Raises:
        QueryError: otherwise.
    """
    return _check_text("category", value, LONGEST_WORD)


def check_attributes(values: Any) -> tuple[str, ...]:
    """A list of attributes, each once, in the order given.

    Raises:
        QueryError: when it is no list, too long, or holds something else than words.
    """
    if not isinstance(values, Sequence) or isinstance(values, str | bytes):
        raise QueryError("attributes", values, 'must be a list of words such as ["colour:red"]')
    if len(values) > MOST_ATTRIBUTES:
        raise QueryError("attributes", len(values), f"words are too many, at most {MOST_ATTRIBUTES}")
    return tuple(dict.fromkeys(_check_text("attributes", value, LONGEST_WORD) for value in values))


def check_product(values: Any) -> dict[str, Value]:
    """The product's own columns, nulls left out.

    Raises:
        QueryError: when they are too many, or a value is too long or neither text, number nor boolean.
    """
    try:
        return check_columns(values)
    except ProductError as error:
        raise QueryError(PRODUCT, repr(values)[:LONGEST_WORD], str(error)) from None


def check_version(value: Any) -> int:
    """`value` when it is a whole number from 1 to 2**53 - 1.

    Raises:
        QueryError: otherwise.
    """
    if type(value) is not int or not LOWEST_VERSION <= value <= LARGEST_VERSION:
        raise QueryError("version", value, f"must be a whole number from {LOWEST_VERSION} to {LARGEST_VERSION}")
    return value


def _check_text(field: str, value: Any, longest: int) -> str:
    limit = f"must be 1 to {longest} printable characters without a blank at either end"
    if not isinstance(value, str):
        raise QueryError(field, type(value).__name__, limit)
    if not 1 <= len(value) <= longest or not value.isprintable() or value != value.strip():
        raise QueryError(field, value[:longest], limit)
    return value
