"""The file of a bundle's words: the same bytes for the same texts, refused when it is another; terms are no syntax."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from croquis.catalog.filters import QueryError
from croquis.words.text_file import TextFile, TextFileError, write_texts
from croquis.words.text_table import has_full_text, text_of
from croquis.words.word_query import LONGEST_QUERY, MOST_TERMS, check_query, terms_of
from croquis.words.word_scores import Vocabulary, best_rows

TEXTS = ["Navy blue T-shirt", "red shirt", "blue café dress", "", "NEAR the title"]


@pytest.fixture
def file(tmp_path: Path) -> TextFile:
    return written(tmp_path / "words.sqlite")


def written(path: Path, tokenizer: str = "unicode") -> TextFile:
    write_texts(path, TEXTS, tokenizer)
    return TextFile(path, len(TEXTS), tokenizer)


def found(file: TextFile, text: str) -> list[int]:
    return np.flatnonzero(file.scores(check_query(text)) > 0).tolist()


def test_this_python_has_full_text() -> None:
    assert has_full_text()


@pytest.mark.parametrize("tokenizer", ["unicode", "trigram"])
def test_equal_texts_give_equal_bytes(tmp_path: Path, tokenizer: str) -> None:
    write_texts(tmp_path / "one", TEXTS * 300, tokenizer)
    write_texts(tmp_path / "two", TEXTS * 300, tokenizer)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    write_texts(tmp_path / "three", [*(TEXTS * 299), "another", *TEXTS[:-1]], tokenizer)
    assert (tmp_path / "one").read_bytes() != (tmp_path / "three").read_bytes()
    assert b"shirt and" not in (tmp_path / "one").read_bytes()


def test_case_and_accents_do_not_count(file: TextFile) -> None:
    assert found(file, "CAFE") == found(file, "café") == [2]
    assert found(file, "Blue") == [0, 2]
    assert found(file, "t-shirt") == [0]
    assert found(file, "shirt") == [0, 1]
    assert found(file, "shir") == []


def test_trigrams_find_parts_of_words(tmp_path: Path) -> None:
    file = written(tmp_path / "words.sqlite", "trigram")
    assert found(file, "hir") == [0, 1]
    assert found(file, "hi") == []


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('"', []),
        ("text:blue", []),
        ("blue NOT red", [0, 1, 2]),
        ("NEAR(red blue)", [0, 2]),
        ("near", [4]),
        ("sh*", []),
        ("^red", [1]),
        ('red" OR "blue', [1, 2, 0]),
        ("') --", []),
        ("{text} : red", [1]),
        ("-blue", [0, 2]),
    ],
)
def test_no_character_is_syntax(file: TextFile, text: str, rows: list[int]) -> None:
    assert set(found(file, text)) == set(rows)


@pytest.mark.parametrize(
    "text",
    ["", "  \t", "a" * (LONGEST_QUERY + 1), "a " * (MOST_TERMS + 1), "a\0b", "\ud800", 3, None, ["a"]],
)
def test_what_is_no_query_is_refused(text: object) -> None:
    with pytest.raises(QueryError, match="text = "):
        check_query(text)


def test_the_longest_query_is_answered(file: TextFile) -> None:
    assert found(file, "b" * LONGEST_QUERY) == []
    assert found(file, " ".join(["blue", *"abcdefghijklmnopqrs"])) == [0, 2]
    assert terms_of("Red red RED") == ['"red"']


def test_links_are_no_words() -> None:
    assert text_of("dress", ["colour:red"], {"title": "A", "link": "https://shop.example/red", "price": 3.0}) == (
        "dress\ncolour:red\nA"
    )


def test_a_classifier_s_word_counts_by_its_probability(tmp_path: Path) -> None:
    file = written(tmp_path / "words.sqlite")
    held = np.array([[0, 0], [0, 0], [255, 0], [204, 10], [51, 0]], dtype=np.uint8)
    vocabulary = Vocabulary(["pattern:striped", "colour:light blue"], "unicode", lambda: (np.arange(5), held))
    scores = file.scores("striped", vocabulary)
    weight = np.log((5 - 2 + 0.5) / (2 + 0.5))  # expected: 1 + 0.8 + 0.2 images
    np.testing.assert_allclose(scores, weight * np.array([0, 0, 1, 0.8, 0.2]))
    both = file.scores("blue striped", vocabulary)
    assert both[2] == pytest.approx(file.scores("blue")[2] + weight)
    assert both[3] > scores[3]  # light blue, a little
    assert vocabulary.holding('"blue"').tolist() == [1]
    assert (file.scores("shirt", vocabulary) == file.scores("shirt")).all()


def test_equal_scores_stand_in_the_order_of_their_keys() -> None:
    scores, keys = np.array([1.0, 2, 0, 2, 1, 1]), np.array([3, 9, 0, 4, 1, 2], dtype=np.uint64)
    whole = [3, 1, 4, 5, 0]
    for k in range(1, 8):
        assert best_rows(scores, lambda rows: keys[rows], k).tolist() == whole[:k]


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "words.sqlite"
    write_texts(path, TEXTS, "unicode")
    with pytest.raises(TextFileError, match="has 5 rows, the gallery has 6"):
        TextFile(path, 6, "unicode")
    with pytest.raises(TextFileError, match="no file of words with the tokenizer trigram"):
        TextFile(path, 5, "trigram")
    connection = sqlite3.connect(path)
    connection.execute("create view more as select 1")
    connection.commit()
    connection.close()
    with pytest.raises(TextFileError, match="no file of words"):
        TextFile(path, 5, "unicode")
    path.write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(TextFileError, match="is no file of words"):
        TextFile(path, 5, "unicode")


def test_a_damaged_file_is_refused_or_read_and_never_worse(tmp_path: Path) -> None:
    path = tmp_path / "words.sqlite"
    write_texts(path, TEXTS * 50, "unicode")
    whole, draw, refused = path.read_bytes(), np.random.default_rng(0), 0
    for _ in range(60):
        data = bytearray(whole)
        for place in draw.integers(len(data), size=8):
            data[place] = draw.integers(256)
        path.write_bytes(bytes(data))
        try:
            assert len(TextFile(path, 250, "unicode").scores("blue shirt")) == 250
        except TextFileError:
            refused += 1
    assert refused
