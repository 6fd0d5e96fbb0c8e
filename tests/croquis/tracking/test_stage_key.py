"""The stage key computed inside a running stage equals the one that dvc.lock gives afterwards, in a real DVC project."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from croquis.tracking.stage_key import (
    data_hash_from_lock,
    read_lock,
    signature_from_lock,
    stage_key,
    stage_key_from_lock,
)

pytestmark = pytest.mark.slow

ENTRY: dict[str, Any] = {
    "cmd": "python train.py",
    "deps": [
        {"path": "data/catalog", "hash": "md5", "md5": "a1.dir", "size": 10, "nfiles": 2},
        {"path": "train.py", "hash": "md5", "md5": "b2", "size": 3},
    ],
    "params": {"params.yaml": {"rate": 0.5, "epochs": 3}},
    "outs": [{"path": "models", "hash": "md5", "md5": "c3.dir", "size": 9}],
}


@pytest.fixture(scope="module")
def finished(dvc_project: Path, command: Callable[..., str]) -> Path:
    command(dvc_project, "dvc", "repro")
    return dvc_project


def test_key_inside_the_stage_equals_the_one_from_the_lock(finished: Path) -> None:
    entries = read_lock(finished)["stages"]
    assert sorted(entries) == ["prepare", "train@large", "train@small"]
    for name, entry in entries.items():
        assert (finished / "keys" / name).read_text() == stage_key_from_lock(entry) == stage_key(name, finished)


def test_keys_of_stages_differ(finished: Path) -> None:
    assert len({stage_key_from_lock(entry) for entry in read_lock(finished)["stages"].values()}) == 3


def test_data_hash_is_that_of_the_catalogue(finished: Path) -> None:
    lock = read_lock(finished)
    written = lock["stages"]["prepare"]["outs"][0]["md5"]
    assert data_hash_from_lock(lock) == written
    assert signature_from_lock(lock["stages"]["train@small"]).data_hash == written
    assert signature_from_lock(lock["stages"]["prepare"]).data_hash is None


def test_a_changed_param_or_file_changes_the_key(finished: Path) -> None:
    before, params, script = stage_key("train@small", finished), finished / "params.yaml", finished / "stages/report.py"
    for path, old, new in ((params, "0.0001", "0.0002"), (script, "4.0", "5.0")):
        text = path.read_text()
        path.write_text(text.replace(old, new))
        try:
            assert stage_key("train@small", finished) not in (before, None)
        finally:
            path.write_text(text)
    assert stage_key("train@small", finished) == before


def test_no_key_for_unknown_stages_and_missing_files(finished: Path, tmp_path: Path) -> None:
    assert stage_key("nonsense", finished) is None
    assert stage_key("train@tiny", finished) is None
    assert stage_key("prepare", tmp_path) is None
    source = finished / "source.txt"
    source.rename(finished / "away.txt")
    try:
        assert stage_key("prepare", finished) is None
    finally:
        (finished / "away.txt").rename(source)


def test_outs_and_sizes_play_no_part() -> None:
    other = copy.deepcopy(ENTRY)
    other["outs"][0]["md5"] = "d4.dir"
    other["deps"][0]["size"] = 11
    assert stage_key_from_lock(other) == stage_key_from_lock(ENTRY)


@pytest.mark.parametrize(
    "change",
    [
        lambda entry: entry.update(cmd="python train.py -v"),
        lambda entry: entry["deps"][1].update(md5="b3"),
        lambda entry: entry["deps"][1].update(path="other.py"),
        lambda entry: entry["params"]["params.yaml"].update(rate=0.25),
        lambda entry: entry["params"]["params.yaml"].pop("epochs"),
    ],
)
def test_everything_else_does(change: Callable[[dict[str, Any]], Any]) -> None:
    other = copy.deepcopy(ENTRY)
    change(other)
    assert stage_key_from_lock(other) != stage_key_from_lock(ENTRY)


def test_order_and_spelling_of_numbers_play_no_part() -> None:
    other = copy.deepcopy(ENTRY)
    other["deps"].reverse()
    other["params"]["params.yaml"] = {"epochs": 3.0, "rate": 0.5}
    assert stage_key_from_lock(other) == stage_key_from_lock(ENTRY)
