"""Images and specs as cells of a FAISS store's file, and back: a damaged file may hold anything in a cell."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeVar

from croquis.catalog.product import Box, ProductPicture
from croquis.store.vector_store import StoredImage, StoreError, StoreSpec
from croquis.strict_json import parse_description

T = TypeVar("T")


def image_cells(image: StoredImage) -> tuple[Any, ...]:
    labels, seen = (json.dumps(words, ensure_ascii=False) for words in (image.attributes, image.predicted))
    known = image.image_id, image.item_id, image.version, image.category, image.domain
    return *known, labels, seen, image.probabilities


def picture_cells(picture: ProductPicture | None) -> tuple[str | None, bytes | None]:
    """Box and file."""
    if picture is None:
        return None, None
    return None if picture.bbox is None else json.dumps(picture.bbox), picture.data


def read_image_row(row: Sequence[Any]) -> StoredImage:
    """The reverse of `image_cells`; cells behind them are not looked at.

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
    )


def read_text(cell: Any) -> str:
    return _checked(cell, str)


def read_whole(cell: Any) -> int:
    return _checked(cell, int)


def read_bytes(cell: Any) -> bytes:
    return _checked(cell, bytes)


def read_box(cell: Any) -> Box | None:
    if cell is None:
        return None
    x1, y1, x2, y2 = map(read_whole, _checked(json.loads(cell), list))
    return x1, y1, x2, y2


def read_spec(cell: Any) -> StoreSpec:
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
