"""The file of a FAISS store: images, vectors and notes of deleted products in SQLite, and filters as look-ups in it."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from croquis.catalog.filters import Filters
from croquis.store.sqlite_file import DatabaseError, DatabaseKind, open_database
from croquis.store.vector_store import Stored, StoredImage, StoreError, StoreSpec, conditions

SCHEMA = """
create table record (spec text not null);
create table images (
    number integer primary key,
    image_id text not null unique,
    item_id text not null,
    version integer not null,
    category text not null,
    domain text not null,
    attributes text not null,  -- JSON
    predicted text not null,  -- JSON
    probabilities blob,
    vector blob not null,
    thumbnail blob not null
);
create index by_item on images (item_id);
create table words (
    place text not null,
    word text not null,
    number integer not null,
    primary key (place, word, number)
) without rowid;
create index by_number on words (number);
create table graves (item_id text primary key, version integer not null);
"""
SHARING = "one at a time; a server takes events itself (croquis serve --ingest), and a Milvus server takes several"
KIND = DatabaseKind("vector store", "process", 0x43524F56, 2, SCHEMA, "give another path", SHARING)  # "CROV"
COLUMNS = "image_id, item_id, version, category, domain, attributes, predicted, probabilities"
AT_A_TIME = 500  # values in one statement
ROWS = 4096


class StoreFile:
    """One store's file, which one process at a time may use; safe to use from several threads.

    Args:
        path: an existing file, or where a new one shall stand.
        spec: of a new one; None to read that of the file.

    Raises:
        StoreError: when the file cannot be used, or has no record of what it keeps.
    """

    def __init__(self, path: Path, spec: StoreSpec | None = None) -> None:
        self.path = path
        self._lock = threading.RLock()
        try:
            self._connection = open_database(path, KIND)
        except DatabaseError as error:
            raise StoreError(str(error)) from error
        if spec is not None:
            self._connection.execute("insert into record values (?)", (json.dumps(asdict(spec)),))
        record = self._connection.execute("select spec from record").fetchone()
        if record is None:
            self.close()
            raise StoreError(f"{path} was never finished: delete it and create the version anew")
        self.spec = StoreSpec(**json.loads(record[0]))

    def write(self, images: Sequence[StoredImage], stored: Stored, thumbnails: Sequence[bytes]) -> None:
        """Replaces or adds images, all or none."""
        with self._transaction() as execute:
            self._forget([image.image_id for image in images])
            for image, vector, thumbnail in zip(images, stored, thumbnails, strict=True):
                values = (*_values(image), vector.tobytes(), thumbnail)
                marks = ", ".join("?" * len(values))
                number = execute(f"insert into images ({COLUMNS}, vector, thumbnail) values ({marks})", values)
                words = {("category", image.category), ("domain", image.domain)}
                words |= {("attributes", name) for name in image.attributes}
                rows = [(*word, number.lastrowid) for word in words]
                self._connection.executemany("insert into words values (?, ?, ?)", rows)

    def remove(self, image_ids: Sequence[str]) -> None:
        with self._transaction():
            self._forget(image_ids)

    def mark_deleted(self, versions: Mapping[str, int]) -> None:
        with self._transaction():
            self._connection.executemany("insert or replace into graves values (?, ?)", list(versions.items()))

    def deletions_of(self, item_ids: Sequence[str] | None = None) -> dict[str, int]:
        if item_ids is None:
            with self._lock:
                return dict(self._connection.execute("select item_id, version from graves").fetchall())
        return dict(self._among("select item_id, version from graves where item_id in", item_ids))

    def images(self, column: str, values: Sequence[str]) -> list[StoredImage]:
        """Images whose `image_id` or `item_id` is one of `values`."""
        return [_image(row) for row in self._among(f"select {COLUMNS} from images where {column} in", values)]

    def thumbnails(self, image_ids: Sequence[str]) -> dict[str, bytes]:
        return dict(self._among("select image_id, thumbnail from images where image_id in", image_ids))

    def words(self) -> dict[str, Counter[str]]:
        """How many images have each word, by `category` and `attributes`."""
        counted: dict[str, Counter[str]] = {"category": Counter(), "attributes": Counter()}
        with self._lock:
            rows = self._connection.execute("select place, word, count(*) from words group by place, word").fetchall()
        for place, word, count in rows:
            if place in counted:
                counted[place][word] = count
        return counted

    def count(self, filters: Filters) -> int:
        query, values = _selection(filters)
        with self._lock:
            return int(self._connection.execute(f"select count(*) from ({query})", values).fetchone()[0])

    def select(self, filters: Filters) -> list[str]:
        """Ids of the images that pass."""
        query, values = _selection(filters)
        with self._lock:
            found = self._connection.execute(f"select image_id from images where number in ({query})", values)
            return [image_id for (image_id,) in found.fetchall()]

    def scan(self) -> Iterator[tuple[list[StoredImage], Stored]]:
        """Every image that is there all the while, with its vector."""
        last = 0
        while True:
            statement = f"select {COLUMNS}, vector, number from images where number > ? order by number limit {ROWS}"
            with self._lock:
                rows = self._connection.execute(statement, (last,)).fetchall()
            if not rows:
                return
            last = rows[-1][-1]
            kind = np.uint8 if self.spec.head == "binary" else np.float32
            yield [_image(row) for row in rows], np.stack([np.frombuffer(row[-2], dtype=kind) for row in rows])

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _transaction(self) -> _Transaction:
        return _Transaction(self._connection, self._lock, self.path)

    def _forget(self, image_ids: Sequence[str]) -> None:
        for row in self._among("select number from images where image_id in", image_ids):
            self._connection.execute("delete from words where number = ?", row)
            self._connection.execute("delete from images where number = ?", row)

    def _among(self, statement: str, values: Sequence[str]) -> list[Any]:
        rows: list[Any] = []
        with self._lock:
            for start in range(0, len(values), AT_A_TIME):
                some = list(values[start : start + AT_A_TIME])
                marks = ", ".join("?" * len(some))
                rows += self._connection.execute(f"{statement} ({marks})", some).fetchall()
        return rows


class _Transaction:
    """All of a block's statements, or none."""

    def __init__(self, connection: sqlite3.Connection, lock: threading.RLock, path: Path) -> None:
        self._connection, self._lock, self._path = connection, lock, path

    def __enter__(self) -> Any:
        self._lock.acquire()
        self._connection.execute("begin immediate")
        return self._connection.execute

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            self._connection.execute("commit" if kind is None else "rollback")
        finally:
            self._lock.release()
        if isinstance(error, sqlite3.Error):
            raise StoreError(f"{self._path} cannot be written: {error}") from error


def _values(image: StoredImage) -> tuple[Any, ...]:
    labels, seen = (json.dumps(words, ensure_ascii=False) for words in (image.attributes, image.predicted))
    known = image.image_id, image.item_id, image.version, image.category, image.domain
    return *known, labels, seen, image.probabilities


def _image(row: Sequence[Any]) -> StoredImage:
    image_id, item_id, version, category, domain, attributes, predicted, probabilities = row[:8]
    labels, seen = tuple(json.loads(attributes)), tuple(json.loads(predicted))
    return StoredImage(image_id, item_id, version, category, domain, labels, seen, probabilities)


def _selection(filters: Filters) -> tuple[str, list[str]]:
    """A statement that gives the numbers of the images that pass, and its values."""
    parts, values = [], []
    for column, words in conditions(filters):
        parts.append(f"select number from words where place = ? and word in ({', '.join('?' * len(words))})")
        values += [column, *words]
    return " intersect ".join(parts) or "select number from images", values
