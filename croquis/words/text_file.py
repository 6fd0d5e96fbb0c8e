"""The file of a bundle's words: a full-text table whose rows are those of the gallery. It does not keep the texts."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path

from croquis.arrays import Floats
from croquis.words.text_table import TABLE, creation
from croquis.words.word_scores import Vocabulary, word_scores

APPLICATION, VERSION = 0x43524F57, 1  # "CROW", and the version of the layout
PAGE = 4096  # bytes


class TextFileError(ValueError):
    """A file that is not what `write_texts` wrote."""


def write_texts(path: Path, texts: Iterable[str], tokenizer: str) -> None:
    """Writes a new file: equal texts give equal bytes, with one version of SQLite."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        execute = connection.execute
        execute(f"pragma page_size = {PAGE}")
        execute("pragma journal_mode = off")
        execute("pragma synchronous = off")  # the caller makes the file whole or absent
        execute(f"pragma application_id = {APPLICATION}")
        execute(f"pragma user_version = {VERSION}")
        execute("begin")
        execute(creation(tokenizer, kept=False))
        connection.executemany(f"insert into {TABLE} (rowid, text) values (?, ?)", enumerate(texts))
        execute(f"insert into {TABLE} ({TABLE}) values ('optimize')")
        execute("commit")
        execute("vacuum")
    finally:
        connection.close()


class TextFile:
    """The words of a gallery; safe to use from several threads, one of which searches at a time.

    Args:
        path: of what `write_texts` wrote.
        rows: of the gallery.
        tokenizer: that it was written with.

    Raises:
        TextFileError: when it is another file, or has other rows.
    """

    def __init__(self, path: Path, rows: int, tokenizer: str) -> None:
        self._path = path
        self._rows = rows
        self._lock = threading.Lock()
        try:
            address = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
            self._connection = sqlite3.connect(address, uri=True, check_same_thread=False)
            try:
                self._check(tokenizer)
            except BaseException:
                self._connection.close()
                raise
        except (sqlite3.Error, UnicodeError) as error:
            raise TextFileError(f"{path} is no file of words: {error}") from error

    def scores(self, text: str, vocabulary: Vocabulary | None = None) -> Floats:
        """See `word_scores`; (rows,).

        Raises:
            TextFileError: when the file cannot be read.
        """
        try:
            with self._lock:
                return word_scores(self._connection, text, self._rows, vocabulary)
        except (sqlite3.Error, IndexError, TypeError, UnicodeError) as error:
            raise TextFileError(f"{self._path} cannot be read: {error}") from error

    def _check(self, tokenizer: str) -> None:
        execute = self._connection.execute
        execute("pragma trusted_schema = off")
        known = execute("pragma application_id").fetchone()[0], execute("pragma user_version").fetchone()[0]
        if known != (APPLICATION, VERSION) or _layout(self._connection) != _expected(tokenizer):
            raise TextFileError(f"{self._path} is no file of words with the tokenizer {tokenizer}")
        damage = execute("pragma quick_check(1)").fetchone()[0]
        if damage != "ok":
            raise TextFileError(f"{self._path} is damaged: {damage}")
        count, least, most = execute(f"select count(*), min(id), max(id) from {TABLE}_docsize").fetchone()
        if (count, least, most) != ((self._rows, 0, self._rows - 1) if self._rows else (0, None, None)):
            raise TextFileError(f"{self._path} has {count} rows, the gallery has {self._rows}")


def _layout(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = connection.execute("select name, sql from sqlite_master order by name").fetchall()
    return found


def _expected(tokenizer: str) -> list[tuple[str, str]]:
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute(creation(tokenizer, kept=False))
        return _layout(connection)
    finally:
        connection.close()
