"""Bytes that come as base64 text, as the common programs write it."""

from __future__ import annotations

import re
from base64 import b64decode

ALPHABET = re.compile(r"[A-Za-z0-9+/_\-\s]*[=\s]*", re.ASCII)
STANDARD = str.maketrans("-_", "+/", " \t\n\r\f\v")


def read_base64(text: str) -> bytes:
    """The bytes; line breaks, a `data:` prefix, the alphabet of URLs and missing padding will do.

    Raises:
        ValueError: naming the character that is wrong, or saying that some lack.
    """
    if text.startswith("data:"):
        head, _, text = text.partition(",")
        if not head.endswith(";base64"):
            raise ValueError("is a data: URL without ';base64,' before its text")
    end = ALPHABET.match(text).end()  # type: ignore[union-attr]  # it matches the empty text too
    if end < len(text):
        raise ValueError(f"is not base64 of a picture file: character {end + 1} is {text[end]!r}")
    digits = text.translate(STANDARD).rstrip("=")
    if len(digits) % 4 == 1:
        raise ValueError(f"is not base64 of a picture file: {len(digits)} characters are one too many, or some lack")
    return b64decode(digits + "=" * (-len(digits) % 4))
