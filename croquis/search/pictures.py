"""What a query may be: a path, a file's bytes, a Pillow image or an array."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from croquis.arrays import Uint8Image
from croquis.catalog.filters import QueryError
from croquis.catalog.images import ImageError, check_image, crop, decode_inside, encode_png, from_pillow
from croquis.catalog.product import MOST_PICTURES

Picture: TypeAlias = str | Path | bytes | Image.Image | Uint8Image
"""The path or the bytes of a JPEG, PNG, WEBP, BMP or GIF file, a Pillow image, or uint8 (H, W, 3) RGB."""

LONGEST_SHOWN = 80  # characters of a wrong path in an error


def open_picture(picture: Picture, bbox: Sequence[int] | None = None, draft: int = 0) -> Uint8Image:
    """Upright RGB inside a box, uint8 (H, W, 3).

    Args:
        picture: a path, bytes, a Pillow image or an array.
        bbox: x1, y1, x2, y2 in pixels of the upright picture; None for the whole.
        draft: of a file, as `croquis.catalog.images.decode_inside` has it; what is decoded already is taken as it is.

    Raises:
        ImageError: when it is no picture, cannot be read, or is over a limit, or the box holds none of it.
    """
    if isinstance(picture, np.ndarray):
        return crop(check_image(picture), bbox)
    if isinstance(picture, Image.Image):
        return crop(from_pillow(picture), bbox)
    return decode_inside(_file(picture), bbox, draft=draft)


def query_pictures(
    picture: Picture | Iterable[Picture], bbox: Sequence[int] | None, draft: int = 0
) -> Iterable[Uint8Image]:
    """The pictures of one query as `open_picture` gives them: a list of one, or one after the other.

    Raises:
        QueryError: when there is none or more than 10, or a box for more than one.
        ImageError: as `open_picture`.
    """
    opened = partial(open_picture, draft=draft)
    if isinstance(picture, Iterator):
        return map(opened, picture)
    given = listed_pictures(picture, bbox)
    return [opened(given[0], bbox)] if len(given) == 1 else map(opened, given)


def listed_pictures(picture: Picture | Iterable[Picture], bbox: Sequence[Any] | None) -> list[Picture]:
    """The pictures of one query.

    Raises:
        QueryError: when there is none or more than 10, or a box for more than one.
    """
    given: list[Any] = list(picture) if isinstance(picture, list | tuple) else [picture]
    if not 1 <= len(given) <= MOST_PICTURES:
        raise QueryError("picture", len(given), f"pictures came, must be 1 to {MOST_PICTURES} of one product")
    if bbox is not None and len(given) > 1:
        raise QueryError("bbox", list(bbox), f"is for one picture, {len(given)} came: crop them first")
    return given


def picture_file(picture: Picture) -> bytes:
    """A picture as a file, to be sent: files as they are, anything else as PNG, which loses nothing.

    Raises:
        ImageError: as `open_picture`; what a file holds is not looked at.
    """
    if isinstance(picture, np.ndarray | Image.Image):
        return encode_png(open_picture(picture))
    return _file(picture)


def check_pictures(pictures: Sequence[Picture]) -> Sequence[Picture]:
    """`pictures`, unless it is a single one.

    Raises:
        QueryError: when it is.
    """
    if isinstance(pictures, str | Path | bytes | Image.Image):
        raise QueryError("pictures", type(pictures).__name__, "must be a list of pictures: write [picture]")
    return pictures


def _file(picture: str | Path | bytes) -> bytes:
    if isinstance(picture, bytes):
        return picture
    if not isinstance(picture, str | Path):
        kind = type(picture).__name__
        raise ImageError(f"a picture must be a path, bytes, a Pillow image or an array, not {kind}")
    try:
        return Path(picture).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"the picture {str(picture)[:LONGEST_SHOWN]!r} cannot be read: {reason}") from error
