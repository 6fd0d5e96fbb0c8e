"""Columns of numbers in a text table, in the one way that the other parts read: `9.50` and `1001`."""

from __future__ import annotations

import re
from collections.abc import Sequence

WHOLE_AS_FLOAT = re.compile(r"(-?[0-9]{1,15})\.0")  # a column of pandas with a gap
DECIMAL_COMMA = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:,[0-9]{1,15})?")
THREE_DIGITS = re.compile(r"-?[0-9]+(?:,[0-9]{3})?")  # 1,234 may be a thousand


def as_numbers_are_written(rows: Sequence[tuple[int, list[str]]], separator: str) -> list[tuple[int, list[str]]]:
    """The rows; a column of floats such as `1001.0` throughout is one of whole numbers.

    Where semicolons separate cells, a column of numbers with a decimal comma has points instead. It stays as it is where
    each comma has three digits behind it, as these may be thousands.

    Args:
        rows: cells by their row's number; all rows of one length.
    """
    changed: dict[int, list[str]] = {}
    for place, column in enumerate(zip(*(cells for _, cells in rows), strict=True)):
        given = [cell.strip() for cell in column if cell.strip()]
        if given and all(map(WHOLE_AS_FLOAT.fullmatch, given)):
            changed[place] = [WHOLE_AS_FLOAT.sub(r"\1", cell) for cell in column]
        elif separator == ";" and _has_decimal_commas(given):
            changed[place] = [cell.replace(",", ".") for cell in column]
    return [
        (number, [changed[place][row] if place in changed else cell for place, cell in enumerate(cells)])
        for row, (number, cells) in enumerate(rows)
    ]


def _has_decimal_commas(given: Sequence[str]) -> bool:
    numbers = any("," in cell for cell in given) and all(map(DECIMAL_COMMA.fullmatch, given))
    return numbers and not all(map(THREE_DIGITS.fullmatch, given))
