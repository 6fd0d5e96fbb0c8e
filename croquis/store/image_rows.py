"""Images and specs as cells of a FAISS store's file, and back: a damaged file may hold anything in a cell."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from croquis.arrays import Rows
from croquis.bundle.gallery_table import held_probabilities
from croquis.catalog.product import Box, ProductPicture
from croquis.catalog.product_columns import ColumnFilter, Value, check_columns
from croquis.store.vector_store import StoredImage, StoreError, StoreSpec
from croquis.strict_json import parse_description
from croquis.words.text_table import text_of

T = TypeVar("T")
STORED_AS = {str: "text", float: "real", bool: "integer"}  # types of SQLite


def product_cells(image: StoredImage, number: int) -> list[tuple[Any, ...]]:
    """A row for each of the product's own columns: name, value as SQLite keeps it, and the image's number."""
    return [(name, _stored(value), number) for name, value in image.product.items()]


def read_product(cells: Sequence[tuple[Any, Any]]) -> dict[str, Value]:
    """The reverse of `product_cells`, of names and values."""
    return check_columns({read_text(name): bool(value) if type(value) is int else value for name, value in cells})


def product_condition(asked: ColumnFilter) -> tuple[str, list[Any]]:
    """A statement that gives the numbers of the images whose column passes, and its values."""
    if asked.ranged:
        bounds = [("value >= ?", asked.least), ("value <= ?", asked.most)]
        held = [(text, value) for text, value in bounds if value is not None]
        parts = ["typeof(value) = 'real'", *(text for text, _ in held)]
        values: list[Any] = [value for _, value in held]
    else:
        # A boolean is kept as a whole number, a number as a real one, and SQLite takes 1 and 1.0 for equal.
        values = [each for value in asked.values for each in (STORED_AS[type(value)], _stored(value))]
        parts = [f"(typeof(value), value) in (values {', '.join(['(?, ?)'] * len(asked.values))})"]
    return f"select number from cells where name = ? and {' and '.join(parts)}", [asked.name, *values]


def _stored(value: Value) -> Any:
    return int(value) if isinstance(value, bool) else value


def text_cell(image: StoredImage) -> str:
    """What words can find of an image."""
    return text_of(image.category, image.attributes, image.product)


def seen_rows(rows: Sequence[tuple[Any, Any, Any]], names: Sequence[str]) -> tuple[Rows, npt.NDArray[np.uint8]]:
    """Numbers of images, and what a classifier of the attributes `names` gave them, (n, names) in steps of 1 / 255.

    Args:
        rows: number, decisions and probabilities of each image.
    """
    cells = [None if cell is None else read_bytes(cell) for *_, cell in rows]
    held = held_probabilities([_words(predicted) for _, predicted, _ in rows], cells, names)
    return np.array([read_whole(number) for number, *_ in rows], dtype=np.int64), held


def image_cells(image: StoredImage) -> tuple[Any, ...]:
    """The cells of an image but for its number, file and vector."""
    labels, seen = (json.dumps(words, ensure_ascii=False) for words in (image.attributes, image.predicted))
    known = image.image_id, image.item_id, image.version, image.category, image.domain
    return *known, labels, seen, image.probabilities


def picture_cells(picture: ProductPicture | None) -> tuple[str | None, bytes | None]:
    """Box and file."""
    if picture is None:
        return None, None
    return None if picture.bbox is None else json.dumps(picture.bbox), picture.data


def read_image_row(row: Sequence[Any], product: Sequence[tuple[Any, Any]] = ()) -> StoredImage:
    """The reverse of `image_cells`; cells behind them are not looked at. `product` are names and values of columns.

    Raises:
        TypeError, ValueError: when a cell holds something else than is written into it; so do all functions below.
    """
    image_id, item_id, version, category, domain, attributes, predicted, probabilities = row[:8]
    return StoredImage(
        read_text(image_id),
        read_text(item_id),
        read_whole(version),
        read_text(category),
        read_text(domain),
        _words(attributes),
        _words(predicted),
        None if probabilities is None else read_bytes(probabilities),
        read_product(product),
    )


def read_text(cell: Any) -> str:
    """The text of a cell.

    Raises:
        ValueError: when it holds something else.
    """
    return _checked(cell, str)


def read_whole(cell: Any) -> int:
    """The whole number of a cell.

    Raises:
        ValueError: when it holds something else.
    """
    return _checked(cell, int)


def read_bytes(cell: Any) -> bytes:
    """The bytes of a cell.

    Raises:
        ValueError: when it holds something else.
    """
    return _checked(cell, bytes)


def read_box(cell: Any) -> Box | None:
    """The crop box of a cell, JSON of x1, y1, x2, y2 in pixels; None for the whole picture.

    Raises:
        ValueError: when it holds something else.
    """
    if cell is None:
        return None
    x1, y1, x2, y2 = map(read_whole, _checked(json.loads(cell), list))
    return x1, y1, x2, y2


def read_spec(cell: Any) -> StoreSpec:
    """The record of a store.

    Raises:
        ValueError: when it is not complete or its parts do not fit each other.
    """
    try:
        spec = parse_description(StoreSpec, json.loads(cell), "its record", ValueError)
        if spec.dim < 1:
            raise ValueError(f"its record: dim = {spec.dim}, must be at least 1")
        _ = spec.coding  # its codebooks fit
    except StoreError as error:
        raise ValueError(f"its record: {error}") from None
    return spec


def _words(cell: Any) -> tuple[str, ...]:
    return tuple(map(read_text, _checked(json.loads(cell), list)))


def _checked(cell: Any, kind: type[T]) -> T:
    if type(cell) is not kind:
        raise TypeError(f"{cell!r:.80} stands where {kind.__name__} should")
    return cell
