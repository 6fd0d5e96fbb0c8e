"""A query of words: its limits, and its terms as SQLite's full-text search takes them."""

from __future__ import annotations

from typing import Any

from croquis.catalog.filters import QueryError
from croquis.catalog.product_columns import kind_of

LONGEST_QUERY = 200
MOST_TERMS = 20


def check_query(text: Any) -> str:
    """`text` when it is a query of words: 1 to 200 characters, 1 to 20 terms with blanks between them.

    Raises:
        QueryError: otherwise.
    """
    if not isinstance(text, str):
        raise QueryError("text", type(text).__name__, "must be words")
    if kind_of(text) != "text" or not 1 <= len(text) <= LONGEST_QUERY or not text.strip():
        raise QueryError(
            "text", text[:LONGEST_QUERY], f"must be 1 to {LONGEST_QUERY} characters with a word among them"
        )
    if len(text.split()) > MOST_TERMS:
        raise QueryError("text", text, f"has {len(text.split())} words, at most {MOST_TERMS} are searched")
    return text


def terms_of(text: str) -> list[str]:
    """The terms of a query, each once, quoted: no character of them is syntax of FTS5. A term such as `T-shirt` is looked
    for as the tokenizer cuts it, its parts side by side."""
    return [quoted_term(term) for term in plain_terms(text)]


def plain_terms(text: str) -> list[str]:
    """The terms of a query, each once, as they were written but for case."""
    return list(dict.fromkeys(text.lower().split()))


def quoted_term(term: str) -> str:
    """A term of `plain_terms` as FTS5 takes it: a phrase."""
    return '"' + term.replace('"', '""') + '"'
