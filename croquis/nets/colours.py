"""Colours as a request names them: `#rrggbb`, or a word."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from PIL import ImageColor

from croquis.catalog.filters import QueryError

Rgb: TypeAlias = tuple[int, int, int]
"""Red, green and blue, 0 to 255 each."""

HEX = re.compile("#[0-9a-f]{6}", re.IGNORECASE)
MOST_NAMED = 20  # words of a catalogue that an error names


def hex_of(colour: Rgb) -> str:
    """A colour as `#rrggbb`.

    >>> hex_of((190, 38, 44))
    '#be262c'
    """
    return "#{:02x}{:02x}{:02x}".format(*colour)


def read_colour(asked: Any, words: Mapping[str, str]) -> Rgb:
    """The colour that is asked for.

    Args:
        asked: `#rrggbb`, a word of `words`, or else a colour name of CSS such as `navy`; case does not count.
        words: of the catalogue, each with its `#rrggbb`.

    Raises:
        QueryError: when it is neither, naming the catalogue's words.

    >>> read_colour("Red", {"red": "#be262c"}), read_colour("#0000ff", {})
    ((190, 38, 44), (0, 0, 255))
    """
    name = asked.strip().lower() if isinstance(asked, str) else ""
    known = {word.lower(): value for word, value in words.items()}
    text = known.get(name, name)
    if not HEX.fullmatch(text) and text not in ImageColor.colormap:
        listed = ", ".join(sorted(known)[:MOST_NAMED])
        of_catalogue = (
            f"a word of the catalogue ({listed}{', ...' if len(known) > MOST_NAMED else ''}), " if known else ""
        )
        raise QueryError("colour", asked, f"must be #rrggbb, {of_catalogue}or a colour name of CSS")
    red, green, blue = ImageColor.getrgb(text)[:3]
    return red, green, blue
