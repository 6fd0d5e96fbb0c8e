"""The log of changes: what is written is read back, by one process at a time, and nothing else is taken for it."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from croquis.catalog.product import Product, ProductPicture
from croquis.serving.changes.change_log import FILE, CatalogueChange, ChangeLog, ChangeLogError


def product(item_id: str, *files: bytes, category: str = "dress") -> Product:
    pictures = tuple(ProductPicture.of(item_id, file, (1, 2, 30, 40)) for file in files)
    return Product(item_id, category, ("colour:red", "é"), pictures)


def test_the_newest_state_of_each_product_is_read_back_in_order(tmp_path: Path) -> None:
    log = ChangeLog(tmp_path / "new" / "folder")
    assert (log.sequence, list(log.since(0)), log.version("a")) == (0, [], 0)
    first, second = product("a", b"1", b"22"), product("b", bytes(100_000))
    assert [log.write("a", 1, first), log.write("b", 7, second), log.write("a", 2, None)] == [1, 2, 3]
    assert list(log.since(0)) == [CatalogueChange(2, "b", 7, second), CatalogueChange(3, "a", 2, None)]
    assert list(log.since(2)) == [CatalogueChange(3, "a", 2, None)]
    again = product("a", b"333", category="coat")
    log.write("a", 3, again)
    log.close()
    reopened = ChangeLog(tmp_path / "new" / "folder")
    assert list(reopened.since(0)) == [CatalogueChange(2, "b", 7, second), CatalogueChange(4, "a", 3, again)]
    assert (reopened.sequence, reopened.version("a"), reopened.version("b")) == (4, 3, 7)


def test_every_commit_is_synchronised(tmp_path: Path) -> None:
    log = ChangeLog(tmp_path)
    settings = {
        name: log._connection.execute(f"pragma {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
    }
    assert settings == {"journal_mode": "wal", "synchronous": 2}


def test_a_torn_last_record_is_dropped(tmp_path: Path) -> None:
    """As a machine that stops in the middle of a write leaves it: every length of the last record, from none to all."""
    log = ChangeLog(tmp_path / "log")
    log.write("a", 1, product("a", b"one"))
    wal = tmp_path / "log" / f"{FILE}-wal"
    whole_before = wal.stat().st_size
    log.write("a", 2, product("a", b"two", b"three"))
    size = wal.stat().st_size
    states = []
    for length in [*range(whole_before, size, (size - whole_before) // 6), size]:
        shutil.rmtree(tmp_path / "torn", ignore_errors=True)
        shutil.copytree(tmp_path / "log", tmp_path / "torn")
        torn = tmp_path / "torn" / f"{FILE}-wal"
        torn.write_bytes(wal.read_bytes()[:length] + bytes(0 if length == size else 64))
        read = ChangeLog(tmp_path / "torn")
        states.append([(change.version, change.product) for change in read.since(0)])
        read.close()
    one, two = [(1, product("a", b"one"))], [(2, product("a", b"two", b"three"))]
    assert states[0] == one
    assert states[-1] == two
    assert states == sorted(
        states, key=lambda state: state == two
    )  # from one whole state to the other, nothing between
    assert all(state in (one, two) for state in states)


def test_one_server_at_a_time(tmp_path: Path) -> None:
    log = ChangeLog(tmp_path)
    log.write("a", 1, None)
    with pytest.raises(ChangeLogError, match="is locked; another server may use it: give each a folder of its own"):
        ChangeLog(tmp_path)
    log.close()
    assert ChangeLog(tmp_path).sequence == 1


def test_what_is_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / FILE).write_text("no database, and longer than the head of one, which has a hundred bytes" * 4)
    (tmp_path / "other").mkdir()
    with sqlite3.connect(tmp_path / "other" / FILE) as other:
        other.execute("create table notes (text)")
    other.close()
    (tmp_path / "file").write_text("")
    for folder, words in (
        ("text", "not a database"),
        ("other", "no catalogue of this version .* give --changes another folder"),
        ("file", "File exists"),
    ):
        with pytest.raises(ChangeLogError, match=words):
            ChangeLog(tmp_path / folder)


def test_a_change_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    log = ChangeLog(tmp_path)
    log.write("a", 1, product("a", b"1"))
    log._connection.execute("pragma max_page_count = 20")  # a full disk
    with pytest.raises(ChangeLogError, match="cannot be written: database or disk is full"):
        log.write("a", 2, product("a", bytes(1_000_000)))
    log._connection.execute("pragma max_page_count = 100000")
    assert list(log.since(0)) == [CatalogueChange(1, "a", 1, product("a", b"1"))]
    assert log.write("a", 2, None) == 2
