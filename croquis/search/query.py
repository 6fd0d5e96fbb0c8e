"""What a search may be asked: the modes and how many results; for filters see `croquis.catalog.filters`."""

from __future__ import annotations

from typing import Any, Literal

from croquis.catalog.filters import QueryError

Mode = Literal["photo", "sketch", "sketch-direct"]

MODES: tuple[Mode, ...] = ("photo", "sketch", "sketch-direct")
LARGEST_K = 1000


def check_k(k: Any) -> int:
    """`k` when it is a whole number from 1 to 1000.

    Raises:
        QueryError: otherwise.
    """
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= LARGEST_K:
        raise QueryError("k", k, f"must be a whole number from 1 to {LARGEST_K}")
    return k


def check_mode(mode: Any) -> Mode:
    """`mode` when it is one of `MODES`.

    Raises:
        QueryError: otherwise.
    """
    if mode not in MODES:
        raise QueryError("mode", mode, f"must be one of {', '.join(MODES)}")
    return mode  # type: ignore[no-any-return]


def check_without_picture(text: Any, mode: Mode, rerank: bool | None, bbox: Any) -> None:
    """Refuses a query without a picture that has no words either, or asks for what only a picture has.

    Raises:
        QueryError: naming the field.
    """
    if text is None:
        raise QueryError("picture", None, "must be a picture, or text must have words")
    if mode != "photo":
        raise QueryError("mode", mode, "is a way to look at a picture, and none came")
    if rerank:
        raise QueryError("rerank", rerank, "compares results with a picture, and none came")
    if bbox is not None:
        raise QueryError("bbox", list(bbox), "is a part of a picture, and none came")
