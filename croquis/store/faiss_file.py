"""The file of a FAISS store: images, vectors and notes of deleted products in SQLite, and filters as look-ups in it.

It is synchronised on every commit, held by one process at a time, and known by a number in its header. What was committed
survives the end of the process and of the machine at any moment; half of a change is never read.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from croquis.arrays import Floats, Rows
from croquis.catalog.filters import Filters
from croquis.catalog.product import ProductPicture
from croquis.index.ranking import label_blind_keys
from croquis.store.image_rows import (
    image_cells,
    picture_cells,
    product_cells,
    product_condition,
    read_box,
    read_bytes,
    read_image_row,
    read_spec,
    read_text,
    read_whole,
    seen_rows,
    text_cell,
)
from croquis.store.vector_store import StoreChange, Stored, StoredImage, StoreError, StoreSpec, conditions
from croquis.words.text_table import TABLE, creation
from croquis.words.word_scores import Vocabulary, best_rows, word_scores

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
    thumbnail blob not null,
    bbox text,  -- JSON
    picture blob  -- the file as it came, where it is known
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
# Of the products' own columns; files of version 3, which has none, are given it when they are opened, as is the full text
# that files of version 4 lack too.
CELLS = """
create table if not exists cells (
    name text not null,
    value not null,  -- text, a number as real, true and false as integer
    number integer not null,
    primary key (name, value, number)
) without rowid;
create index if not exists cells_by_number on cells (number);
"""
APPLICATION, VERSION, OLDER = 0x43524F56, 5, (3, 4)  # "CROV", and the version of the schema
LOCK_SECONDS = 0.5
TEXT = f"insert into {TABLE} (rowid, text) values (?, ?)"
COLUMNS = "image_id, item_id, version, category, domain, attributes, predicted, probabilities"
AT_A_TIME = 500  # values in one statement
ROWS = 4096
WAL = "-wal"  # what the name of a file's log ends with
WAL_BEGINS = (b"\x37\x7f\x06\x82\x00\x2d\xe2\x18", b"\x37\x7f\x06\x83\x00\x2d\xe2\x18")  # magic, format 3007000
REMEDY = (
    "stop every process that uses it and put a copy of the file back, with its -wal where the copy has one; without a copy "
    "take it away and fill the version again"
)
PRIVATE = 0o600  # not readable by other users of the machine


class StoreFile:
    """One store's file, which one process at a time may use; safe to use from several threads.

    Args:
        path: an existing file, or where a new one shall stand.
        spec: of a new one; None to read that of the file.

    Attributes:
        lock: while it is held no change begins or ends.

    Raises:
        StoreError: when the file cannot be used, or has no record of what it keeps.
    """

    def __init__(self, path: Path, spec: StoreSpec | None = None) -> None:
        self.path = path
        self.lock = threading.RLock()
        self._seen: tuple[Any, tuple[Rows, npt.NDArray[np.uint8]]] | None = None
        self._connection = _opened(path, new=spec is not None)
        try:
            self.spec = self._record(spec)
            self._add_texts()
        except StoreError:
            self.close()
            raise

    def _record(self, spec: StoreSpec | None) -> StoreSpec:
        """Whose vectors the file keeps; `spec` is written into a new one."""
        with self._reading() as execute:
            if spec is not None:
                execute("insert into record values (?)", (json.dumps(asdict(spec)),))
            record = execute("select spec from record").fetchone()
            if record is None:
                raise StoreError(f"{self.path} was never finished: delete it and create the version again")
            return read_spec(record[0])

    def _add_texts(self) -> None:
        """The full text of every image, in a file that has none yet."""
        with self._reading() as execute:
            there = execute("select count(*) from sqlite_master where name = ?", (TABLE,)).fetchone()[0]
        if there:
            return
        with self._transaction() as execute:
            execute(creation(self.spec.tokenizer, kept=True))
            for images, _ in self.scan():
                ids = [image.image_id for image in images]
                numbers = dict(self._among("select image_id, number from images where image_id in", ids))
                rows = [(numbers[image.image_id], text_cell(image)) for image in images]
                self._connection.executemany(TEXT, rows)

    def by_words(self, text: str, k: int, filters: Filters, vocabulary: Vocabulary | None) -> tuple[list[str], Floats]:
        """Ids of the best `k` images by the words of a query, and their scores."""
        with self._reading() as execute:
            size = 1 + (execute("select max(number) from images").fetchone()[0] or 0)
            scores = word_scores(self._connection, text, size, vocabulary)
            if not filters.empty:
                passing = np.zeros(size, dtype=np.bool_)
                passing[[number for (number,) in execute(*_selection(filters)).fetchall()]] = True
                scores = np.where(passing, scores, 0.0)
            best = best_rows(scores, lambda rows: label_blind_keys(self._ids(rows)), k)
            return self._ids(best), scores[best]

    def seen(self, names: Sequence[str]) -> tuple[Rows, npt.NDArray[np.uint8]]:
        """See `seen_rows`, of every image; kept until something is written."""
        with self._reading() as execute:
            state = self._connection.total_changes
            if self._seen is None or self._seen[0] != (state, tuple(names)):
                rows = execute("select number, predicted, probabilities from images order by number").fetchall()
                self._seen = (state, tuple(names)), seen_rows(rows, names)
            return self._seen[1]

    def _ids(self, numbers: Rows) -> list[str]:
        found = dict(self._among("select number, image_id from images where number in", numbers.tolist()))
        return [read_text(found[number]) for number in numbers.tolist()]

    def write(self, change: StoreChange, stored: Stored) -> None:
        """All of a change, or none; `stored` are the vectors of its images."""
        pictures = {picture.image_id: picture for picture in change.pictures}
        with self._transaction() as execute:
            for item_id, version in change.deleted.items():
                execute("insert or replace into graves values (?, ?)", (item_id, version))
            self._forget([*change.gone, *(image.image_id for image in change.images)])
            for image, vector, thumbnail in zip(change.images, stored, change.thumbnails, strict=True):
                kept = picture_cells(pictures.get(image.image_id))
                values = (*image_cells(image), vector.tobytes(), thumbnail, *kept)
                marks = ", ".join("?" * len(values))
                statement = f"insert into images ({COLUMNS}, vector, thumbnail, bbox, picture) values ({marks})"
                number = execute(statement, values)
                words = {("category", image.category), ("domain", image.domain)}
                words |= {("attributes", name) for name in image.attributes}
                rows = [(*word, number.lastrowid) for word in words]
                self._connection.executemany("insert into words values (?, ?, ?)", rows)
                cells = product_cells(image, number.lastrowid)
                self._connection.executemany("insert into cells values (?, ?, ?)", cells)
                execute(TEXT, (number.lastrowid, text_cell(image)))

    def deletions_of(self, item_ids: Sequence[str] | None = None) -> dict[str, int]:
        """Version of the deletion of each product that is deleted; of all products when `item_ids` is None."""
        with self._reading() as execute:
            if item_ids is None:
                rows = execute("select item_id, version from graves").fetchall()
            else:
                rows = self._among("select item_id, version from graves where item_id in", item_ids)
            return {read_text(item_id): read_whole(version) for item_id, version in rows}

    def images(self, column: str, values: Sequence[str]) -> list[StoredImage]:
        """Images whose `image_id` or `item_id` is one of `values`, in the order in which they were written."""
        with self._reading():
            rows = self._among(f"select {COLUMNS}, number from images where {column} in", values)
            ordered = sorted(rows, key=lambda row: int(row[-1]))
            return [read_image_row(row, cells) for row, cells in zip(ordered, self._cells(ordered), strict=True)]

    def thumbnails(self, image_ids: Sequence[str]) -> dict[str, bytes]:
        """JPEG of each of those images that are there."""
        with self._reading():
            rows = self._among("select image_id, thumbnail from images where image_id in", image_ids)
            return {image_id: read_bytes(jpeg) for image_id, jpeg in rows}

    def pictures(self, image_ids: Sequence[str]) -> dict[str, ProductPicture]:
        """The files of those images whose file is kept."""
        statement = "select image_id, picture, bbox from images where picture is not null and image_id in"
        with self._reading():
            rows = self._among(statement, image_ids)
            return {
                image_id: ProductPicture(image_id, read_bytes(data), read_box(bbox)) for image_id, data, bbox in rows
            }

    def changed_products(self) -> list[str]:
        """Those that were changed since the store was filled, deletions included."""
        with self._reading() as execute:
            rows = execute(
                "select item_id from images where version > 0 union select item_id from graves order by item_id"
            ).fetchall()
        return [item_id for (item_id,) in rows]

    def count(self, filters: Filters) -> int:
        """Images that pass."""
        query, values = _selection(filters)
        with self._reading() as execute:
            return int(execute(f"select count(*) from ({query})", values).fetchone()[0])

    def select(self, filters: Filters) -> list[str]:
        """Ids of the images that pass."""
        query, values = _selection(filters)
        with self._reading() as execute:
            found = execute(f"select image_id from images where number in ({query})", values)
            return [image_id for (image_id,) in found.fetchall()]

    def scan(self) -> Iterator[tuple[list[StoredImage], Stored]]:
        """Every image that is there all the while, with its vector."""
        last = 0
        while True:
            statement = f"select {COLUMNS}, vector, number from images where number > ? order by number limit {ROWS}"
            with self._reading() as execute:
                rows = execute(statement, (last,)).fetchall()
                if not rows:
                    return
                images = [read_image_row(row, cells) for row, cells in zip(rows, self._cells(rows), strict=True)]
                part = images, self.spec.read([row[-2] for row in rows])
            last = rows[-1][-1]
            yield part

    def close(self) -> None:
        """Closes the database, after a change under way."""
        with self.lock:
            self._connection.close()

    @contextmanager
    def _reading(self) -> Iterator[Any]:
        """A block's statements and what it makes of their rows; an unreadable file is reported with its name and the fix."""
        with self.lock:
            try:
                yield self._connection.execute
            except (sqlite3.Error, ValueError, TypeError, RecursionError) as error:
                raise StoreError(f"{self.path} cannot be read: {error}: {REMEDY}") from error

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        """All of a block's statements, or none."""
        with self.lock:
            try:
                with self._connection:  # commits, or rolls back what SQLite has not rolled back itself
                    self._connection.execute("begin immediate")
                    yield self._connection.execute
            except sqlite3.Error as error:
                raise StoreError(f"{self.path} cannot be written: {error}") from error

    def _forget(self, image_ids: Sequence[str]) -> None:
        for row in self._among("select number from images where image_id in", image_ids):
            self._connection.execute("delete from words where number = ?", row)
            self._connection.execute("delete from cells where number = ?", row)
            self._connection.execute(f"delete from {TABLE} where rowid = ?", row)
            self._connection.execute("delete from images where number = ?", row)

    def _cells(self, rows: Sequence[Any]) -> list[list[tuple[Any, Any]]]:
        """Names and values of the products' own columns, for rows that end with their number."""
        found: dict[int, list[tuple[Any, Any]]] = {row[-1]: [] for row in rows}
        for number, name, value in self._among("select number, name, value from cells where number in", list(found)):
            found[number].append((name, value))
        return list(found.values())

    def _among(self, statement: str, values: Sequence[Any]) -> list[Any]:
        rows: list[Any] = []
        with self.lock:
            for start in range(0, len(values), AT_A_TIME):
                some = list(values[start : start + AT_A_TIME])
                marks = ", ".join("?" * len(some))
                rows += self._connection.execute(f"{statement} ({marks})", some).fetchall()
        return rows


def _opened(path: Path, *, new: bool) -> sqlite3.Connection:
    """Opens or makes a file, whose folder is made too, and keeps it locked until the connection is closed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not new:
            _check_whole(path)
        path.touch(PRIVATE)  # SQLite gives what it makes beside it the same mode
        for kept in (path, path.with_name(f"{path.name}-wal")):
            if kept.is_file():  # as earlier versions made them
                with suppress(PermissionError):  # of another owner
                    kept.chmod(PRIVATE)
        connection = sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{path} cannot be used: {error}") from error
    try:
        _prepare(connection, path)
    except sqlite3.Error as error:
        connection.close()
        sharing = "a server takes events itself (croquis serve --ingest), and a Milvus server takes several"
        held = f"another process may use it, one at a time: {sharing}"
        raise StoreError(f"{path} cannot be used: {error}; {held if 'locked' in str(error) else REMEDY}") from error
    except StoreError:
        connection.close()
        raise
    return connection


def _check_whole(path: Path) -> None:
    """Refuses what SQLite would pass over in silence: it makes an empty file new, and drops a log that begins wrongly."""
    if not path.stat().st_size:
        raise StoreError(f"{path} has 0 bytes, what it kept is not in it: {REMEDY}")
    log = path.with_name(path.name + WAL)
    begin = log.read_bytes() if log.is_file() else b""
    if begin.strip(b"\0") and not begin.startswith(WAL_BEGINS):
        raise StoreError(f"{log} is no log of SQLite, and the last changes of {path.name} may be in it: {REMEDY}")


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    execute = connection.execute
    execute("pragma locking_mode = exclusive")
    execute("pragma journal_mode = wal")
    execute("pragma synchronous = full")
    execute("begin immediate")  # takes the lock, and keeps it until the process ends
    known = execute("pragma application_id").fetchone()[0], execute("pragma user_version").fetchone()[0]
    if known == (0, 0) and not execute("select count(*) from sqlite_master").fetchone()[0]:
        for statement in filter(str.strip, (SCHEMA + CELLS).split(";")):
            execute(statement)
        execute(f"pragma application_id = {APPLICATION}")
        execute(f"pragma user_version = {VERSION}")
    elif known in [(APPLICATION, older) for older in OLDER]:
        for statement in filter(str.strip, CELLS.split(";")):
            execute(statement)
        execute(f"pragma user_version = {VERSION}")
    elif known != (APPLICATION, VERSION):
        found = f"application {known[0]:#x}, schema {known[1]}"
        raise StoreError(f"{path} is no vector store of this version ({found}): fill a store in another folder")
    execute("commit")


def _selection(filters: Filters) -> tuple[str, list[Any]]:
    """A statement that gives the numbers of the images that pass, and its values."""
    parts: list[str] = []
    values: list[Any] = []
    for column, words in conditions(filters):
        parts.append(f"select number from words where place = ? and word in ({', '.join('?' * len(words))})")
        values += [column, *words]
    for asked in filters.product:
        statement, held = product_condition(asked)
        parts.append(statement)
        values += held
    return " intersect ".join(parts) or "select number from images", values
