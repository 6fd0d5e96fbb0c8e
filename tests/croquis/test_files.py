"""Files and folders that are whole or absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from croquis.files import fresh_file, fresh_folder


def test_a_file_takes_its_name_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "new/file.txt"
    with fresh_file(target) as partial:
        partial.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert [each.name for each in target.parent.iterdir()] == ["file.txt"]


def test_after_an_error_the_old_file_is_there(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    target.write_text("old")

    def fail() -> None:
        with fresh_file(target) as partial:
            partial.write_text("half")
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        fail()
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {"file.txt": "old"}


def test_a_folder_replaces_the_old_one_whole(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    for name in ("first", "second"):
        with fresh_folder(target) as partial:
            (partial / name).write_text(name)
    assert [each.name for each in target.iterdir()] == ["second"]
    with pytest.raises(RuntimeError, match="stopped"), fresh_folder(target):
        raise RuntimeError("stopped")
    assert [each.name for each in target.iterdir()] == ["second"]
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]
