"""The full-text table of SQLite (FTS5), of a bundle's file and of a FAISS store's: a row for each image, by its number."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from croquis.arrays import Floats, Rows
from croquis.words.word_settings import TOKENIZERS

TABLE = "texts"
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S*")  # a link is no words


def creation(tokenizer: str, *, kept: bool) -> str:
    """The statement that makes the table.

    Args:
        tokenizer: one of `TOKENIZERS`.
        kept: whether the texts themselves are kept, which takes their room and lets rows be deleted.
    """
    content = "" if kept else "content = '', "
    return f"create virtual table {TABLE} using fts5(text, {content}tokenize = '{TOKENIZERS[tokenizer]}')"


def text_of(category: str, attributes: Iterable[str], product: Mapping[str, Any]) -> str:
    """What can be found of an image: its category, its attributes and the texts of its product's own columns, links left
    out. Each stands on a line of its own."""
    own = [value for value in product.values() if isinstance(value, str) and not ADDRESS.fullmatch(value.strip())]
    return "\n".join([category, *attributes, *own])


def matches(connection: sqlite3.Connection, term: str) -> tuple[Rows, Floats]:
    """The numbers of the rows that hold a term as `terms_of` gives it, and the BM25 of each: above 0, more is better.

    BM25 is that of FTS5: k1 = 1.2, b = 0.75, and a term of half of the rows or more counts next to nothing.
    """
    found = connection.execute(f"select rowid, -bm25({TABLE}) from {TABLE} where {TABLE} match ?", (term,)).fetchall()
    numbers, scores = zip(*found, strict=True) if found else ((), ())
    return np.array(numbers, dtype=np.int64), np.array(scores, dtype=np.float64)


def has_full_text() -> bool:
    """Whether Python's SQLite was built with FTS5, as nearly all are."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute(creation("unicode", kept=True))
    except sqlite3.OperationalError:
        return False
    finally:
        connection.close()
    return True
