"""The commit and the dirty flag: what a person changed counts, what the pipeline writes does not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from croquis.tracking.git import commit_of, git_state


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Tests", "-c", "user.email=tests@example.org"]
    done = subprocess.run(["git", "-C", str(root), *identity, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "reports").mkdir()
    for name in ("code.py", "dvc.lock", "reports/metrics.json"):
        (tmp_path / name).write_text("first")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_clean(repository: Path) -> None:
    state = git_state(repository)
    assert state is not None
    assert state.tags() == {"git.commit": git(repository, "rev-parse", "HEAD"), "git.dirty": "false"}


@pytest.mark.parametrize(
    ("name", "dirty"),
    [("code.py", True), ("new.py", True), ("dvc.lock", False), ("reports/metrics.json", False), ("reports/new", False)],
)
def test_which_changes_make_it_dirty(repository: Path, name: str, dirty: bool) -> None:
    (repository / name).write_text("second")
    state = git_state(repository)
    assert state is not None
    assert state.dirty is dirty


def test_outside_git_and_before_the_first_commit(tmp_path: Path) -> None:
    assert git_state(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert git_state(tmp_path) is None


def test_the_commit_of_a_file_while_it_is_unchanged(repository: Path) -> None:
    first = git(repository, "rev-parse", "HEAD")
    (repository / "code.py").write_text("second")
    git(repository, "commit", "-q", "-a", "-m", "second")
    assert commit_of(repository, "dvc.lock") == first
    (repository / "dvc.lock").write_text("second")
    assert commit_of(repository, "dvc.lock") is None
    assert commit_of(repository, "absent") is None
