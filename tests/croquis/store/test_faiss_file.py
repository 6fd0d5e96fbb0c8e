"""The file of a FAISS store: whole changes or none, by one process at a time, and nothing else is taken for it."""

from __future__ import annotations

import dataclasses
import shutil
import sqlite3
from pathlib import Path

import pytest

from croquis.catalog.product import ProductPicture
from croquis.store.faiss_file import StoreFile
from croquis.store.products import ItemState, apply
from croquis.store.snapshot import save_snapshot
from croquis.store.vector_store import StoreError, VectorStore
from croquis.store.versions import open_stores
from tests.support.store.store_sample import SPEC, image, vectors


def state(version: int, *files: bytes) -> ItemState:
    """A product with the pictures `files`; deleted without any."""
    pictures = tuple(ProductPicture.of("a", file, (1, 2, 30, 40)) for file in files)
    images = tuple(
        dataclasses.replace(image(number), image_id=picture.image_id, item_id="a", version=version)
        for number, picture in enumerate(pictures)
    )
    return ItemState("a", version, images, vectors(len(files), seed=version), (b"jpeg",) * len(files), pictures)


def new_store(folder: Path) -> VectorStore:
    return open_stores(f"faiss:{folder}", "shop").create(SPEC)


def held(store: VectorStore) -> tuple[list[ProductPicture], dict[str, int]]:
    """The pictures of the product in their order, and what was deleted."""
    kept = store.pictures([each.image_id for each in store.images_of(["a"])])  # type: ignore[attr-defined]
    return list(kept.values()), store.deletions()


def test_pictures_are_kept_in_their_order_with_the_product(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    later, first = state(1, b"9", b"1"), state(2, b"333")
    apply(store, [later])
    assert [each.image_id for each in store.images_of(["a"])] == [each.image_id for each in later.pictures]
    assert held(store) == (list(later.pictures), {})
    apply(store, [first])
    assert held(store) == (list(first.pictures), {})
    apply(store, [state(3)])
    assert held(store) == ([], {"a": 3})
    assert store.changed_products() == ["a"]  # type: ignore[attr-defined]


def test_every_commit_is_synchronised(tmp_path: Path) -> None:
    connection = StoreFile(tmp_path / "store.sqlite", SPEC)._connection
    found = {name: connection.execute(f"pragma {name}").fetchone()[0] for name in ("journal_mode", "synchronous")}
    assert found == {"journal_mode": "wal", "synchronous": 2}


def test_nobody_else_can_read_a_catalogue(tmp_path: Path) -> None:
    store = new_store(tmp_path / "store")
    apply(store, [state(1, b"9", b"1")])
    kept = [path for path in (tmp_path / "store").rglob("*.sqlite*") if path.is_file()]
    assert {path.suffix for path in kept} >= {".sqlite", ".sqlite-wal"}
    save_snapshot(store, tmp_path / "saved")
    assert readable_by_others([*kept, tmp_path / "saved", tmp_path / "saved/images.parquet"]) == []
    store.close()
    (file,) = (path for path in kept if path.suffix == ".sqlite")
    file.chmod(0o664)  # as an earlier version made it
    StoreFile(file).close()
    assert readable_by_others([file]) == []


def readable_by_others(paths: list[Path]) -> list[str]:
    return [path.name for path in paths if path.stat().st_mode & 0o077]


def test_a_torn_last_change_is_dropped(tmp_path: Path) -> None:
    """As a machine that stops in the middle of a write leaves it: every length of the last change, from none to all."""
    store = new_store(tmp_path / "store")
    apply(store, [state(1, b"one")])
    wal = tmp_path / f"store/shop/{store.name}.sqlite-wal"
    whole_before = wal.stat().st_size
    apply(store, [state(2, b"two", b"three")])
    size, states = wal.stat().st_size, []
    for length in [*range(whole_before, size, (size - whole_before) // 6), size]:
        shutil.rmtree(tmp_path / "torn", ignore_errors=True)
        shutil.copytree(tmp_path / "store", tmp_path / "torn")
        torn = tmp_path / f"torn/shop/{wal.name}"
        torn.write_bytes(wal.read_bytes()[:length] + bytes(0 if length == size else 64))
        read = open_stores(f"faiss:{tmp_path / 'torn'}", "shop")
        states.append([each.data for each in held(read.look_at(store.name))[0]])
        read.close()
    one, two = [b"one"], [b"two", b"three"]
    assert (states[0], states[-1]) == (one, two)
    assert states == sorted(states, key=lambda found: found == two)  # from one whole state to the other
    assert all(found in (one, two) for found in states)


def test_a_change_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    apply(store, [state(1, b"1")])
    connection = store._file._connection  # type: ignore[attr-defined]
    connection.execute("pragma max_page_count = 20")  # a full disk
    with pytest.raises(StoreError, match="cannot be written: database or disk is full"):
        apply(store, [state(2, bytes(1_000_000))])
    connection.execute("pragma max_page_count = 100000")
    assert [each.data for each in held(store)[0]] == [b"1"]
    assert [each.image.version for each in store.search(vectors(1, seed=1), 5)[0]] == [1]
    assert (store.words().images, apply(store, [state(2)])) == (1, 1)


def test_what_is_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database, and longer than the head of one, which has a hundred bytes" * 4)
    with sqlite3.connect(tmp_path / "other") as other:
        other.execute("create table notes (text)")
    other.close()
    for name, words in (("text", "not a database"), ("other", "no vector store of this version .* in another folder")):
        with pytest.raises(StoreError, match=words):
            StoreFile(tmp_path / name)
