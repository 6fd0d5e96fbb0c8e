"""Folders with what lies in people's folders beside the photos: what is left out is told, and the rest is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from croquis.projects.folder_guess import guess_folder, only_table, pictures_in
from croquis.projects.planning import plan_project
from croquis.projects.search_rows import find_photos_at
from croquis.refusals import RefusedError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("p1.jpg", "p2.PNG", "sub/p3.jfif"):
        put(tmp_path / name)
    return tmp_path


def put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"a picture")


def taken(folder: Path) -> list[str]:
    return [str(row["path"]) for row in find_photos_at(folder, None).rows]


def test_what_is_no_picture_does_not_stop_the_pictures(folder: Path):
    for name in ("@eaDir/p1.jpg/THUMB.jpg", "__MACOSX/._p1.jpg", ".hidden/x.jpg", "Thumbs.db", "album.jpg/p4.jpg"):
        put(folder / name)
    (folder / "gone.jpg").symlink_to(folder / "absent.jpg")
    (folder / "linked.jpg").symlink_to(folder / "p1.jpg")
    wanted = ["album.jpg/p4.jpg", "linked.jpg", "p1.jpg", "p2.PNG", "sub/p3.jfif"]
    assert [str(path) for path in pictures_in(folder)] == wanted
    assert taken(folder) == wanted


@pytest.mark.parametrize(
    ("name", "why"),
    [(" p.jpg", "a blank"), ("p\n.jpg", "item_id"), ("p" * 210 + ".jpg", "item_id"), ("None/p.jpg", "missing value")],
)
def test_a_name_that_no_table_can_hold_is_left_out_and_told(folder: Path, name: str, why: str):
    put(folder / name)
    if "/" in name:
        put(folder / "None/q.jpg")
        put(folder / "sub/q.jpg")
    made = guess_folder(folder)
    assert name not in [row["path"] for row in made.rows]
    assert [why in note and "left out because of their names" in note for note in made.notes].count(True) == 1
    assert "p1.jpg" in taken(folder)


def test_a_name_that_is_not_utf8_is_left_out_and_told(folder: Path):
    os.rename(bytes(folder / "p1.jpg"), bytes(folder) + b"/k\xe4se.jpg")  # noqa: PTH104
    assert taken(folder) == ["p2.PNG", "sub/p3.jfif"]
    assert any("not UTF-8; rename them" in note for note in guess_folder(folder).notes)


def test_files_of_other_kinds_are_counted(folder: Path):
    for name in ("a.HEIC", "b.heic", "c.tif", "products.xlsx", "~$products.xlsx"):
        put(folder / name)
    notes = "\n".join(guess_folder(folder).notes)
    assert "kinds that are not read: 2 .heic, 1 .tif; save them as JPEG" in notes
    assert "the table products.xlsx is not read: save it as 'CSV UTF-8'" in notes
    assert "~$" not in notes


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.heic", r"holds no picture \(.*\), but pictures of other kinds \(1 .heic\): save them as JPEG"),
        ("photos.zip", r"holds no picture \(.*\), but the archive photos.zip: unpack it"),
        ("readme.txt", r"holds no picture \(.*\): name the folder of the photos"),
        (" p.jpg", r"all photos are 1 left out because of their names, e.g. ' p.jpg'"),
    ],
)
def test_a_folder_without_pictures_says_what_it_holds(tmp_path: Path, name: str, message: str):
    put(tmp_path / name)
    with pytest.raises(RefusedError, match=message):
        guess_folder(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("photos.zip", "is an archive: unpack it"),
        ("products.xlsx", "is a table that is not read: save it as 'CSV UTF-8'"),
        ("products.jsonl", "is a table that is not read"),
        ("feed.txt", "is not read by its ending: name it .tsv"),
        ("p.jpg", "is a single picture: name its folder"),
        ("p.bin", "is neither a folder nor a table: name a folder of photos"),
    ],
)
def test_a_place_of_another_kind_is_not_said_to_be_absent(tmp_path: Path, name: str, message: str):
    put(tmp_path / name)
    with pytest.raises(RefusedError, match=message):
        find_photos_at(tmp_path / name, None)
    with pytest.raises(RefusedError, match=message):
        plan_project(tmp_path / name, None, "quick")


def test_hidden_and_lock_files_are_no_tables(folder: Path):
    for name in ("._t.csv", "~$t.csv", "t.tsv"):
        put(folder / name)
    assert only_table(folder) == folder / "t.tsv"
