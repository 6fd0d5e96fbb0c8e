"""What cannot be read of a FAISS store is told with the file and the remedy; nothing begins anew in silence."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from croquis.catalog.filters import Filters
from croquis.catalog.product import ProductPicture
from croquis.catalog.product_columns import ColumnFilter
from croquis.store.faiss_store import FaissStore
from croquis.store.image_rows import read_box, read_image_row, read_spec
from croquis.store.products import known_versions
from croquis.store.snapshot import load_snapshot, save_snapshot
from croquis.store.vector_store import StoreChange, StoreError
from croquis.store.versions import open_stores
from tests.support.mutations import tried
from tests.support.store.store_sample import SPEC, image, vectors

PAGE = 4096
Damage = Callable[[bytes], bytes]
CELLS = st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=8) | st.binary(max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4), st.lists, max_leaves=3
)
COLUMNS = ["image_id", "item_id", "version", "category", "domain", "attributes", "predicted", "probabilities"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with a closed store of some pages, and the name of its version; treat it as read-only."""
    folder = tmp_path_factory.mktemp("whole")
    stores = open_stores(f"faiss:{folder}", "shop")
    store = stores.create(SPEC)
    images = [image(number) for number in range(60)]
    files = [ProductPicture(each.image_id, bytes([number]) * 900, (0, 0, 9, 9)) for number, each in enumerate(images)]
    store.change(StoreChange(images, vectors(60), [b"jpeg"] * 60, deleted={"gone": 4}, pictures=files))
    stores.publish(store.name)
    stores.close()
    return folder, store.name


def file_of(folder: Path, name: str) -> Path:
    return folder / f"shop/{name}.sqlite"


def read_all(folder: Path, name: str) -> int:
    """Everything that a store tells; the number of images."""
    stores = open_stores(f"faiss:{folder}", "shop")
    try:
        store = stores.look_at(name)
        assert isinstance(store, FaissStore)
        found = [each for images, _ in store.scan() for each in images]
        ids, items = [each.image_id for each in found], [each.item_id for each in found]
        known_versions(store, [*items, "gone"])
        store.deletions(), store.changed_products(), store.thumbnails(ids), store.pictures(ids), store.get(ids)
        store.count(Filters(category=("coat",))), store.count(Filters(product=(ColumnFilter("price", (1.0,)),)))
        store.search(vectors(1), 3, Filters(colour=("red",))), store.words()
        store.search_words("coat", 3, Filters(), ()), store.search_words("red", 3, Filters(), ("colour:red",))
        return len(found)
    finally:
        stores.close()


def told_by(folder: Path, name: str) -> str:
    try:
        read_all(folder, name)
    except StoreError as error:
        return str(error)
    return ""


@pytest.fixture
def damaged(whole: tuple[Path, str], tmp_path: Path) -> Callable[[Damage], str]:
    """Damages a copy of the store's file and reads all of it; what is said, or nothing."""

    def read(damage: Damage) -> str:
        folder = tmp_path / "damaged"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole[0], folder)
        file = file_of(folder, whole[1])
        file.write_bytes(damage(file.read_bytes()))
        said = told_by(folder, whole[1])
        if said:
            assert str(file) in said
            assert "put a copy of the file back" in said or "no vector store of this version" in said
            assert "\n" not in said
        return said

    return read


def zeroed(page: int) -> Damage:
    return lambda data: data[: page * PAGE] + bytes(PAGE) + data[(page + 1) * PAGE :]


def test_every_page_may_be_lost(damaged: Callable[[Damage], str], whole: tuple[Path, str]) -> None:
    pages = file_of(*whole).stat().st_size // PAGE
    said = [damaged(zeroed(page)) for page in range(pages)]
    assert pages > 30
    assert sum(not words for words in said) <= 4  # of an index that only changes use, and of texts that no search reads
    assert read_all(*whole) == 60


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:100],
        lambda data: data[:PAGE] + np.random.default_rng(1).bytes(len(data) - PAGE),
        lambda data: data[PAGE:] + data[:PAGE],
        lambda data: data.replace(b'["red"', b'["red,').replace(b'["colour', b'{"colour'),
        lambda data: data.replace(b"cosine", b"cosinf"),
        lambda data: data.replace(b'"dim": 16', b'"dim": 17'),
        lambda data: data.replace(b'"dim": 16', b'"dim": -1'),
        lambda data: data.replace(b'"dim": 16', b'"dim": {}'),
    ],
)
def test_other_damage_is_told(damage: Damage, damaged: Callable[[Damage], str]) -> None:
    assert "cannot be" in damaged(damage)


def test_an_empty_file_does_not_begin_anew(damaged: Callable[[Damage], str]) -> None:
    assert "has 0 bytes, what it kept is not in it" in damaged(lambda _: b"")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda wal: b"\x37\x7f\x06\x82\x00\x2d\xe2\x19" + wal[8:], "is no log of SQLite"),  # of a later format
        (lambda wal: bytes(32) + wal[32:], "is no log of SQLite"),
        (lambda _: b"text" * 100, "is no log of SQLite"),
        (lambda wal: bytes(len(wal)), None),  # a machine that stopped before anything was written
    ],
)
def test_a_log_of_another_kind_is_told(change: Damage, words: str | None, tmp_path: Path) -> None:
    stores = open_stores(f"faiss:{tmp_path / 'store'}", "shop")
    store = stores.create(SPEC)
    store.upsert([image(1)], vectors(1))
    shutil.copytree(tmp_path / "store", tmp_path / "copy")  # as a process that is killed leaves it
    stores.close()
    log = tmp_path / f"copy/shop/{store.name}.sqlite-wal"
    assert log.stat().st_size > PAGE
    log.write_bytes(change(log.read_bytes()))
    if words is None:
        with pytest.raises(StoreError, match=r"was never finished|cannot be"):
            read_all(tmp_path / "copy", store.name)
        return
    with pytest.raises(StoreError, match=words) as refused:
        read_all(tmp_path / "copy", store.name)
    assert str(log) in str(refused.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null", '{"current": "a"}', "\ufeff{}", "[" * 100_000])
def test_a_damaged_pointer_is_told(text: str, whole: tuple[Path, str], tmp_path: Path) -> None:
    shutil.copytree(whole[0], tmp_path / "copy")
    pointer = tmp_path / "copy/shop/current.json"
    pointer.write_text(text)
    stores = open_stores(f"faiss:{tmp_path / 'copy'}", "shop")
    with pytest.raises(StoreError, match=f"current.json, which names the current .* publish one of {whole[1]}"):
        stores.look_at()
    pointer.unlink()
    stores.publish(whole[1])
    assert stores.look_at().count() == 60
    stores.close()


@tried(60)
@given(st.tuples(*[CELLS] * 5, CELLS | JSON.map(json.dumps), JSON.map(json.dumps), CELLS))
@example(["a", "b", 1, "c", "shop", "[" * 100_000, "[]", None])
@example(["a", "b", 1, "c", "shop", '{"a": 1}', "[]", None])
@example(["a", "b", 1, "c", "shop", "[]", '["a", 7]', None])
@example(["a", "b", 1.0, "c", "shop", "[]", "[]", "text"])
@example(["a", "b", 1, "c", "shop", "9" * 5000, "[]", None])
def test_a_row_of_anything_is_read_or_refused(row: Sequence[Any]) -> None:
    try:
        read = read_image_row(row)
    except (TypeError, ValueError, RecursionError):
        return
    assert all(type(word) is str for word in (*read.attributes, *read.predicted, read.image_id, read.item_id))
    assert type(read.version) is int


@tried(100)
@given(JSON.map(json.dumps) | st.text() | st.binary(), st.sampled_from([*SPEC.__dataclass_fields__]), JSON)
@example("[1, 2, 3, true]", "dim", 2**70)
@example("[1, 2, 3]", "codebooks", "1x1x1:")
@example("{}", "dim", 0)
def test_a_record_or_box_of_anything_is_read_or_refused(cell: Any, field: str, value: Any) -> None:
    spec = {name: getattr(SPEC, name) for name in SPEC.__dataclass_fields__}
    for read, text in ((read_box, cell), (read_spec, cell), (read_spec, json.dumps(spec | {field: value}))):
        try:
            read(text)
        except (TypeError, ValueError, RecursionError):
            continue


@pytest.mark.slow
@tried(25)
@given(st.sampled_from([*COLUMNS, "vector", "thumbnail", "bbox", "picture"]), CELLS | JSON.map(json.dumps))
@example("vector", b"")
@example("vector", b"\0" * 60)
@example("vector", np.full(16, np.nan, dtype=np.float32).tobytes())
@example("attributes", "[")
@example("bbox", "[1, 2, 3]")
@example("version", "one")
@example("image_id", b"\xff")
def test_a_cell_of_anything_is_told_with_its_file(
    whole: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory, column: str, cell: Any
) -> None:
    folder = tmp_path_factory.mktemp("cell") / "copy"
    shutil.copytree(whole[0], folder)
    file = file_of(folder, whole[1])
    connection = sqlite3.connect(file)
    with contextlib.suppress(sqlite3.IntegrityError, UnicodeEncodeError), connection:  # no file holds such a cell
        connection.execute(f"update images set {column} = ? where number = 7", (cell,))
    connection.close()
    said = told_by(folder, whole[1])
    assert not said or said.startswith(f"{file} cannot be read: ")
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["spec.json", "graves.json", "images.parquet"])
@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"a": "b"}', b"\xff\xfe", b"PAR1" * 9, b"[" * 100_000])
def test_a_damaged_snapshot_leaves_no_version(name: str, data: bytes, whole: tuple[Path, str], tmp_path: Path) -> None:
    stores = open_stores(f"faiss:{whole[0]}", "shop")
    save_snapshot(stores.look_at(), tmp_path / "saved")
    stores.close()
    (tmp_path / "saved" / name).write_bytes(data)
    other = open_stores(f"faiss:{tmp_path / 'other'}", "shop")
    with pytest.raises(StoreError, match="saved is no snapshot of a store"):
        load_snapshot(tmp_path / "saved", other)
    assert other.versions() == []
    other.close()


def test_a_snapshot_that_is_given_up_leaves_no_version(
    whole: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = open_stores(f"faiss:{whole[0]}", "shop")
    save_snapshot(stores.look_at(), tmp_path / "saved")
    stores.close()
    other = open_stores(f"faiss:{tmp_path / 'other'}", "shop")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("croquis.store.snapshot._parts", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_snapshot(tmp_path / "saved", other)
    assert other.versions() == []
    other.close()
