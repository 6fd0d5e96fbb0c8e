"""How well images fit the words of a query: BM25 over their texts, or what a classifier predicts where there is no text.

The score of an image is a sum over the terms. Of a term that is a word of the classifier's attributes, the larger of two
numbers counts: the BM25 of the image's own text, and the probability of the attribute times the inverse document frequency
that BM25 has, worked out from the expected number of images with the attribute. So a text that says it and a classifier that
is certain of it weigh alike, and nothing is counted twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from croquis.arrays import Floats, Keys, Rows
from croquis.words.text_table import TABLE, creation, matches
from croquis.words.token_scores import rareness
from croquis.words.word_query import terms_of

LEVELS = 255  # of a probability that is kept in a byte

Seen = Callable[[], tuple[Rows, npt.NDArray[np.uint8]]]
"""Numbers of images (n,), and the probabilities (n, A) that a classifier gave them, in steps of 1 / 255."""


class Vocabulary:
    """The words of a classifier's attributes, found by the terms of a query as the tokenizer cuts both.

    Args:
        names: the attributes, A of them, in the order of the classifier's output.
        tokenizer: that of the texts.
        seen: asked when a query has one of the words.
    """

    def __init__(self, names: Sequence[str], tokenizer: str, seen: Seen) -> None:
        self._seen = seen
        self._connection = sqlite3.connect(":memory:", check_same_thread=False)
        self._connection.execute(creation(tokenizer, kept=True))
        rows = list(enumerate(names))
        self._connection.executemany(f"insert into {TABLE} (rowid, text) values (?, ?)", rows)

    def holding(self, term: str) -> Rows:
        """The places of the attributes that hold a term."""
        return np.sort(matches(self._connection, term)[0])

    def likely(self, term: str) -> tuple[Rows, npt.NDArray[np.uint8]]:
        """Numbers of images, and how likely each has an attribute with the term, the likeliest of them, in steps of 1 / 255;
        none when the term is no word of them."""
        places = self.holding(term)
        if not len(places):
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint8)
        numbers, held = self._seen()
        return numbers, held[:, places].max(axis=1)


def word_scores(connection: sqlite3.Connection, text: str, size: int, vocabulary: Vocabulary | None = None) -> Floats:
    """The score of each image by its number, (size,); 0 where nothing of the query is in it.

    Args:
        connection: of the file with the table, which has no other user meanwhile.
        text: a query that `check_query` lets through.
        size: more than the largest number.
    """
    total = np.zeros(size)
    for term in terms_of(text):
        scores = np.zeros(size)
        numbers, found = matches(connection, term)
        scores[numbers] = found
        if vocabulary is not None:
            numbers, likely = vocabulary.likely(term)
            if len(numbers):
                expected = int(likely.sum(dtype=np.int64)) / LEVELS
                scores[numbers] = np.maximum(scores[numbers], rareness(expected, len(likely)) / LEVELS * likely)
        total += scores
    return total


def best_rows(scores: Floats, keys: Callable[[Rows], Keys], k: int) -> Rows:
    """The best `k` of those with a score above 0, best first; equal ones in the order of their keys, which are asked for
    those alone that come into question."""
    found = np.flatnonzero(scores > 0)
    if len(found) > k:
        found = found[scores[found] >= np.partition(scores[found], -k)[-k]]
    return found[np.lexsort((keys(found), -scores[found]))[:k]]
