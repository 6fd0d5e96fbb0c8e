"""What a search may be asked: the modes and how many results; for filters see `croquis.catalog.filters`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from croquis.catalog.filters import QueryError

Mode = Literal["photo", "sketch", "sketch-direct"]
GroupBy = Literal["none", "item"]
Combine = Literal["max", "mean"]

MODES: tuple[Mode, ...] = ("photo", "sketch", "sketch-direct")
GROUPS: tuple[GroupBy, ...] = ("none", "item")
COMBINATIONS: tuple[Combine, ...] = ("max", "mean")
MOST_PER_ITEM = 10
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


def check_colour(colour: Any, mode: Mode) -> None:
    """Refuses a colour that nothing would paint; which colours there are, the bundle says.

    Raises:
        QueryError: naming the mode that takes one.
    """
    if colour is not None and mode != "sketch":
        raise QueryError("colour", colour, f"is for the mode sketch, whose generator paints in it, and not for {mode}")


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


@dataclass(frozen=True)
class AnswerChoice:
    """What an answer consists of.

    Attributes:
        group_by: `none` for images, `item` for products.
        max_per_item: photos of each product that stand in the answer, together and best first; of no effect on images.
        combine: several photos of one query: `max` takes for each image the score by the photo that it is most like, `mean`
            searches for the centre of the photos' vectors.

    Raises:
        QueryError: on another value.
    """

    group_by: GroupBy = "none"
    max_per_item: int = 1
    combine: Combine = "max"

    def __post_init__(self) -> None:
        _check_choice("group_by", self.group_by, GROUPS)
        _check_choice("combine", self.combine, COMBINATIONS)
        most = self.max_per_item
        if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most <= MOST_PER_ITEM:
            raise QueryError("max_per_item", most, f"must be a whole number from 1 to {MOST_PER_ITEM}")


def _check_choice(field: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise QueryError(field, value, f"must be one of {', '.join(allowed)}")
