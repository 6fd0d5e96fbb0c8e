"""No user, password or token of an address is in what is shown of it; the rest is."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from croquis.credentials import LONGEST, without_credentials


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("nats://shop:hunter2@host:4222/products", "nats://host:4222/products"),
        ("nats://hunter2@host:4222/products", "nats://host:4222/products"),  # a token is all there is
        ("postgresql+psycopg://u:p%40ss@db/studies", "postgresql+psycopg://db/studies"),
        ("milvus:http://root:Milvus@127.0.0.1:19530", "milvus:http://127.0.0.1:19530"),
        ("nats://u:p@ss@host/x", "nats://host/x"),
        ("nats://u:a/b?c#d@host/x", "nats://host/x"),  # not escaped
        ("nats://u:12345678/9@host/x", "nats://host/x"),
        ("nats://a:secret@h1:1,b:secret@h2:2/x", "nats://h2:2/x"),
        (
            "postgresql://db/x?user=u&password=hunter2&sslmode=require",
            "postgresql://db/x?user=u&password=***&sslmode=require",
        ),
        ("host=db password='hun ter' dbname=x", "host=db password=*** dbname=x"),
        ("kafka: sasl.password=hunter2, refused", "kafka: sasl.password=***, refused"),
        ("cannot open 'nats://u:p@h/x': refused", "cannot open 'nats://h/x': refused"),
        ("kafka://a:9092,b:9092/products", "kafka://a:9092,b:9092/products"),
        ("http://host:8080/items/a@b", "http://host:8080/items/a@b"),
        ("models:/fashion-retriever@champion", "models:/fashion-retriever@champion"),
        ("faiss:models/store", "faiss:models/store"),
    ],
)
def test_an_address_is_shown_without_them(text: str, shown: str) -> None:
    assert without_credentials(text) == shown
    assert without_credentials(ValueError(text)) == shown


@pytest.mark.parametrize("part", ["a.", "a-.", "://a:", "://a:@", "password ", "password='", "token=a."])
def test_a_long_message_is_shown_in_part_and_soon(part: str) -> None:
    """Messages of other servers come here; each of these took minutes."""
    assert len(without_credentials(part * 9_000)) <= LONGEST + 100
    assert len(without_credentials(f"{part} " * 100_000)) <= 2 * LONGEST


@pytest.mark.parametrize("before", range(LONGEST - 40, LONGEST + 2, 3))
def test_no_address_is_cut_before_its_end(before: int) -> None:
    text = f"{'x' * before} nats://u:hunter2@host/x {'y' * 100}"
    assert "hunter2"[:3] not in without_credentials(text)


SIGNS = st.characters(codec="ascii", categories=("L", "N", "P", "S"))
PORT = re.compile(r"\d{1,5}([/?#,\"']|$)")


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.text(SIGNS, min_size=4).filter(lambda word: word not in "nats://h:1/x of***" and not PORT.match(word)))
def test_no_password_of_any_characters_is_left(password: str) -> None:
    """Even one that should have been escaped, unless it begins as a port and a path do."""
    assert password not in without_credentials(f"nats://u:{password}@h:1/x of")
