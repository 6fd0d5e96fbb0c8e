"""SQLite files of our own: synchronised on every commit, held by one process at a time, and known by a number in the header.

What was committed survives the end of the process and of the machine at any moment; half of a change is never read.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

LOCK_SECONDS = 0.5


class DatabaseError(RuntimeError):
    """A file cannot be opened as ours; the message says why."""


@dataclass(frozen=True)
class DatabaseKind:
    """One kind of our files.

    Attributes:
        name, holder: in errors: what the file is, and who may be holding it.
        application_id: tells it from other programs' databases.
        version: of the schema.
        schema: statements that fill a new file.
        fix: what to do where the file is something else.
        sharing: what to do where two want to hold it.
    """

    name: str
    holder: str
    application_id: int
    version: int
    schema: str
    fix: str
    sharing: str = "give each a folder of its own"


def open_database(path: Path, kind: DatabaseKind) -> sqlite3.Connection:
    """Opens or makes `path`, whose folder is made too, and keeps it locked until the connection is closed.

    Raises:
        DatabaseError: when it cannot be written, is in use, or holds something else.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise DatabaseError(f"{path} cannot be used: {error}") from error
    try:
        _prepare(connection, path, kind)
    except sqlite3.Error as error:
        connection.close()
        held = f"; another {kind.holder} may use it: {kind.sharing}" if "locked" in str(error) else ""
        raise DatabaseError(f"{path} cannot be used: {error}{held}") from error
    except DatabaseError:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, kind: DatabaseKind) -> None:
    execute = connection.execute
    execute("pragma locking_mode = exclusive")
    execute("pragma journal_mode = wal")
    execute("pragma synchronous = full")
    execute("begin immediate")  # takes the lock, and keeps it until the process ends
    known = execute("pragma application_id").fetchone()[0], execute("pragma user_version").fetchone()[0]
    if known == (0, 0) and not execute("select count(*) from sqlite_master").fetchone()[0]:
        for statement in filter(str.strip, kind.schema.split(";")):
            execute(statement)
        execute(f"pragma application_id = {kind.application_id}")
        execute(f"pragma user_version = {kind.version}")
    elif known != (kind.application_id, kind.version):
        found = f"application {known[0]:#x}, schema {known[1]}"
        raise DatabaseError(f"{path} is no {kind.name} of this version ({found}): {kind.fix}")
    execute("commit")
