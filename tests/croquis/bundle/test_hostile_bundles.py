"""A bundle is its manifest's files and nothing beside them: links, doubles, paths, and files of another kind are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from croquis.bundle import Bundle, BundleError
from croquis.bundle.gallery_file import GALLERY_SCHEMA, ItemsError, write_gallery
from croquis.bundle.gallery_table import GalleryTable
from croquis.files import read_json, sha256_file
from tests.support.tiny_retriever import gallery_rows, write_tiny_bundle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_bundle(tmp_path / "bundle")


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    values = read_json(folder / "manifest.json")
    change(values)
    (folder / "manifest.json").write_text(json.dumps(values))


@pytest.mark.parametrize("name", ["gallery.parquet", "encoder.onnx", "index.faiss", "manifest.json"])
def test_a_link_is_no_file_of_a_bundle(folder: Path, name: str) -> None:
    outside = folder.parent / name
    shutil.move(folder / name, outside)
    (folder / name).symlink_to(outside)
    with pytest.raises(BundleError, match=f"{name} is a link"):
        Bundle.load(folder)


def test_the_folder_itself_may_be_a_link(folder: Path) -> None:
    (folder.parent / "link").symlink_to(folder)
    assert Bundle.load(folder.parent / "link").hash == Bundle.load(folder).hash


@pytest.mark.parametrize(
    "name",
    [
        *("../index.faiss", "/etc/passwd", "sub/index.faiss", "a\\b", "", ".", "..", ".hidden", "Manifest.json"),
        *("index\0.faiss", "index.faiss\n", "i\u0301ndex", "encoder.ONNX", "-x", "x" * 101),
    ],
)
def test_a_name_means_one_file_on_every_file_system(folder: Path, name: str) -> None:
    def change(values: dict[str, Any]) -> None:
        values["index"]["file"] = name
        values["files"][name] = values["files"].pop("index.faiss")

    rewrite(folder, change)
    with pytest.raises(BundleError, match=r"is not a plain file name|are not different"):
        Bundle.load(folder)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
        '{"schema_version": [2]}',
        '{"schema_version": 2, "method": "\\ud800"}',
        '{"schema_version": 2, "method": NaN}',
        "[]",
        "",
    ],
)
def test_a_manifest_of_any_other_kind_is_one_line(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_text(text, encoding="latin-1")
    with pytest.raises(BundleError, match="manifest"):
        Bundle.load(folder)


@pytest.mark.parametrize(
    ("block", "key", "value"),
    [
        ("classifier", "thresholds", [10**400, 0.5, 0.5]),
        ("preprocess", "size", 10**9),
        ("generator", "size", 0),
        ("classifier", "size", -3),
        ("encoder", "kind", ["onnx"]),
        ("index", "parameters", {"nlist": 10**400, "x": []}),
        ("rerank", "depth", 2**31),
        ("rerank", "depth", 2**70),
        ("rerank", "depth", -1),
        ("rerank", "alpha", 1e308),
        ("rerank", "beta", -0.5),
        ("rerank", "overlap", "another"),
    ],
)
def test_a_value_out_of_range_is_one_line(folder: Path, block: str, key: str, value: object) -> None:
    rewrite(folder, lambda values: values[block].update({key: value}))
    with pytest.raises(BundleError, match=key):
        Bundle.load(folder)


def table(**columns: object) -> pa.Table:
    rows = pa.Table.from_pylist(gallery_rows(), GALLERY_SCHEMA)
    for name, values in columns.items():
        rows = rows.set_column(rows.column_names.index(name), name, values)
    return rows


def in_groups(path: Path, rows: pa.Table, size: int) -> None:
    pq.write_table(rows, path, row_group_size=size)


OTHER_GALLERIES: dict[str, Callable[[Path], object]] = {
    "no Parquet": lambda path: path.write_bytes(b"PAR1" + bytes(100) + b"PAR1"),
    "a short file": lambda path: path.write_bytes(path.read_bytes()[:500]),
    "another table": lambda path: pq.write_table(pa.table({"a": [1]}), path),
    "a column of numbers": lambda path: pq.write_table(table(category=pa.array([1] * 36)), path),
    "a missing column": lambda path: pq.write_table(table().drop_columns(["thumbnail"]), path),
    "another order": lambda path: in_groups(path, table().take(pa.array(range(35, -1, -1))), 512),
    "small groups": lambda path: in_groups(path, table(), 5),
    "no UTF-8": lambda path: pq.write_table(table(category=pa.array([b"\xff"] * 36).view(pa.string())), path),
    "null words": lambda path: pq.write_table(table(attributes=pa.array([[None]] * 36, pa.list_(pa.string()))), path),
}


@pytest.mark.parametrize("name", OTHER_GALLERIES)
def test_a_gallery_of_another_kind_is_one_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / "gallery.parquet"
    write_gallery(path, table())
    assert len(GalleryTable.open(path)) == 36
    OTHER_GALLERIES[name](path)
    with pytest.raises(ItemsError, match="gallery"):
        GalleryTable.open(path)


def test_files_are_checked_against_hashes_that_were_rewritten_too(folder: Path) -> None:
    """A stranger who writes the manifest writes right hashes."""
    file = folder / "gallery.parquet"
    pq.write_table(pa.table({"image_id": ["a"]}), file)
    entry = {"sha256": sha256_file(file), "bytes": file.stat().st_size}
    rewrite(folder, lambda values: values["files"].update({"gallery.parquet": entry}))
    with pytest.raises(ItemsError, match="columns"):
        Bundle.load(folder).open_all()
