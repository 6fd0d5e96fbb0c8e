"""Base64 as MIME, data URLs, URLs and careless programs write it, and what is wrong with text that is none."""

from __future__ import annotations

from base64 import b64encode, encodebytes, urlsafe_b64encode

import pytest

from croquis.catalog.base64_text import read_base64

DATA = bytes(range(256)) + b"\xff"  # has + and / and needs padding
PLAIN = b64encode(DATA).decode()


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        encodebytes(DATA).decode(),
        encodebytes(DATA).decode().replace("\n", "\r\n"),
        f"data:image/jpeg;base64,{PLAIN}",
        f"data:;base64,{encodebytes(DATA).decode()}",
        urlsafe_b64encode(DATA).decode(),
        PLAIN.rstrip("="),
        f"  {PLAIN}\n",
        "\t\v\f\r\n ".join(PLAIN),
        " = \n=".join([PLAIN.rstrip("="), ""]),
    ],
)
def test_text_of_common_programs_is_read(text: str) -> None:
    assert read_base64(text) == DATA


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("abc!defg", "character 4 is '!'"),
        ("ab=cdefg", "character 4 is 'c'"),
        ("\xff\xd8\xff", "character 1 is 'ÿ'"),
        ("abcde", "5 characters are one too many, or some lack"),
        ("data:image/png,abcd", "without ';base64,'"),
    ],
)
def test_what_is_wrong_is_named(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read_base64(text)
