"""BM25 over tokens that an engine without it keeps for each image: cut, weighed and counted as SQLite's FTS5 does it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence

import numpy as np

from croquis.arrays import Floats, Rows
from croquis.words.text_table import TABLE, creation

K1, B = 1.2, 0.75  # of FTS5
LEAST_WEIGHT = 1e-6  # of a word of half of the images or more, likewise


class Cutter:
    """Cuts texts into tokens as one of `TOKENIZERS` does; may be used by several threads.

    Args:
        tokenizer: a key of `croquis.words.word_settings.TOKENIZERS`.

    >>> Cutter("unicode").tokens(["Blue T-shirt, été", "!"])
    [['blue', 't', 'shirt', 'ete'], []]
    """

    def __init__(self, tokenizer: str) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._connection.execute(creation(tokenizer, kept=True))
        self._connection.execute(f"create virtual table cut using fts5vocab({TABLE}, 'instance')")

    def tokens(self, texts: Sequence[str]) -> list[list[str]]:
        """The tokens of each text, in their order."""
        found: list[list[str]] = [[] for _ in texts]
        with self._lock:
            self._connection.execute(f"delete from {TABLE}")
            self._connection.executemany(f"insert into {TABLE} (rowid, text) values (?, ?)", enumerate(texts))
            for row, token in self._connection.execute("select doc, term from cut order by doc, offset"):
                found[row].append(token)
        return found


def phrase_counts(kept: Sequence[Sequence[str]], phrase: Sequence[str]) -> Rows:
    """How often a phrase of one token or more stands in each list of tokens, its parts side by side; (images,).

    >>> phrase_counts([["t", "shirt", "t"], ["shirt", "t"]], ["t", "shirt"]).tolist()
    [1, 0]
    """
    first, length, wanted = phrase[0], len(phrase), list(phrase)
    counts = [
        sum(list(tokens[at : at + length]) == wanted for at, token in enumerate(tokens) if token == first)
        for tokens in kept
    ]
    return np.array(counts, dtype=np.int64)


def token_scores(counts: Rows, lengths: Rows, mean_length: float, holding: float, images: int) -> Floats:
    """The BM25 of one term, (n,), 0 where it does not stand.

    Args:
        counts: how often it stands in each of n images.
        lengths: tokens of each, (n,).
        mean_length: over all `images`.
        holding: how many of all hold it.
    """
    spread = K1 * (1 - B + B * lengths / max(mean_length, 1e-9))
    return np.asarray(rareness(holding, images) * counts * (K1 + 1) / (counts + spread), dtype=np.float64)


def rareness(holding: float, images: int) -> float:
    """The inverse document frequency of BM25, of a word that so many of all images hold."""
    return max(LEAST_WEIGHT, float(np.log((images - holding + 0.5) / (holding + 0.5))))
