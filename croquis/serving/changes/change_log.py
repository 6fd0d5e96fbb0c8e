"""What has happened to the catalogue since the bundles were built, on disk: the newest state of every changed product.

SQLite with a write-ahead log, synchronised on every commit: a change that was written survives the end of the process and
of the machine at any moment, half of one is never read, and since a product's row is replaced nothing has to be compacted.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from croquis.catalog.product import Product, ProductPicture
from croquis.store.sqlite_file import DatabaseError, DatabaseKind, open_database

FILE = "catalogue.sqlite"
SCHEMA = """
create table products (
    item_id text primary key,
    sequence integer not null unique,
    version integer not null,
    category text,   -- null: the product was deleted
    attributes text  -- JSON
);
create table pictures (
    item_id text not null,
    place integer not null,
    image_id text not null,
    bbox text,  -- JSON
    data blob not null,
    primary key (item_id, place)
);
"""
KIND = DatabaseKind("catalogue", "server", 0x43524F51, 1, SCHEMA, "give --changes another folder")  # "CROQ"


class ChangeLogError(RuntimeError):
    """The folder of changes cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class CatalogueChange:
    """The newest change of one product.

    Attributes:
        sequence: from 1; larger for later changes.
        version: of the product; larger for newer states of it.
        product: None when it was deleted.
    """

    sequence: int
    item_id: str
    version: int
    product: Product | None


class ChangeLog:
    """Changes in `folder`, which one process at a time may use; safe to use from several threads.

    Raises:
        ChangeLogError: when the folder cannot be written, is used by another process, or holds something else.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._lock = threading.Lock()
        try:
            self._connection = open_database(self._path, KIND)
        except DatabaseError as error:
            raise ChangeLogError(str(error)) from error

    def write(self, item_id: str, version: int, product: Product | None) -> int:
        """Replaces what is known of a product, and returns the change's sequence; on disk when this returns.

        Args:
            product: None when it is deleted; its pictures are deleted too.

        Raises:
            ChangeLogError: when it could not be written; nothing is changed then.
        """
        values = (None, None) if product is None else (product.category, json.dumps(product.attributes))
        pictures = () if product is None else product.pictures
        with self._lock:
            try:
                with self._connection:
                    self._connection.execute("begin immediate")
                    sequence = self._last() + 1
                    self._connection.execute("delete from pictures where item_id = ?", (item_id,))
                    self._connection.execute(
                        "insert or replace into products values (?, ?, ?, ?, ?)", (item_id, sequence, version, *values)
                    )
                    self._connection.executemany(
                        "insert into pictures values (?, ?, ?, ?, ?)",
                        [
                            (item_id, place, picture.image_id, picture.bbox and json.dumps(picture.bbox), picture.data)
                            for place, picture in enumerate(pictures)
                        ],
                    )
            except sqlite3.Error as error:
                raise ChangeLogError(f"{self._path} cannot be written: {error}") from error
        return sequence

    def version(self, item_id: str) -> int:
        """The newest version of a product; 0 when it was never changed."""
        with self._lock:
            row = self._connection.execute("select version from products where item_id = ?", (item_id,)).fetchone()
        return int(row[0]) if row else 0

    @property
    def sequence(self) -> int:
        """Of the last change; 0 before the first."""
        with self._lock:
            return self._last()

    def since(self, sequence: int) -> Iterator[CatalogueChange]:
        """The products that changed after `sequence`, in that order; pictures are read one product at a time."""
        with self._lock:
            found = self._connection.execute(
                "select item_id from products where sequence > ? order by sequence", (sequence,)
            ).fetchall()
        for (item_id,) in found:
            yield self._read(item_id)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _read(self, item_id: str) -> CatalogueChange:
        with self._lock:
            sequence, version, category, attributes = self._connection.execute(
                "select sequence, version, category, attributes from products where item_id = ?", (item_id,)
            ).fetchone()
            rows = self._connection.execute(
                "select image_id, data, bbox from pictures where item_id = ? order by place", (item_id,)
            ).fetchall()
        if category is None:
            return CatalogueChange(sequence, item_id, version, None)
        pictures = tuple(
            ProductPicture(image_id, data, None if bbox is None else tuple(json.loads(bbox)))
            for image_id, data, bbox in rows
        )
        return CatalogueChange(
            sequence, item_id, version, Product(item_id, category, tuple(json.loads(attributes)), pictures)
        )

    def _last(self) -> int:
        return int(self._connection.execute("select coalesce(max(sequence), 0) from products").fetchone()[0])
