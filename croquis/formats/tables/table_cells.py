"""Cells of a table as texts, labels and boxes, whatever types the file has; what cannot be one is refused in words."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

MISSING_AS_TEXT = ("nan", "NaN", "None", "NULL", "null", "<NA>", "NaT", "#N/A")
PROGRAM_VALUE = re.compile(
    r"""\[.*\]|[({]\s*(?:["'].*)?[)}]""", re.DOTALL
)  # a list, tuple, set or dict as programs print it
SHORTENED = re.compile(r"[1-9](?:[.,][0-9]+)?[eE]\+[0-9]{2}")  # 4.00E+12
LARGEST_PIXEL = 2**31 - 1
EXACT = 2**53  # whole numbers beyond are not exact as floats


class CellError(ValueError):
    """A cell cannot be read; the message says why and what to do, its caller adds table, row and column."""


def tidy(value: Any) -> Any:
    """A cell as read: text without blanks at its ends, whole numbers as int, whatever their type in the file.

    Blank text and NaN, which pandas writes for missing cells, are None; None and NaN are left out of lists.
    """
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, list):
        return [part for part in map(tidy, value) if part is not None]
    if isinstance(value, float | Decimal):
        if value != value:
            return None
        return int(value) if abs(float(value)) <= EXACT and value == int(value) else value
    return value


def as_text(value: Any) -> str | None:
    """A cell as text; None for an empty one.

    Raises:
        CellError: when it is no text, number or date.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal | date):
        raise CellError(f"{_short(value)} is of the type {type(value).__name__}; write a text or a number")
    text = str(value)
    if "\0" in text:
        raise CellError(f"{_short(text)} holds a NUL character; take it out")
    return text


def as_word(value: Any) -> str | None:
    """A cell that holds one label.

    Raises:
        CellError: when it is no text, number or date, or the text of a program's list, as `to_csv` of pandas writes it.
    """
    text = as_text(value)
    if text is not None and PROGRAM_VALUE.fullmatch(text):
        raise CellError(
            f"{_short(text)} is a program's list in text; write the labels with | between them: red|slim fit"
        )
    return text


def as_id(value: Any) -> str | None:
    """A cell that names an image or an item.

    Raises:
        CellError: as `as_text`; also for a word that programs write for a missing value, such as `nan`, and for a number
            that a spreadsheet has shortened.
    """
    text = as_text(value)
    if text in MISSING_AS_TEXT:
        raise CellError(f"{text!r} is a program's word for a missing value; write an id or leave the cell empty")
    if text is not None and SHORTENED.fullmatch(text):
        raise CellError(
            f"{text!r} is a long number as spreadsheets shorten it, whose last digits are lost; save the column as text"
        )
    if isinstance(value, float) and abs(value) > EXACT:
        raise CellError(f"{text} is no longer exact as a float; save the column as text or whole numbers")
    return text


def as_labels(value: Any) -> list[str]:
    """A list, or text with `|` between labels, as labels without blanks at their ends, each once.

    Raises:
        CellError: when a part is no text, number or date.
    """
    word = value if isinstance(value, list) else as_word(value)
    parts: Sequence[Any] = word if isinstance(word, list) else (word or "").split("|")
    texts = (as_text(part) or "" for part in parts)
    return list(dict.fromkeys(label for text in texts if (label := text.strip())))


def as_box(value: Any) -> list[int] | None:
    """A list of four numbers or the text `x1 y1 x2 y2`, in pixels, rounded; None for an empty cell.

    Raises:
        CellError: when it is neither, or a number is beyond 32 bits.
    """
    if value is None:
        return None
    parts = value.replace(",", " ").split() if isinstance(value, str) else value if isinstance(value, list) else [value]
    try:
        numbers = [float(part) for part in parts if not isinstance(part, bool)]
    except (TypeError, ValueError, OverflowError):
        numbers = []
    if len(numbers) != 4 or len(parts) != 4 or not all(map(math.isfinite, numbers)):
        raise CellError(f"{_short(value)} is not four numbers 'x1 y1 x2 y2' in pixels")
    if max(map(abs, numbers)) > LARGEST_PIXEL:
        raise CellError(f"{_short(value)} lies outside any picture; sides are at most {LARGEST_PIXEL} pixels")
    return [round(number) for number in numbers]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."
