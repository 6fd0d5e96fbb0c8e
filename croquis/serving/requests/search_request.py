"""What a search asks for, read strictly from the fields of a form or of a JSON object."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from croquis.catalog.filters import Filters
from croquis.catalog.images import OversizedImageError
from croquis.search.query import Mode, check_mode
from croquis.serving.answers.problems import Problem, invalid_field, of_image
from croquis.serving.server_settings import Limits

FIELDS = ("image", "k", "mode", "filters", "rerank", "crop", "timings", "generated", "describe")
DEFAULT_K = 20
NO_FILTERS = Filters()
PIXELS = re.compile(r"-?[0-9]{1,6}(\.[0-9]{1,12})?")
SHOWN = 60  # characters of a wrong value that an error repeats


@dataclass(frozen=True)
class SearchRequest:
    """A checked request.

    Attributes:
        image: a picture file, not decoded yet.
        k, mode, filters, rerank, bbox: as in `Retriever.search`.
        timings, generated: whether the answer holds them.
        describe: whether the query's attributes are predicted.
    """

    image: bytes
    k: int = DEFAULT_K
    mode: Mode = "photo"
    filters: Filters = NO_FILTERS
    rerank: bool | None = None
    bbox: tuple[int, int, int, int] | None = None
    timings: bool = False
    generated: bool = False
    describe: bool = True

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any], limits: Limits) -> Self:
        """Reads fields whose values are text (of a form) or JSON values; `image` is bytes or base64 text.

        Raises:
            Problem: naming the first field that is unknown, missing or wrong.
            QueryError: likewise, of mode and filters.
        """
        for name in fields:
            if name not in FIELDS:
                raise invalid_field("body", name[:SHOWN], f"is not a field; known: {', '.join(FIELDS)}")
        given = {name: value for name, value in fields.items() if value is not None and value != ""}
        return cls(
            image=read_picture(given.get("image"), limits),
            k=read_k(given.get("k", DEFAULT_K), limits.k),
            mode=check_mode(given.get("mode", "photo")),
            filters=read_filters(given.get("filters", {})),
            rerank=None if "rerank" not in given else read_flag("rerank", given["rerank"]),
            bbox=None if "crop" not in given else read_crop(given["crop"]),
            timings=read_flag("timings", given.get("timings", False)),
            generated=read_flag("generated", given.get("generated", False)),
            describe=read_flag("describe", given.get("describe", True)),
        )


def read_picture(value: object, limits: Limits) -> bytes:
    """The bytes of a picture file within the size limit; text is taken for base64.

    Raises:
        Problem: when there is none, it is too long, or the text is not base64.
    """
    if isinstance(value, str):
        value = _decode_base64(value, limits.image_bytes)
    if not isinstance(value, bytes) or not value:
        raise invalid_field("image", None if value is None else type(value).__name__, "must be a picture file")
    if len(value) > limits.image_bytes:
        raise too_large(len(value), limits.image_bytes)
    return value


def too_large(size: int, most: int) -> Problem:
    return of_image(OversizedImageError(f"the image has {size} bytes, the limit is {most}"))


def _decode_base64(text: str, most: int) -> bytes:
    if len(text) > most * 4 // 3 + 4:
        raise too_large(len(text) * 3 // 4, most)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise invalid_field("image", text[:SHOWN], "is not base64 of a picture file") from None


def read_k(value: object, most: int) -> int:
    """A whole number from 1 to `most`, or its digits.

    Raises:
        Problem: otherwise.
    """
    number = int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,6}", value) else value
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= most:
        raise invalid_field("k", _short(value), f"must be a whole number from 1 to {most}")
    return number


def read_flag(name: str, value: object) -> bool:
    """`true` or `false`, as a JSON value or as a word.

    Raises:
        Problem: otherwise.
    """
    flags = {"true": True, "false": False}
    if isinstance(value, bool):
        return value
    if not isinstance(value, str) or value.lower() not in flags:
        raise invalid_field(name, _short(value), "must be true or false")
    return flags[value.lower()]


def read_crop(value: object) -> tuple[int, int, int, int]:
    """`x1,y1,x2,y2` in pixels, as text or as a list of four numbers; fractions are cut off.

    Raises:
        Problem: otherwise. Whether the box holds a pixel is known when the picture is decoded.
    """
    parts = [str(each) for each in value] if isinstance(value, list) else str(value).split(",")
    numbers = [part.strip() for part in parts[:5]]
    if len(numbers) != 4 or not all(PIXELS.fullmatch(number) for number in numbers):
        raise invalid_field("crop", _short(value), "must be x1,y1,x2,y2 in pixels of the upright picture")
    x1, y1, x2, y2 = (int(float(number)) for number in numbers)
    return x1, y1, x2, y2


def read_filters(value: object) -> Filters:
    """Filters from an object, or from its JSON text.

    Raises:
        Problem: when the text is no JSON.
        QueryError: when it holds an unknown key, or something else than lists of words.
    """
    if isinstance(value, str):
        value = read_json("filters", value)
    return Filters.from_mapping(value)  # type: ignore[arg-type]  # it checks


def read_json(field: str, text: str | bytes) -> Any:
    """Parsed JSON.

    Raises:
        Problem: when it is none, or nested too deeply.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise invalid_field(field, _short(text), 'is not JSON such as {"category": ["dress"]}') from None


def _short(value: object) -> str:
    return str(value)[:SHOWN]
