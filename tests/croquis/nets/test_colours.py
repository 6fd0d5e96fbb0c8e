"""A colour is #rrggbb, a word of the catalogue, or a name of CSS; anything else is refused."""

from __future__ import annotations

from typing import Any

import pytest

from croquis.catalog.filters import QueryError
from croquis.nets.colours import hex_of, read_colour

WORDS = {"red": "#be262c", "Light-Blue": "#96bcde"}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("#0a1B2c", (10, 27, 44)),
        ("red", (190, 38, 44)),
        (" RED ", (190, 38, 44)),
        ("light-blue", (150, 188, 222)),
        ("navy", (0, 0, 128)),
    ],
)
def test_a_colour_is_read(asked: str, expected: tuple[int, int, int]) -> None:
    assert read_colour(asked, WORDS) == expected
    assert read_colour(hex_of(expected), {}) == expected


@pytest.mark.parametrize(
    "asked", ["", "reddish", "#12345", "#1234567", "#12345g", "hsl(0,100%,50%)", "rgb(1,2,3)", None, 7]
)
def test_what_is_no_colour_is_refused_with_the_words_that_are(asked: Any) -> None:
    with pytest.raises(
        QueryError, match=r"colour = .* a word of the catalogue \(light-blue, red\), or a colour name of CSS"
    ):
        read_colour(asked, WORDS)
    with pytest.raises(QueryError, match=r"must be #rrggbb, or a colour name of CSS"):
        read_colour(asked, {})


def test_a_long_list_of_words_is_cut() -> None:
    words = {f"colour {number:03d}": "#000000" for number in range(100)}
    with pytest.raises(QueryError, match=r"colour 019, \.\.\.\)") as refused:
        read_colour("nothing", words)
    assert "colour 020" not in str(refused.value)
