"""The parquet source: shards of our own, near and far, streamed, and refused where they are of another kind."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFile

from croquis.catalog.table import SCHEMA, Catalog, CatalogWriter
from croquis.formats.errors import SourceError
from croquis.sources.parquet import Parquet, rows


def build(count: int, size: int = 40) -> list[dict[str, Any]]:
    chance = np.random.default_rng(0)
    return [
        {
            "image_id": f"i{number:03d}",
            "item_id": f"item-{number // 2}",
            "domain": "shop",
            "split": "train",
            "role": "train",
            "category": "hat",
            "view": "front" if number % 2 else None,
            "attributes": ["wool", f"n:{number}"] if number % 3 else [],
            "unknown_attributes": ["lined"] if number % 4 == 1 else None,
            "bbox": [0, 1, 2, number] if number % 2 else None,
            "image": chance.bytes(size),
        }
        for number in range(count)
    ]


ROWS = build(25)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with CatalogWriter(tmp_path / "shared", shard_rows=10) as writer:
        writer.write_all({**row, "width": 8, "sha256": "stale"} for row in ROWS)
    return tmp_path / "shared"


def read(path: str | Path, **options: Any) -> list[dict[str, Any]]:
    """What is read of the columns that `build` fills; the others must be empty."""
    found = list(rows(Parquet(path=str(path), storage_options=options), 7))
    assert all(row[name] is None for row in found for name in set(row) - set(ROWS[0]))
    return [{name: row[name] for name in ROWS[0] if name in row} for row in found]


def test_a_local_folder_a_file_url_and_a_single_file(folder: Path) -> None:
    assert read(folder) == ROWS
    assert read(folder.as_uri()) == ROWS
    assert read(folder / "part-00001.parquet") == ROWS[10:20]


def test_a_remote_folder(folder: Path) -> None:
    remote = fsspec.filesystem("memory")
    for path in folder.iterdir():
        remote.pipe_file(f"/bucket/team/{path.name}", path.read_bytes())
    remote.pipe_file("/bucket/team/_metadata.parquet", b"not for us")
    remote.pipe_file("/bucket/team/.partial/part-9.parquet", b"not for us")
    remote.pipe_file("/bucket/team/README.txt", b"not for us")
    try:
        assert read("memory://bucket/team") == ROWS
        assert read("memory://bucket/team/part-00002.parquet") == ROWS[20:]
        assert [row["image_id"] for row in read("memory://bucket")] == [row["image_id"] for row in ROWS]
    finally:
        remote.rm("/bucket", recursive=True)


def test_what_is_read_can_be_ingested_again(folder: Path, tmp_path: Path) -> None:
    with CatalogWriter(tmp_path / "again", shard_rows=4) as writer:
        writer.write_all(read(folder))
    again = Catalog.open(tmp_path / "again")
    assert [row["image"] for row in again.rows()] == [row["image"] for row in ROWS]
    assert again.column("sha256").tolist() == [None] * 25


def test_measured_and_unknown_columns_stay_out(folder: Path) -> None:
    table = pq.read_table(folder / "part-00000.parquet")
    pq.write_table(table.append_column("reason", pa.array(["x"] * 10)), folder / "part-00000.parquet")
    row = next(rows(Parquet(path=str(folder), storage_options={}), 7))
    assert set(row) == set(SCHEMA.names) - {"width", "height", "sha256", "phash"}


def test_types_that_other_writers_use(tmp_path: Path) -> None:
    columns = {
        "image_id": pa.array([1, 2]),
        "item_id": pa.array(["a", "b"]).cast(pa.large_string()),
        "domain": pa.array(["shop", "shop"]).dictionary_encode(),
        "split": pa.array(["train", "val"]),
        "role": pa.array(["train", "query"]),
        "category": pa.array(["hat", "hat"]),
        "attributes": pa.array([["x"], []], type=pa.large_list(pa.large_string())),
        "bbox": pa.array([[0, 0, 5, 6], None], type=pa.list_(pa.int64())),
        "image": pa.array([b"one", b"two"], type=pa.large_binary()),
        "price": pa.array([1.0, 2.0]),
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    first, second = read(tmp_path)
    assert first["image_id"] == "1"
    assert (first["attributes"], first["bbox"], first["image"]) == (["x"], [0, 0, 5, 6], b"one")
    assert second["bbox"] is None
    assert "view" not in first


def altered(folder: Path, name: str, change: Any) -> Path:
    """The second shard with one column changed, or dropped where `change` is None."""
    path = folder / "part-00001.parquet"
    table = pq.read_table(path)
    place = table.schema.get_field_index(name)
    table = table.remove_column(place) if change is None else table.set_column(place, name, change)
    pq.write_table(table, path)
    return path


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("category", None, r"part-00001.parquet lacks the column\(s\) \['category'\]; it has \['image_id'"),
        ("image", pa.array(["text"] * 10), r"part-00001.parquet, column image: is string, must be binary"),
        (
            "image",
            pa.array([{"bytes": b"x", "path": "p"}] * 10),
            r"column image: is struct<bytes: binary, path: string>, must be binary",
        ),
        ("attributes", pa.array(["a|b"] * 10), r"column attributes: is string, must be list<item: string>"),
        ("split", pa.array(["train"] * 4 + [None] * 6), r"part-00001.parquet, row 4, column split: empty"),
        ("bbox", pa.array([[0.5, 0.0, 1.0, 1.0]] * 10), r"part-00001.parquet, rows 0 to 9, column bbox: .*truncated"),
    ],
)
def test_faults_name_shard_and_column(folder: Path, name: str, change: Any, message: str) -> None:
    altered(folder, name, change)
    with pytest.raises(SourceError, match=message):
        read(folder)


def test_columns_are_checked_before_the_first_row(folder: Path) -> None:
    altered(folder, "role", None)
    altered(folder, "domain", None)
    (folder / "part-00002.parquet").write_bytes(b"PAR1 cut off")
    with pytest.raises(SourceError, match=r"has 2 problem\(s\)(?s:.*)'domain', 'role'(?s:.*)part-00002") as caught:
        next(rows(Parquet(path=str(folder), storage_options={}), 7))
    assert "cannot be read as Parquet" in str(caught.value)


def test_optional_columns_may_be_absent(folder: Path) -> None:
    altered(folder, "bbox", None)
    assert [row["image_id"] for row in read(folder)] == [row["image_id"] for row in ROWS]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/nowhere/at/all", r"'/nowhere/at/all' holds no \.parquet files; correct ingest\.parquet\.path"),
        ("memory://empty", r"holds no \.parquet files"),
        ("nosuch://bucket/x", r"'nosuch://bucket/x' cannot be listed: .*nosuch"),
    ],
)
def test_a_path_that_leads_nowhere(path: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read(path)


def test_a_file_system_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(SourceError, match=r"s3://bucket/x.*[Ii]nstall s3fs.*pip install s3fs"):
        read("s3://bucket/x")


@pytest.mark.parametrize("group", [300, 20])
def test_only_what_the_next_rows_need_is_fetched(group: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """12 MB, in one row group of many pages or in 15 groups: how much has been read at the first and at the last row."""
    table = pa.Table.from_pylist(build(300, size=40_000), schema=SCHEMA)
    stream = pa.BufferOutputStream()
    pq.write_table(table, stream, row_group_size=group, write_batch_size=20, compression="none")
    data = stream.getvalue().to_pybytes()
    fetched = [0]

    def counted(self: io.BytesIO, size: int = -1) -> bytes:
        found = io.BytesIO.read(self, size)
        fetched[0] += len(found)
        return found

    monkeypatch.setattr(MemoryFile, "read", counted, raising=False)
    remote = fsspec.filesystem("memory")
    remote.pipe_file("/large/t.parquet", data)
    try:
        reader = rows(Parquet(path="memory://large", storage_options={}), 7)
        next(reader)
        assert 40_000 < fetched[0] < 0.5 * len(data)
        assert sum(1 for _ in reader) == 299
        assert 0.9 * len(data) < fetched[0] < 1.5 * len(data)
    finally:
        remote.rm("/large", recursive=True)
