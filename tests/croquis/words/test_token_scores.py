"""BM25 over tokens that a store keeps: cut and scored as SQLite's full text does it, phrases and parts of words included."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest

from croquis.words.text_table import TABLE, creation, matches
from croquis.words.token_scores import Cutter, phrase_counts, token_scores
from croquis.words.word_query import plain_terms, quoted_term

TEXTS = [
    "Blue T-shirt, long",
    "shirt t shirt t-shirt",
    "Été in a long, long, long dress",
    "a coat",
    "",
    "shirts and t-shirts, shirting",
    "Kleid größer 3/4",
]


@pytest.mark.parametrize("tokenizer", ["unicode", "trigram"])
@pytest.mark.parametrize(
    "term", ["t-shirt", "long", "ete", "shirt", "a", "!", "3/4", "GRÖSSER", "größer", 'd"e', "none"]
)
def test_scores_are_those_of_sqlite(tokenizer: str, term: str) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute(creation(tokenizer, kept=True))
    connection.executemany(f"insert into {TABLE} (rowid, text) values (?, ?)", enumerate(TEXTS))
    (plain,) = plain_terms(term)
    expected = np.zeros(len(TEXTS))
    rows, found = matches(connection, quoted_term(plain))
    expected[rows] = found
    cutter = Cutter(tokenizer)
    kept, phrase = cutter.tokens(TEXTS), cutter.tokens([plain])[0]
    scores = np.zeros(len(TEXTS))
    if phrase:
        counts, lengths = phrase_counts(kept, phrase), np.array([len(tokens) for tokens in kept])
        scores = token_scores(counts, lengths, float(lengths.mean()), int((counts > 0).sum()), len(TEXTS))
    np.testing.assert_allclose(scores, expected, rtol=1e-12)


def test_a_cutter_forgets_what_it_has_cut() -> None:
    cutter = Cutter("unicode")
    assert cutter.tokens(["one two", ""]) == [["one", "two"], []]
    assert cutter.tokens(["three"]) == [["three"]]
    assert cutter.tokens([]) == []
