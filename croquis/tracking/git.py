"""What git knows about the working tree: the commit, and whether files differ from it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What the pipeline itself writes into git does not make a tree dirty.
WRITTEN_BY_PIPELINE = ("dvc.lock", "reports")


@dataclass(frozen=True)
class GitState:
    """`dirty`: a tracked or untracked file, other than what the pipeline writes, differs from `commit`."""

    commit: str
    dirty: bool

    def tags(self) -> dict[str, str]:
        """Tags of a run."""
        return {"git.commit": self.commit, "git.dirty": str(self.dirty).lower()}


def git_state(root: Path) -> GitState | None:
    """The state of the repository at `root`; None outside git or before the first commit."""
    commit = _git(root, "rev-parse", "--verify", "HEAD")
    if commit is None:
        return None
    left_out = [f":(exclude,top){name}" for name in WRITTEN_BY_PIPELINE]
    changes = _git(root, "status", "--porcelain", "--", ".", *left_out)
    return GitState(commit=commit, dirty=bool(changes))


def commit_of(root: Path, path: str) -> str | None:
    """The last commit that changed `path`; None when there is none or the file differs from it now."""
    if _git(root, "status", "--porcelain", "--", path) != "":
        return None
    return _git(root, "log", "-1", "--format=%H", "--", path) or None


def committed_json(root: Path, path: str) -> Any:
    """The JSON file as it stands in HEAD; None outside git, and when HEAD has no such file."""
    text = _git(root, "show", f"HEAD:./{path}")
    return None if text is None else json.loads(text)


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
